"""An Apache Kafka of one node, whose files stay for the next run."""

import socket
import subprocess
import time
from pathlib import Path

CLUSTER = "cGVlcnMtYmVuY2htYXJrMQ"
START = 60  # seconds

SETTINGS = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={place}/logs
auto.create.topics.enable=false
num.partitions=4
log.retention.ms=-1
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=8
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class Broker:
    """A broker that runs as long as the block of its `with`."""

    def __init__(self, place, jars):
        self.place = Path(place)
        self.java = ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
        self.process = None
        self.address = None

    def __enter__(self):
        self.place.mkdir(parents=True, exist_ok=True)
        port, controller = free_ports(2)
        settings = self.place / "server.properties"
        settings.write_text(SETTINGS.format(port=port, controller=controller, place=self.place))
        if not (self.place / "logs/meta.properties").exists():
            format = [*self.java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", settings]
            subprocess.run(format, check=True, stdout=subprocess.DEVNULL)
        with open(self.place / "log", "w") as log:
            heap = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"]
            command = [self.java[0], *heap, *self.java[1:], "kafka.Kafka", settings]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.address = f"127.0.0.1:{port}"
        try:
            self.await_answer(port)
        except BaseException:
            self.stop()
            raise
        return self

    def await_answer(self, port):
        deadline = time.monotonic() + START
        while not listens(port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the broker does not start: see {self.place / 'log'}")
            time.sleep(0.1)

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def listens(port):
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
