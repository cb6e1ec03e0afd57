"""Tables of what was measured."""

from places import shown

# Processors that something else may have used for a run to count as quiet.
QUIET = 0.2

USED = [
    ("CPU s per million", "cpu", 1, ".2f"),
    ("broker's", "broker_cpu", 1, ".2f"),
    ("others, processors", "other_cpu", 1, ".2f"),
    ("MiB", "memory_mib", 1, ",.0f"),
    ("first output, s", "first_s", 1, ".2f"),
]
COLUMNS = {
    "throughput": [
        ("thousand inputs/s", "rate", 1e-3, ",.0f"),
        ("second half", "rate_second_half", 1e-3, ",.0f"),
        *USED,
    ],
    "latency": [(f"{name}, ms", name, 1, ".0f") for name in ("p50", "p90", "p99", "p999", "most")] + USED,
    "recovery": [
        ("new output after, s", "new_output_s", 1, ".2f"),
        ("outputs before", "outputs_before", 1, ",.0f"),
        ("rows", "rows", 1, ",.0f"),
        ("others, processors", "other_cpu", 1, ".2f"),
        ("MiB", "memory_mib", 1, ",.0f"),
    ],
}
COLUMNS["restore"] = COLUMNS["recovery"]


def is_quiet(result):
    return result.get("other_cpu", 0) <= QUIET


def counting(results):
    """Of runs that did not fail the quiet ones; all, where there is none."""
    good = [result for result in results if "failed" not in result]
    return [result for result in good if is_quiet(result)] or good


def runs(results):
    """How many runs count, of how many, and what is to be said of them."""
    good = [result for result in results if "failed" not in result]
    quiet = sum(is_quiet(result) for result in good)
    notes = [f"{quiet or len(good)} of {len(results)}"]
    if good and not quiet:
        notes.append("noisy")
    if len(good) < len(results):
        notes.append(f"{len(results) - len(good)} FAILED")
    return ", ".join(notes)


def cell(results, measure, factor, form):
    values = [result[measure] * factor for result in results if result.get(measure) is not None]
    if not values:
        return "-"
    return shown(values, form) if len(values) > 1 else f"{values[0]:{form}}"


def show(rows, results):
    """A table for each kind of row."""
    for kind, columns in COLUMNS.items():
        made = {row.name: [result for result in results if result["row"] == row.name] for row in rows if row.kind == kind}
        if any(made.values()):
            line("row", "runs", *(title for title, *_ in columns), before="\n")
            line(*["---"] * (2 + len(columns)))
        for name, of_row in made.items():
            if of_row:
                cells = (cell(counting(of_row), *column) for _, *column in columns)
                line(name.removeprefix(f"{kind}/") if kind == "throughput" else name, runs(of_row), *cells)


def line(*cells, before=""):
    print(f"{before}| {' | '.join(cells)} |")
