"""The rows of the benchmark: what runs on what, and how."""

from dataclasses import dataclass

EXACTLY_ONCE = "exactly-once"
AT_LEAST_ONCE = "at-least-once"

# Each is named with what is computed, its input, and the seed of that.
WORKLOADS = {
    "w1": ("upper", "amounts", 2_000_000, 100_000, 1),
    "w2": ("words", "lines", 200_000, 10_000, 2),
    "w3": ("sums", "amounts", 2_000_000, 100_000, 1),
    "w3-1m": ("sums", "amounts", 2_000_000, 1_000_000, 3),
}


@dataclass(frozen=True)
class Row:
    """One row: a contender with its settings on a workload."""

    kind: str  # throughput, latency, recovery (with what is on disk) or restore (without)
    workload: str
    contender: str
    state: str  # where rows are kept; "none" where there are none
    threads: int = 1
    commit: int = 100  # milliseconds
    guarantee: str = EXACTLY_ONCE

    @property
    def name(self):
        guarantee = "" if self.guarantee == EXACTLY_ONCE else f"/{self.guarantee}"
        return f"{self.kind}/{self.workload}/{self.contender}-{self.state}/{self.threads}x/{self.commit}ms{guarantee}"

    @property
    def computes(self):
        return WORKLOADS[self.workload][0]

    @property
    def repartitions(self):
        """Whether the native loop sends words through a topic; with one thread that keeps nothing it need not."""
        return self.workload == "w2" and (self.threads > 1 or self.state == "changelog")

    def input(self, scale):
        _, kind, records, keys, seed = WORKLOADS[self.workload]
        return {"kind": kind, "records": int(records * scale), "keys": keys, "seed": seed}


def throughput(workload, threads, *contenders):
    return [Row("throughput", workload, *contender.split("-", 1), threads) for contender in contenders]


def rows():
    """All rows. Those that are compared stand together, so that what else the machine does meets them alike."""
    stateless = ("native-none", "wasmill-none", "kstreams-none", "flink-none")
    stateful = ("native-changelog", "wasmill-sled", "wasmill-memory", "kstreams-rocksdb", "flink-hashmap")
    return [
        *throughput("w1", 1, *stateless),
        Row("throughput", "w1", "wasmill", "none", guarantee=AT_LEAST_ONCE),
        *throughput("w1", 2, *stateless),
        *throughput("w2", 1, "native-lost", *stateful),
        *throughput("w2", 2, *stateful),
        *throughput("w3", 1, "native-lost", *stateful, "kstreams-memory"),
        Row("throughput", "w3", "wasmill", "sled", guarantee=AT_LEAST_ONCE),
        Row("throughput", "w3", "wasmill", "sled", commit=20),
        *throughput("w3", 2, *stateful),
        *throughput("w3-1m", 1, *stateful),
        Row("throughput", "w3-1m", "flink", "hashmap", commit=1000),
        *throughput("w3-1m", 2, "native-changelog", "wasmill-sled", "wasmill-memory"),
        *latency(),
        *recovery(),
    ]


def latency():
    slow = [("native", "lost"), ("wasmill", "sled"), ("kstreams", "rocksdb"), ("flink", "hashmap")]
    fast = [("native", "lost"), ("wasmill", "sled")]
    return [
        *(Row("latency", "w3", *contender) for contender in slow),
        *(Row("latency", "w3", *contender, commit=20) for contender in fast),
    ]


def recovery():
    kept = [("native", "changelog"), ("wasmill", "sled"), ("wasmill", "fjall"), ("kstreams", "rocksdb"), ("flink", "rocksdb")]
    lost = [("wasmill", "memory"), ("wasmill", "sled"), ("wasmill", "fjall"), ("kstreams", "rocksdb")]
    return [
        *(Row("recovery", "w3-1m", *contender) for contender in kept),
        *(Row("restore", "w3-1m", *contender) for contender in lost),
    ]
