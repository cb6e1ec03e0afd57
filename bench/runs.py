"""What the benchmarks share: the built binary, a run of it with what it took, and how figures are shown."""

import os
import platform
import re
import statistics
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BINARY = TARGET / "release" / "wasmill"
TEXT = ROOT / "examples/word-count/alice.txt"

WORD_COUNT = """format-version: 1
name: bench
sources:
  lines: {{topic: lines}}
operators:
  split: {{plugin: {split}, from: lines}}
  count: {{plugin: {count}, from: split}}
sinks:
  counts: {{topic: word-counts, from: count}}
"""


def machine():
    return f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


def plugin(name):
    """The plugin of an example of word count in Rust."""
    built = subprocess.run([BINARY, "build", ROOT / "examples/word-count" / name], capture_output=True, text=True, check=True)
    return built.stdout.strip()


def run(place, *arguments, log="warn"):
    """One run of the pipeline in a directory: seconds, processor seconds, peak memory in MiB, standard error."""
    took, usage, stderr = measured(place, *arguments, log=log)
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, stderr


def measured(place, *arguments, log="warn"):
    """One run of the pipeline in a directory: seconds, what it used, standard error."""
    began = time.monotonic()
    command = [BINARY, "run", "pipeline.yaml", "--until-end", "--data-dir", "data", *arguments]
    environment = {**os.environ, "WASMILL_LOG": log}
    # It makes each trap trace the host's own stack as well.
    environment.pop("RUST_BACKTRACE", None)
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(stderr)
    return time.monotonic() - began, usage, stderr


def seconds(stderr):
    """The seconds that a run says it took, set-up included."""
    return float(re.search(r"epochs and ([0-9.]+) s", stderr)[1])


def shown(values, form=",.1f"):
    """The median of some figures, with the least and the most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
