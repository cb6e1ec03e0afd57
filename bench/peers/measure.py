"""Measures a row once, on a broker that runs."""

import functools
import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contenders import COMMANDS, environment, lose_rows
from places import GEN

PARTITIONS = 4
IDLE = 2  # seconds without output, when all is there
PATIENCE = 300  # seconds for a run
LATENCY = {"keys": 100_000, "rate": 5000, "warm": 10, "measured": 30}
KILL_AT = 0.6  # of the output


class Wrong(Exception):
    """A run that does not count."""


@dataclass
class Job:
    """What a contender is told."""

    row: object
    brokers: str
    group: str
    place: Path
    input: str
    restore: str = ""

    @property
    def output(self):
        return f"{self.group}-output"

    @property
    def state(self):
        return self.place / "state"

    @property
    def said(self):
        """Where a contender writes what it has to say of a restore."""
        return self.place / "said"

    def properties(self):
        """Writes the job into a file of properties."""
        row, path = self.row, self.place / "job.properties"
        words = {
            "brokers": self.brokers,
            "group": self.group,
            "workload": row.computes,
            "input": self.input,
            "output": self.output,
            "threads": row.threads,
            "commit-ms": row.commit,
            "guarantee": row.guarantee,
            "state": row.state,
            "state-dir": self.state,
            # Throughput gains from larger batches in Java; latency does not.
            "linger-ms": 20 if row.kind != "latency" and row.contender in ("kstreams", "flink") else 5,
            "repartition": str(row.repartitions).lower(),
            "restore": self.restore,
        }
        path.write_text("".join(f"{name}={value}\n" for name, value in words.items()))
        return path

    def command(self):
        return [str(word) for word in COMMANDS[self.row.contender](self)]


class Bench:
    """A broker with its inputs, and where contenders keep their files."""

    def __init__(self, broker, place, scale):
        self.broker = broker
        self.place = Path(place)
        self.scale = scale
        self.answers = functools.cache(self.answer)

    def gen(self, name, **terms):
        """Has gen do a task, and answers what it prints."""
        command = [GEN, self.broker.address, json.dumps({name: terms})]
        with open(self.place / "contenders.log", "a") as log:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment())
        if done.returncode:
            raise Wrong(f"gen {name} failed: see {self.place / 'contenders.log'}")
        return json.loads(done.stdout)

    def answer(self, computes, input):
        return self.gen("expect", workload=computes, input=dict(input))

    def fill(self, row):
        """Makes a row's input, once for all runs with these files, and answers its topic."""
        input = row.input(self.scale)
        topic = "peers-input-{kind}-{records}-{keys}-{seed}".format(**input)
        filled = self.broker.place / f"{topic}.filled"
        if not filled.exists():
            self.gen("delete", prefix=topic)
            self.gen("create", topics={topic: PARTITIONS})
            records = self.gen("fill", topic=topic, input=input)
            print(f"filled {topic} with {records:,} records", flush=True)
            filled.touch()
        return topic

    def run(self, row):
        """Runs a row, and answers what was measured."""
        group = f"peers-{time.time_ns() // 1_000_000}"
        job = Job(row, self.broker.address, group, self.place / "jobs" / group, self.fill(row))
        job.state.mkdir(parents=True)
        topics = [job.output]
        if row.contender == "native":
            # The others make their own.
            topics += [f"{group}-changelog", f"{group}-repartition"]
        if row.kind == "latency":
            job.input = f"{group}-input"
            topics.append(job.input)
        self.gen("create", topics=dict.fromkeys(topics, PARTITIONS))
        try:
            return {"latency": self.latency, "throughput": self.throughput}.get(row.kind, self.recovery)(job)
        finally:
            if job.said.exists():
                with open(self.place / "contenders.log", "a") as log:
                    log.write(job.said.read_text())
            self.gen("delete", prefix=group)
            shutil.rmtree(job.place)

    def expected(self, row):
        return self.answers(row.computes, tuple(row.input(self.scale).items()))

    def observe(self, job, outputs, **terms):
        terms = {"kill": None, "receive": False, **terms}
        inputs = job.row.input(self.scale)["records"]
        watched = {"output": job.output, "broker": self.broker.process.pid, "inputs": inputs, "outputs": outputs}
        return self.gen("observe", **watched, idle=IDLE, patience=PATIENCE, command=job.command(), **terms)

    def throughput(self, job):
        expected = self.expected(job.row)
        result = self.observe(job, expected["records"])
        self.verify(job, result)
        if job.said.exists():
            result["after_tasks_s"] = result["first_s"] - granted(job.said.read_text())
        return result

    def verify(self, job, result):
        """The whole output, as those see it who read what is committed, is the right answer."""
        found, expected = self.gen("verify", topic=job.output), self.expected(job.row)
        if result["status"] != "done":
            raise Wrong(f"the contender {result['status']} with {found['records']} of {expected['records']} outputs")
        if found != expected:
            raise Wrong(f"the output is {found} and not {expected}")

    def recovery(self, job):
        """Kills the contender on its way, starts it again, and verifies what both lives wrote."""
        expected = self.expected(job.row)["records"]
        kill = {"outputs": int(expected * KILL_AT), "after_ms": job.row.commit // 2}
        first = self.observe(job, expected, kill=kill)
        if first["status"] != "killed":
            raise Wrong(f"the contender {first['status']} before it was to be killed")
        # By then what was committed is visible.
        before = self.gen("verify", topic=job.output)
        if job.row.kind == "restore":
            lose_rows(job)
        if job.row.contender == "flink":
            job.restore = last_checkpoint(job.state)
        result = self.observe(job, expected - before["records"], receive=True)
        self.verify(job, result)
        # Rates of a part of the input say nothing.
        kept = {name: result[name] for name in ("memory_mib", "first_s", "other_cpu") if name in result}
        if job.said.exists():
            kept |= restored(job.said.read_text())
        return {**kept, "new_output_s": result["received_s"], "rows": before["keys"], "outputs_before": before["records"]}

    def latency(self, job):
        terms = {"input": job.input, "output": job.output, "broker": self.broker.process.pid, **LATENCY}
        result = self.gen("latency", command=job.command(), **terms)
        if result["received"] != result["sent"]:
            raise Wrong(f"{result['sent']} records were sent, and {result['received']} outputs received")
        return result


def granted(said):
    """After how many seconds the group gave a node of Wasmill its tasks."""
    started, *lines = said.splitlines()
    given = next((line for line in lines if " granted " in line), None)
    if not given:
        raise Wrong("the node does not say when the group gave it tasks")
    return (datetime.fromisoformat(given.split()[0]) - datetime.fromisoformat(started)).total_seconds()


def restored(said):
    """How many rows a node of Wasmill restored, and how long that took: from the moment that it was given the tasks until it
    had the last of them. Those that it had before go on meanwhile."""
    lines = [line for line in said.splitlines() if " granted " in line or " acquired " in line]
    began, *_, ended = (datetime.fromisoformat(line.split()[0]) for line in lines)
    rows = sum(int(count) for line in lines for count in re.findall(r" restored=(\d+)", line))
    return {"restored": rows, "restore_s": (ended - began).total_seconds()}


def last_checkpoint(state):
    """The last checkpoint of Flink that is whole."""
    whole = max(state.glob("*/chk-*/_metadata"), key=lambda file: file.stat().st_mtime, default=None)
    if not whole:
        raise Wrong("Flink has left no checkpoint")
    return whole.parent.as_uri()
