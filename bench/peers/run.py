#!/usr/bin/env python3
"""Wasmill beside Kafka Streams, Flink and a plain loop on librdkafka: the same topics of one Kafka, in turns.

    python3 bench/peers/run.py [--only REGEX] [--reps 5] [--scale 1.0] [--list] [--tables] [--no-build]

Builds everything, starts a broker, fills its topics, runs each row as often as asked, one row after the other and then all
again, and prints tables and how the targets are met. Every run is a line of target/peers/data/results.jsonl, and a run that is
there is not repeated: remove the file to start over.
"""

import argparse
import json
import re
import signal
import sys
import time
from datetime import datetime, timezone

import contenders
import places
import tables
import targets
from broker import Broker
from measure import Bench, Wrong
from places import machine
from rows import Row, rows

RESULTS = places.DATA / "results.jsonl"

# A broker that has just started is slow for a while.
WARM_UP = [Row("throughput", "w3", "native", "lost")] * 2


def results(scale):
    """The runs so far at a scale."""
    if not RESULTS.exists():
        return []
    lines = (json.loads(line) for line in RESULTS.read_text().splitlines())
    return [line for line in lines if line["scale"] == scale]


def missing(wanted, reps, scale):
    """The runs still to be made: each row once, then all again."""
    made = {(result["row"], result["run"]) for result in results(scale) if "failed" not in result}
    return [(number, row) for number in range(1, reps + 1) for row in wanted if (row.name, number) not in made]


def measured(bench, row, number):
    """A run of a row, as a line of the results."""
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = {"row": row.name, "run": number, "scale": bench.scale, "at": at, "machine": machine()}
    try:
        return line | bench.run(row)
    except Wrong as wrong:
        return line | {"failed": str(wrong)}


def told(line):
    """What is shown of a run while others follow."""
    if "failed" in line:
        return line["failed"]
    names = {"rate": ",.0f", "cpu": ".2f", "first_s": ".2f", "p99": ".0f", "new_output_s": ".2f", "other_cpu": ".2f"}
    return "  ".join(f"{name} {line[name]:{form}}" for name, form in names.items() if line.get(name) is not None)


def run(wanted, options):
    left = missing(wanted, options.reps, options.scale)
    if not left:
        return
    if not options.no_build:
        contenders.build()
    places.DATA.mkdir(parents=True, exist_ok=True)
    with Broker(places.DATA / "broker", places.KAFKA_JARS) as broker:
        bench = Bench(broker, places.DATA, options.scale)
        for row in WARM_UP:
            bench.run(row)
        for number, row in left:
            began = time.monotonic()
            line = measured(bench, row, number)
            with open(RESULTS, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{number} {row.name}: {told(line)} ({time.monotonic() - began:.0f} s)", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", default="", metavar="REGEX", help="rows whose name it is found in")
    arguments.add_argument("--reps", type=int, default=5, metavar="N", help="runs of each row")
    arguments.add_argument("--scale", type=float, default=1.0, help="a part of the records only")
    arguments.add_argument("--list", action="store_true", help="print the names of the rows")
    arguments.add_argument("--tables", action="store_true", help="print what came of the runs so far")
    arguments.add_argument("--no-build", action="store_true", help="run what is built already")
    options = arguments.parse_args()
    wanted = [row for row in rows() if re.search(options.only, row.name)]
    if not wanted:
        arguments.error(f"no row is named like {options.only}; --list prints their names")
    if options.list:
        print("\n".join(row.name for row in wanted))
        return
    # What was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    print(machine())
    if not options.tables:
        run(wanted, options)
    made = results(options.scale)
    tables.show(wanted, made)
    targets.show(wanted, made)


if __name__ == "__main__":
    main()
