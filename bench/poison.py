#!/usr/bin/env python3
"""What records that make a plugin trap cost: throughput with one in a thousand of them against none, by paired runs.

    cargo build --release && python3 bench/poison.py [--runs 5] [--records 400000]

The plugin counts by key, and traps at a record whose value is `poison`. Prints the machine, each pair, and one JSON line.
"""

import argparse
import json
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from runs import BINARY, ROOT, TARGET, machine, run

PIPELINE = """format-version: 1
name: poison
sources:
  lines: {topic: lines, create: {partitions: 4}}
operators:
  count: {plugin: ./process.wasm, from: lines, settings: {does: traps, at: poison}}
sinks:
  counts: {topic: counts, from: count}
"""


def guest():
    command = ["cargo", "build", "--release", "--quiet", "--target", "wasm32-unknown-unknown"]
    subprocess.run([*command, "--target-dir", TARGET / "bench-guests"], cwd=ROOT / "tests/guests", check=True)
    return TARGET / "bench-guests/wasm32-unknown-unknown/release/process.wasm"


def feed(path, records, poisoned):
    with open(path, "w") as out:
        for number in range(records):
            value = "poison" if poisoned and number % 1000 == 500 else "good"
            out.write('{"key": "k%d", "value": "%s"}\n' % (number * 7919 % 5000, value))


def throughput(plugin, records, poisoned):
    """Records a second of a run, and how many became dead letters."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "pipeline.yaml").write_text(PIPELINE)
        (place / "process.wasm").write_bytes(plugin.read_bytes())
        feed(place / "feed.jsonl", records, poisoned)
        # Fed by a run of its own, whose time is not counted.
        produce = [BINARY, "produce", "lines", "--data-dir", "data", "--partitions", "4", "--format", "jsonl"]
        subprocess.run(produce, cwd=place, stdin=open(place / "feed.jsonl"), capture_output=True, check=True)
        stderr = run(place, "--workers", "1", log="error")[3]
        rate = int(re.search(r"([0-9]+) records/s", stderr)[1])
        letters = re.search(r"([0-9]+) dead letters", stderr)
        return rate, int(letters[1]) if letters else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--records", type=int, default=400_000)
    arguments = parser.parse_args()
    plugin = guest()
    print(machine())
    ratios = []
    for _ in range(arguments.runs):
        clean, none = throughput(plugin, arguments.records, False)
        poisoned, letters = throughput(plugin, arguments.records, True)
        assert (none, letters) == (0, arguments.records // 1000), (none, letters)
        ratios.append(poisoned / clean)
        print(f"{clean} records/s without, {poisoned} with {letters} traps: {ratios[-1]:.2f}")
    result = {"records": arguments.records, "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
