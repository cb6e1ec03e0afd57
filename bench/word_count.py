#!/usr/bin/env python3
"""Word count on the embedded log, by the built binary: throughput, processor time, memory, warm start.

    cargo build --release && python3 bench/word_count.py [--runs 5] [--copies 60]

Prints the machine, a table, and one JSON line.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "wasmill"
PIPELINE = """format-version: 1
name: bench
sources:
  lines: {{topic: lines}}
operators:
  split: {{plugin: {split}, from: lines}}
  count: {{plugin: {count}, from: split}}
sinks:
  counts: {{topic: word-counts, from: count}}
"""


def plugin(name):
    built = subprocess.run([BINARY, "build", ROOT / "examples/word-count" / name], capture_output=True, text=True, check=True)
    return built.stdout.strip()


def run(place, *arguments, log="warn"):
    """One run: seconds, processor seconds, peak memory in MiB, standard error."""
    began = time.monotonic()
    command = ["/usr/bin/env", f"WASMILL_LOG={log}", BINARY, "run", "pipeline.yaml", "--until-end", "--data-dir", "data"]
    process = subprocess.Popen([*command, *arguments], cwd=place, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(stderr)
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, stderr


def throughput(plugins, words, text, store, workers):
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "pipeline.yaml").write_text(PIPELINE.format(**plugins))
        _, cpu, memory, stderr = run(place, "--feed", f"lines={text}", "--store", store, "--workers", str(workers))
        seconds = float(re.search(r"epochs and ([0-9.]+) s", stderr)[1])
        return {"words/s": words / seconds, "cpu s per M words": cpu / words * 1e6, "MiB": memory}


def warm_start(plugins):
    """Milliseconds from the start of the process to the first record's epoch, with everything compiled before."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "pipeline.yaml").write_text(PIPELINE.format(**plugins))
        (place / "one.txt").write_text("one line\n")
        run(place, "--feed", "lines=one.txt")
        took = []
        for _ in range(5):
            began = datetime.now(timezone.utc)
            stderr = run(place, "--feed", "lines=one.txt", log="wasmill=debug")[3]
            if "compiled=0" not in stderr:
                raise SystemExit("a warm start compiled something")
            first = re.search(r"(\S+)Z DEBUG \S+ epoch begun", stderr)[1]
            took.append((datetime.fromisoformat(first + "+00:00") - began).total_seconds() * 1000)
        return statistics.median(took)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--copies", type=int, default=60, help="copies of the example's text")
    options = arguments.parse_args()
    plugins = {name: plugin(name) for name in ("split", "count")}
    text = (ROOT / "examples/word-count/alice.txt").read_text()
    words = len(re.findall(r"\w+", text)) * options.copies
    results = {"machine": f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", "words": words}
    print(f"{results['machine']}; {words:,} words, {options.runs} runs, median (least to most)")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as fed:
        fed.write(text * options.copies)
        fed.flush()
        for store, workers in (("sled", 1), ("memory", 1), ("sled", 2)):
            rows = [throughput(plugins, words, fed.name, store, workers) for _ in range(options.runs)]
            name = f"{store}, {workers} worker{'s' if workers > 1 else ''}"
            results[name] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            shown = "  ".join(
                f"{statistics.median(r[key] for r in rows):,.1f} ({min(r[key] for r in rows):,.1f} to {max(r[key] for r in rows):,.1f}) {key}"
                for key in rows[0]
            )
            print(f"{name:<18} {shown}")
    results["warm start ms"] = warm_start(plugins)
    print(f"warm start to the first record's epoch: {results['warm start ms']:.0f} ms, 0 compilations")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
