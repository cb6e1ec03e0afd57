#!/usr/bin/env python3
"""What the stores cost, by the built binary on the embedded log, one partition and one worker.

    cargo build --release && python3 bench/stores.py [share] [large] [memory] [restore] [--runs 3] [--scale 1.0]

share    the processor time of a keyed count over 100,000 keys that is the store's: sled and fjall against memory
large    a keyed count over 5 million keys that are all there, with 128 MiB of rows in memory
memory   the memory that word count takes with a million distinct words
restore  rows a second of a whole restore of a million rows

Without a name, all of them; a scale makes all of them smaller. Prints the machine, tables, and one JSON line.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from runs import BINARY, WORD_COUNT, machine, measured, plugin, seconds, shown

STORES = ["memory", "sled", "fjall"]
COUNT = """format-version: 1
name: stores
sources: {words: {topic: words}}
operators: {count: {use: count, from: words}}
sinks: {counts: {topic: counts, from: count}}
"""

# Read-modify-write of 1 million keys, measured on the same work on a similar machine.
ROCKSDB = "RocksDB, 1 M keys: 125 to 147 thousand/s, 162 MB, write amplification 1.3"


def key(number):
    """Keys that are not in the order in which they are numbered."""
    return f"user-{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def produce(place, numbers):
    """Adds a record for each number, a million at a time."""
    numbers = list(numbers)
    for begin in range(0, len(numbers), 1_000_000):
        text = "".join(f"{key(number)}=x\n" for number in numbers[begin : begin + 1_000_000])
        command = [BINARY, "produce", "words", "--data-dir", "data", "--partitions", "1", "--key-separator", "="]
        subprocess.run(command, cwd=place, input=text, text=True, check=True, capture_output=True)


def count(place, store, *arguments):
    took, usage, stderr = measured(place, "--workers", "1", "--store", store, *arguments)
    cpu = usage.ru_utime + usage.ru_stime
    return {"s": took, "cpu s": cpu, "MiB": usage.ru_maxrss / 1024, "written MiB": usage.ru_oublock / 2048, "stderr": stderr}


def filled(place, keys):
    """A log with a record for each key, in a directory that others are copied from."""
    place.mkdir()
    (place / "pipeline.yaml").write_text(COUNT)
    produce(place, range(keys))
    return place


def share(directory, options):
    keys, records = int(100_000 * options.scale), int(3_000_000 * options.scale)
    draw = random.Random(7)
    place = directory / "share"
    place.mkdir()
    (place / "pipeline.yaml").write_text(COUNT)
    produce(place, (draw.randrange(keys) for _ in range(records)))
    # Alternately, so that what else the machine does meets all.
    runs = {store: [] for store in STORES}
    for _ in range(options.runs):
        for store in STORES:
            copy = Path(shutil.copytree(place, directory / "run"))
            runs[store].append(count(copy, store))
            shutil.rmtree(copy)
    print(f"\n{records:,} records of {keys:,} keys; the store's share of the processor time, against memory: at most 15 %")
    least = min(run["cpu s"] for run in runs["memory"])
    result = {}
    for store in STORES:
        cpu = [run["cpu s"] for run in runs[store]]
        part = 1 - least / min(cpu)
        result[store] = {"cpu s": min(cpu), "share": part, "MiB": statistics.median(run["MiB"] for run in runs[store])}
        print(f"{store:<7} {shown(cpu, '.2f')} s of processor time, {part:6.1%}, {result[store]['MiB']:.0f} MiB")
    return result


def large(directory, options):
    keys, records = int(5_000_000 * options.scale), int(2_000_000 * options.scale)
    place = filled(directory / "large", keys)
    draw = random.Random(11)
    more = [draw.randrange(keys) for _ in range(records)]
    print(f"\n{keys:,} keys, then {records:,} records of keys drawn evenly, 128 MiB of rows in memory")
    print(ROCKSDB)
    result, base = {}, None
    for store in STORES:
        copy = Path(shutil.copytree(place, directory / "run"))
        first = count(copy, store)
        produce(copy, more)
        second = count(copy, store)
        shutil.rmtree(copy)
        base = base or second["written MiB"]
        rows = records * (6 + len(key(0)) + 4) / 2**20
        took = seconds(second["stderr"])
        result[store] = {
            "filled/s": keys / seconds(first["stderr"]),
            "changed/s": records / took,
            "cpu s per M": second["cpu s"] / records * 1e6,
            "MiB": second["MiB"],
            "store written / rows": (second["written MiB"] - base) / rows,
        }
        print(f"{store:<7} " + "  ".join(f"{value:,.1f} {name}" for name, value in result[store].items()))
    return result


def memory(directory, options):
    words = int(1_000_000 * options.scale)
    place = directory / "words"
    place.mkdir()
    plugins = {name: plugin(name) for name in ("split", "count")}
    (place / "pipeline.yaml").write_text(WORD_COUNT.format(**plugins))
    with (place / "lines.txt").open("w") as lines:
        for begin in range(0, words, 10):
            lines.write(" ".join(key(number).replace("-", "") for number in range(begin, min(begin + 10, words))) + "\n")
    print(f"\nword count with {words:,} distinct words; sled at most 400 MB")
    result = {}
    for store in STORES:
        ran = count(place, store, "--fresh", "--feed", "lines=lines.txt")
        result[store] = {"MiB": ran["MiB"], "words/s": words / seconds(ran["stderr"])}
        print(f"{store:<7} {ran['MiB']:.0f} MiB, {result[store]['words/s']:,.0f} words/s")
    return result


def restore(directory, options):
    rows = int(1_000_000 * options.scale)
    place = filled(directory / "restore", rows)
    print(f"\na whole restore of {rows:,} rows; at least 500,000 rows/s for memory and fjall, 300,000 for sled")
    count(place, "sled")
    count(place, "sled")
    current = count(place, "sled")
    result = {}
    for store in STORES:
        times, cpu = [], []
        for _ in range(options.runs):
            shutil.rmtree(place / "data/store")
            ran = count(place, store)
            times.append(ran["s"] - current["s"])
            cpu.append(ran["cpu s"] - current["cpu s"])
            (place / "data/store").mkdir(exist_ok=True)
        result[store] = {"rows/s": rows / min(times), "cpu s": min(cpu)}
        print(f"{store:<7} {rows / min(times):,.0f} rows/s, {min(cpu):.2f} s of processor time")
    return result


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"share": share, "large": large, "memory": memory, "restore": restore}
    arguments.add_argument("parts", nargs="*", help=", ".join(parts))
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--scale", type=float, default=1.0)
    options = arguments.parse_args()
    if unknown := set(options.parts) - set(parts):
        arguments.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    results = {"machine": machine(), "scale": options.scale}
    print(results["machine"])
    for name in options.parts or parts:
        with tempfile.TemporaryDirectory() as directory:
            results[name] = parts[name](Path(directory), options)
    results["load after"] = machine().rsplit(" ", 1)[1]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
