#!/usr/bin/env python3
"""Word count on the embedded log, by the built binary: throughput, processor time, memory, start.

    cargo build --release && python3 bench/word_count.py [--runs 5] [--copies 60]

Prints the machine, a table, and one JSON line.
"""

import argparse
import json
import re
import statistics
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from runs import TEXT, WORD_COUNT, machine, plugin, run, seconds, shown


def throughput(plugins, words, text, store, workers):
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "pipeline.yaml").write_text(WORD_COUNT.format(**plugins))
        _, cpu, memory, stderr = run(place, "--feed", f"lines={text}", "--store", store, "--workers", str(workers))
        return {"words/s": words / seconds(stderr), "cpu s per M words": cpu / words * 1e6, "MiB": memory}


def starts(plugins):
    """Milliseconds from the start of the process to the first record's epoch: with an empty data directory, and with
    everything compiled before."""
    cold, warm = [], []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            (place / "pipeline.yaml").write_text(WORD_COUNT.format(**plugins))
            (place / "one.txt").write_text("one line\n")
            cold.append(start(place, 2))
            warm.append(start(place, 0))
    return cold, warm


def start(place, compiled):
    began = datetime.now(timezone.utc)
    stderr = run(place, "--feed", "lines=one.txt", log="wasmill=debug")[3]
    if f"compiled={compiled}" not in stderr:
        raise SystemExit(f"the start did not compile {compiled} plugins")
    first = re.search(r"(\S+)Z DEBUG \S+ epoch begun", stderr)[1]
    return (datetime.fromisoformat(first + "+00:00") - began).total_seconds() * 1000


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--copies", type=int, default=60, help="copies of the example's text")
    options = arguments.parse_args()
    plugins = {name: plugin(name) for name in ("split", "count")}
    text = TEXT.read_text()
    words = len(re.findall(r"\w+", text)) * options.copies
    results = {"machine": machine(), "words": words}
    print(f"{results['machine']}; {words:,} words, {options.runs} runs, median (least to most)")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as fed:
        fed.write(text * options.copies)
        fed.flush()
        for store, workers in (("sled", 1), ("memory", 1), ("sled", 2)):
            rows = [throughput(plugins, words, fed.name, store, workers) for _ in range(options.runs)]
            name = f"{store}, {workers} worker{'s' if workers > 1 else ''}"
            results[name] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            print(f"{name:<18} " + "  ".join(f"{shown([row[key] for row in rows])} {key}" for key in rows[0]))
    cold, warm = starts(plugins)
    results |= {"cold start ms": statistics.median(cold), "warm start ms": statistics.median(warm)}
    print(f"start to the first record's epoch, ms: {shown(cold, '.0f')} cold, {shown(warm, '.0f')} with nothing to compile")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
