#!/usr/bin/env python3
"""What operators cost in each language: word count by those of Rust, Python and JavaScript, on the embedded log.

    cargo build --release && python3 bench/languages.py [--runs 3] [--copies 5]

The plugins are those of the examples. Prints the machine, a table, and one JSON line. Compiling is not counted: a run before
has done it.
"""

import argparse
import json
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from runs import ROOT, TARGET, TEXT, WORD_COUNT, machine, plugin, run, seconds, shown

WORD = r"\w+"


def built(language, name):
    """The plugin of an example, built by the script of its SDK."""
    if language == "rust":
        return plugin(name)
    extension = {"python": "py", "js": "js"}[language]
    wasm = TARGET / "bench-guests" / f"{language}-{name}.wasm"
    module = ROOT / "examples" / f"word-count-{language}" / f"{name}.{extension}"
    subprocess.run([ROOT / "guest-sdk" / language / "build", module, "-o", wasm], check=True)
    return wasm


def measure(language, text, runs):
    """Seconds and processor seconds of runs that compile nothing, without those of a run of one line."""
    plugins = {name: built(language, name) for name in ("split", "count")}
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "pipeline.yaml").write_text(WORD_COUNT.format(**plugins))
        (place / "one.txt").write_text("one line\n")
        (place / "text.txt").write_text(text)
        run(place, "--workers", "1", "--feed", "lines=one.txt")
        idle = statistics.median(run(place, "--workers", "1", "--feed", "lines=one.txt")[1] for _ in range(3))
        rows = [run(place, "--workers", "1", "--feed", "lines=text.txt") for _ in range(runs)]
    words = len(re.findall(WORD, text))
    size = sum(Path(path).stat().st_size for path in plugins.values())
    return {
        "words/s": [words / seconds(row[3]) for row in rows],
        "cpu us a word": [(row[1] - idle) / words * 1e6 for row in rows],
        "MiB": [row[2] for row in rows],
        "plugins MB": [size / 1e6],
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--copies", type=int, default=5, help="copies of the example's text; 37 have a million words")
    options = arguments.parse_args()
    text = TEXT.read_text() * options.copies
    print(f"{machine()}; {len(re.findall(WORD, text)):,} words, {options.runs} runs, median (least to most), one worker, sled")
    results = {"machine": machine()}
    for language in ("rust", "js", "python"):
        rows = measure(language, text, options.runs)
        results[language] = {key: statistics.median(values) for key, values in rows.items()}
        print(f"{language:<8} " + "  ".join(f"{shown(values)} {key}" for key, values in rows.items()))
    least = results["rust"]["cpu us a word"]
    for language in ("js", "python"):
        print(f"{language}: {results[language]['cpu us a word'] / least:.0f} times the processor time of rust")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
