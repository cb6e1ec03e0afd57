#!/usr/bin/env python3
"""Where the processor time of a worker goes, by phase of a record's way, on the embedded log.

    cargo build --release && python3 bench/phases.py [--records 1000000] [--store sled]

Three pipelines: a map without state, a keyed count over 100,000 keys, and word count with its repartition.
Each runs once under `perf record`; a sample belongs to the phase of the innermost function on its stack that has one. Prints
the machine, a table, and one JSON line. Needs perf.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from runs import BINARY, TEXT, WORD_COUNT, machine, plugin

MAP = """format-version: 1
name: bench
sources:
  lines: {topic: lines}
operators:
  mask: {use: insert-field, from: lines, fields: {origin: bench}}
sinks:
  out: {topic: out, from: mask}
"""

COUNT = """format-version: 1
name: bench
sources:
  lines: {topic: lines}
operators:
  count: {use: count, from: lines}
sinks:
  out: {topic: out, from: count}
"""

# A sample is counted where the first of these matches a function of its stack, from the innermost out.
PHASES = [
    ("plugin", r"\.cwasm|\[anon\]|memfd|^\[unknown\]$"),
    ("compile", r"cranelift|regalloc|wasmtime_internal_cranelift|wasmparser"),
    ("write behind", r"wasmill::store::"),
    ("poll", r"as wasmill_core::port::Source>::poll|Worker::poll$|task::cut"),
    ("changelog", r"as wasmill_core::port::Sink>::change|State::changes"),
    ("log write", r"as wasmill_core::port::Sink>::(send|tell|flush|commit|begin)|embedded::commit|fjall|lsm_tree"),
    ("state read", r"task::call::prefetch|State::value|State::scan|layers::|cache::"),
    ("overlay", r"write_cells|State::put|State::settle|State::apply|State::advance|overlay::|table::"),
    ("group", r"slots::Keys|wasmill::partitioner|Flow::"),
    ("call", r"wasmill::plugin::|wasmtime|wasmill::builtin|wasmill::node::(formats|key_by)|core::scope"),
    ("loop", r"wasmill_core::(worker|task)|wasmill::node::worker"),
    ("feed", r"wasmill::cli|wasmill::lines"),
]
COMPILED = [(name, re.compile(pattern)) for name, pattern in PHASES]


def phase(frames):
    for frame in frames:
        for name, pattern in COMPILED:
            if pattern.search(frame):
                return name
    return "other"


def samples(data):
    """The stacks of a recording, innermost first, with the thread's name."""
    script = ["perf", "script", "-i", data, "-F", "comm,ip,sym,dso", "--no-inline"]
    text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        if len(lines) > 1:
            yield lines[0].strip(), [line.strip().split(" ", 1)[-1] for line in lines[1:]]


def profile(pipeline, text, store):
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "pipeline.yaml").write_text(pipeline)
        (place / "one.txt").write_text(text.split("\n", 1)[0] + "\n")
        (place / "text.txt").write_text(text)
        command = [BINARY, "run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "1", "--store", store]
        format = ["--format", "jsonl"] if text.startswith("{") else []
        feed = [BINARY, "produce", "lines", "--data-dir", "data", *format]
        # Compiled and fed before, so that what is recorded is the way of a record and nothing else.
        subprocess.run([*command, "--feed", "lines=one.txt"], cwd=place, check=True, capture_output=True)
        subprocess.run(feed, cwd=place, check=True, capture_output=True, stdin=open(place / "text.txt"))
        record = ["perf", "record", "-q", "-F", "499", "--call-graph", "dwarf,8192", "-o", "perf.data"]
        subprocess.run([*record, *command], cwd=place, check=True, capture_output=True)
        phases = Counter()
        for thread, frames in samples(place / "perf.data"):
            own = thread.startswith("bench/")
            phases[phase(frames) if own else "threads of stores and log"] += 1
        total = sum(phases.values())
        return {name: count / total for name, count in phases.most_common()}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=1_000_000)
    arguments.add_argument("--store", default="sled")
    options = arguments.parse_args()
    keyed = "".join(
        '{"key":"user-%d","value":{"amount":%d}}\n' % (number * 7919 % 100_000, number % 1000) for number in range(options.records)
    )
    words = {name: plugin(name) for name in ("split", "count")}
    text = TEXT.read_text()
    lines = text * max(1, options.records // len(re.findall(r"\w+", text)))
    print(f"{machine()}; {options.records:,} records or words, one worker, {options.store}; shares of the processor time")
    pipelines = {"map": (MAP, keyed), "keyed count": (COUNT, keyed), "word count": (WORD_COUNT.format(**words), lines)}
    results = {name: profile(pipeline, input, options.store) for name, (pipeline, input) in pipelines.items()}
    names = [name for name, _ in PHASES] + ["other", "threads of stores and log"]
    print(f"{'':<28}" + "".join(f"{name:>14}" for name in results))
    for name in names:
        if any(name in result for result in results.values()):
            print(f"{name:<28}" + "".join(f"{result.get(name, 0):>14.1%}" for result in results.values()))
    print(json.dumps({"machine": machine(), "records": options.records, **results}))


if __name__ == "__main__":
    main()
