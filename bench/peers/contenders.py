"""The contenders: how they are built, and with what command each runs a job."""

import os
import shutil
import subprocess

from places import BINARY, BUILT, HERE, KAFKA_JARS, NATIVE, PLUGINS, ROOT

KAFKA = "4.3.1"

JAVA = ["java", "-Xms512m", "-Xmx2g", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
# What Flink asks of Java 17.
OPENS = ["java.lang", "java.util", "java.util.concurrent", "java.time", "java.nio"]

PIPELINE = """format-version: 1
name: peers
guarantee: {guarantee}
commit: {{interval: {commit}ms}}
sources:
  input: {{topic: {input}}}
operators:
{operators}
sinks:
  output: {{topic: {output}, from: {last}}}
dead-letters: {group}-dead-letters
"""

# The operators of each workload, in a row.
OPERATORS = {"upper": ["upper"], "words": ["split", "count"], "sums": ["sum"]}


def check_tools():
    """Ends with what is missing."""
    for tool, why in {"cargo": "https://rustup.rs", "java": "Java 17 or later", "mvn": "Maven"}.items():
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: install {why}")


def build():
    """Builds the contenders and what measures them, and fetches Kafka."""
    check_tools()
    cargo("build", "--release", place=ROOT)
    cargo("build", "--release", "--target-dir", BUILT / "cargo", place=HERE)
    wasm = ["--target", "wasm32-unknown-unknown", "--target-dir", BUILT / "operators"]
    cargo("build", "--release", *wasm, place=HERE / "operators")
    for name in ("kstreams", "flink"):
        copied = copy_jars(BUILT / name / "lib")
        maven(HERE / name / "pom.xml", f"-Dplace={BUILT / name}", "compile", *copied)
    if not (KAFKA_JARS / f"complete-{KAFKA}").exists():
        maven(ROOT / "tests/kafka/pom.xml", *copy_jars(KAFKA_JARS), f"-Dkafka.version={KAFKA}")
        (KAFKA_JARS / f"complete-{KAFKA}").touch()


def cargo(*arguments, place):
    print(f"cargo {arguments[0]} in {place}", flush=True)
    subprocess.run(["cargo", *arguments, "--quiet"], cwd=place, check=True)


def maven(project, *arguments):
    print(f"mvn in {project.parent}", flush=True)
    subprocess.run(["mvn", "-q", "-B", "-f", project, *arguments], check=True)


def copy_jars(place):
    return ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={place}"]


def java(name, job, *options):
    """A contender in Java, on a job."""
    built = BUILT / name
    return [*JAVA, *options, "-cp", f"{built}/classes:{built}/lib/*", "peers.Main", job.properties()]


def native(job):
    return [NATIVE, job.properties()]


def kstreams(job):
    return java("kstreams", job)


def flink(job):
    return java("flink", job, *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENS))


def wasmill(job):
    row, pipeline, kafka = job.row, job.place / "pipeline.yaml", job.place / "kafka.properties"
    names = OPERATORS[row.computes]
    inputs = ["input", *names]
    operators = [f"  {name}: {{plugin: {PLUGINS / name}.wasm, from: {of}}}" for name, of in zip(names, inputs)]
    pipeline.write_text(
        PIPELINE.format(
            guarantee=row.guarantee,
            commit=row.commit,
            input=job.input,
            operators="\n".join(operators),
            output=job.output,
            last=names[-1],
            group=job.group,
        )
    )
    # The others do not compress either.
    kafka.write_text("compression.codec=none\n")
    place = ["--data-dir", job.state, "--cluster", job.group]
    store = [] if row.state == "none" else ["--store", row.state]
    kafka = ["--brokers", job.brokers, "--kafka-config", kafka]
    run = [BINARY, "run", pipeline, *place, *store, *kafka, "--workers", str(row.threads)]
    level = {"throughput": "warn,wasmill::kafka=info", "restore": "wasmill=debug"}.get(row.kind)
    if not level:
        return run
    # What it says comes behind the time at which it was started.
    told = f'date -u +%FT%T.%6NZ > "$0"; WASMILL_LOG={level} exec "$@" 2>> "$0"'
    return ["sh", "-c", told, job.said, *run]


COMMANDS = {"native": native, "kstreams": kstreams, "flink": flink, "wasmill": wasmill}


def lose_rows(job):
    """Removes the rows of a contender that has ended. Wasmill's node keeps its id, as the others keep theirs, which
    stands in their settings: else a new one waits until the session of the old one is over."""
    rows = job.state / "store" if job.row.contender == "wasmill" else job.state
    shutil.rmtree(rows, ignore_errors=True)


def environment():
    """What contenders inherit. With RUST_BACKTRACE each trap of a plugin would trace the host's stack."""
    return {name: value for name, value in os.environ.items() if name != "RUST_BACKTRACE"}
