"""The targets, and whether they are met: by pairs of runs that stood next to each other."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from rows import AT_LEAST_ONCE, Row, rows
from tables import is_quiet, line


@dataclass(frozen=True)
class Target:
    """A bound of a number that comes of a row of Wasmill's, and of one that it is compared with."""

    what: str
    ours: Row
    theirs: Row | None
    value: Callable
    limit: float
    least: bool = False
    form: str = ".2f"

    def verdict(self, values):
        median = statistics.median(values)
        return "met" if (median >= self.limit if self.least else median <= self.limit) else "**missed**"


def ratio(measure):
    return lambda ours, theirs: ours[measure] / theirs[measure]


def alone(measure):
    return lambda ours, _: ours.get(measure)


def restore_rate(ours, _):
    return ours["restored"] / ours["restore_s"]


# Of each workload: the most processor time against Kafka Streams, Flink and native, and the least throughput against the first
# two.
RATIOS = {
    "w1": (1 / 4, 1 / 2, 1 / 0.85, 3, 1.5),
    "w2": (1 / 4, 0.6, 1 / 0.7, 3, 1.1),
    "w3": (1 / 4, 1 / 2, 1 / 0.7, 3, 1.5),
    "w3-1m": (1 / 4, 1 / 2, 1 / 0.7, 3, 1.5),
}


def targets():
    """All targets whose rows there are."""
    there = set(rows())
    made = [*ratios(), *memory(), *starts(), *latencies(), *guarantees(), *recoveries()]
    return [target for target in made if {target.ours, target.theirs} - {None} <= there]


def ratios():
    for ours in (row for row in rows() if (row.kind, row.contender, row.commit) == ("throughput", "wasmill", 100)):
        if ours.guarantee == AT_LEAST_ONCE:
            continue
        kstreams, flink, native, faster, fast = RATIOS[ours.workload]
        stateless = ours.state == "none"
        on_kstreams = replace(ours, contender="kstreams", state="none" if stateless else "rocksdb")
        on_flink = replace(ours, contender="flink", state="none" if stateless else "hashmap")
        on_native = replace(ours, contender="native", state="none" if stateless else "changelog")
        yield Target("CPU", ours, on_kstreams, ratio("cpu"), kstreams)
        yield Target("CPU", ours, on_flink, ratio("cpu"), flink)
        yield Target("CPU", ours, replace(on_flink, commit=1000), ratio("cpu"), flink)
        yield Target("CPU", ours, on_native, ratio("cpu"), native)
        yield Target("throughput", ours, on_kstreams, ratio("rate"), faster, least=True)
        yield Target("throughput", ours, on_flink, ratio("rate"), fast, least=True)
        yield Target("throughput", ours, replace(on_flink, commit=1000), ratio("rate"), fast, least=True)


def memory():
    for workload, limit in (("w3", 1 / 3), ("w3-1m", 2 / 3)):
        theirs = Row("throughput", workload, "kstreams", "rocksdb")
        for state in ("sled", "memory"):
            yield Target("memory", replace(theirs, contender="wasmill", state=state), theirs, ratio("memory_mib"), limit)


def starts():
    for workload, state in (("w1", "none"), ("w2", "sled"), ("w3", "sled")):
        row = Row("throughput", workload, "wasmill", state)
        yield Target("first output of a new group, s", row, None, alone("first_s"), 1)
        yield Target("first output once the group gave the tasks, s", row, None, alone("after_tasks_s"), 0.5)


def latencies():
    slow, fast = (Row("latency", "w3", "wasmill", "sled", commit=commit) for commit in (100, 20))
    yield Target("p99", slow, replace(slow, contender="native", state="lost"), ratio("p99"), 1.1)
    yield Target("p99, ms", fast, None, alone("p99"), 40, form=".0f")
    slow, fast = (replace(row, kind="throughput") for row in (slow, fast))
    yield Target("throughput", fast, slow, ratio("rate"), 0.85, least=True)


def guarantees():
    for workload, state in (("w1", "none"), ("w3", "sled")):
        ours = Row("throughput", workload, "wasmill", state)
        yield Target("CPU", ours, replace(ours, guarantee=AT_LEAST_ONCE), ratio("cpu"), 1.15)


def recoveries():
    for state in ("sled", "fjall"):
        ours = Row("recovery", "w3-1m", "wasmill", state)
        yield Target("new output after a crash, s", ours, None, alone("new_output_s"), 2.5)
    for state, least in (("memory", 500_000), ("fjall", 500_000), ("sled", 300_000)):
        ours = Row("restore", "w3-1m", "wasmill", state)
        yield Target("rows/s of a restore", ours, None, restore_rate, least, least=True, form=",.0f")


def pairs(target, results):
    """Runs of the two rows that have the same number."""
    by_row = {}
    for result in results:
        if "failed" not in result:
            by_row.setdefault(result["row"], {})[result["run"]] = result
    ours = by_row.get(target.ours.name, {})
    theirs = ours if target.theirs is None else by_row.get(target.theirs.name, {})
    made = [(ours[number], theirs[number]) for number in sorted(ours.keys() & theirs.keys())]
    # Runs that were made before something was measured do not have it.
    return [pair for pair in made if target.value(*pair) is not None]


def show(wanted, results):
    """What came of the targets of these rows."""
    line("target", "of", "against", "median (least to most)", "bound", "pairs", "", before="\n")
    line(*["---"] * 7)
    for target in targets():
        made = pairs(target, results)
        if target.ours in wanted and made:
            line(*cells(target, made))


def cells(target, made):
    quiet = [pair for pair in made if all(map(is_quiet, pair))]
    values = [target.value(*pair) for pair in quiet or made]
    form = target.form
    told = f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
    bound = f"{'≥' if target.least else '≤'} {target.limit:{form}}"
    count = f"{len(quiet)} of {len(made)}" if quiet else f"{len(made)}, noisy"
    against = target.theirs.name if target.theirs else ""
    return target.what, target.ours.name, against, told, bound, count, target.verdict(values)
