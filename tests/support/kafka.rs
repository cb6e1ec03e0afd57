//! A real Apache Kafka, one node in `KRaft` mode, from the jars that tests/run fetches.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use serde_json::Value;
use tempfile::TempDir;
use wasmill::kafka::{Client, Timing};

use super::command::limit;

const START: Duration = Duration::from_mins(5);
/// Runs a command, and kills it when it is told to, or when whoever could tell it is gone; then it cleans up too.
const WATCHDOG: &str = r#""$@" & read -r told; kill -9 $!; wait $!; [ "$told" = kill ] || rm -rf "$PWD""#;

const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// A broker of a test's own, or the one that all tests of a binary share. It dies with this process.
pub(crate) struct Broker {
    port: u16,
    directory: TempDir,
    process: Option<Child>,
}

impl Broker {
    /// The broker that the tests of this binary share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// Formats and starts a broker, and waits until it answers.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new().expect("a directory for the broker"), settings, &[])
    }

    /// The same in a directory that is there. In the settings `{port}` and `{controller}` stand for the ports, and `format`
    /// is for how the directory is formatted.
    pub(crate) fn start_in(directory: TempDir, settings: &[(&str, &str)], format: &[&str]) -> Self {
        let mut broker = Self::format(directory, [free_port(), free_port()], settings, format);
        broker.restart();
        broker
    }

    /// Formats a broker that is to listen at a port for clients and at one for controllers, and does not start it yet.
    pub(super) fn format(
        directory: TempDir,
        [port, controller]: [u16; 2],
        settings: &[(&str, &str)],
        format: &[&str],
    ) -> Self {
        let properties = properties(port, controller, directory.path(), settings);
        fs::write(directory.path().join("server.properties"), properties).expect("the broker's settings");
        let formats = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "server.properties"];
        let formatted = java(directory.path()).args(formats).args(format).output();
        let formatted = formatted.unwrap_or_else(|error| no_java(&error));
        assert!(formatted.status.success(), "format: {}", String::from_utf8_lossy(&formatted.stdout));
        Self { port, directory, process: None }
    }

    /// A file beside the broker's data.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client with short times, so that tests of failures are short.
    pub(crate) fn client(&self) -> Client {
        let timing = Timing {
            session: Duration::from_secs(15),
            max_poll: Duration::from_mins(1),
            transaction: Duration::from_secs(20),
            message: Duration::from_secs(15),
        };
        Client::new(&self.address(), [].into()).with_timing(timing)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let mut watchdog = process.stdin.take().expect("the watchdog's input");
            watchdog.write_all(b"kill\n").expect("tell the watchdog");
            process.wait().expect("wait for the watchdog");
        }
    }

    /// Starts it, after a kill on what that left, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.launch();
        self.await_answer();
    }

    /// The same, and does not wait.
    pub(super) fn launch(&mut self) {
        self.kill();
        let log = File::create(self.directory.path().join("broker.log")).expect("the broker's log");
        let mut command = Command::new("sh");
        command.current_dir(self.directory.path()).args(["-c", WATCHDOG, "watchdog", "java"]);
        command.args(java_options(&jars())).args(["kafka.Kafka", "server.properties"]).stdin(Stdio::piped());
        command.stdout(log.try_clone().expect("the broker's log")).stderr(log);
        self.process = Some(command.spawn().expect("a shell"));
    }

    pub(super) fn await_answer(&self) {
        let deadline = Instant::now() + START;
        while self.client().connect().is_err() {
            assert!(Instant::now() < deadline, "the broker does not answer:\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("broker.log")).unwrap_or_default()
    }

    /// Waits until no transaction with records in a topic is open: the markers of one that is committed may come late.
    pub(crate) fn settle(&self, topic: &str) {
        settle(&self.address(), topic);
    }

    /// What kafka-clients in Java reads: the committed records of topics, to the end that they have now.
    pub(crate) fn read(&self, topics: &[&str]) -> Vec<Value> {
        read(&self.address(), topics)
    }

    /// The same one by one, for topics whose records do not all fit into memory.
    pub(crate) fn read_each(&self, topics: &[&str], mut visit: impl FnMut(&Value)) {
        let mut line = |line: String| visit(&json(&line));
        java_lines("Reader.java", &[&[self.address().as_str()], topics].concat(), &mut line);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until no transaction with records in a topic is open, on the cluster of some brokers.
pub(crate) fn settle(brokers: &str, topic: &str) {
    let client = |isolation: &str| -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("isolation.level", isolation);
        config.create().expect("a consumer")
    };
    let (stable, all) = (client("read_committed"), client("read_uncommitted"));
    let metadata = all.fetch_metadata(Some(topic), START).expect("metadata");
    let deadline = Instant::now() + START;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    for partition in partitions.map(MetadataPartition::id) {
        let end = |consumer: &BaseConsumer| consumer.fetch_watermarks(topic, partition, START).expect("its end").1;
        while end(&stable) < end(&all) {
            assert!(Instant::now() < deadline, "a transaction in {topic}/{partition} stays open");
        }
    }
}

/// The committed records of topics that kafka-clients reads from a cluster.
pub(crate) fn read(brokers: &str, topics: &[&str]) -> Vec<Value> {
    json_lines(&reader(&[&[brokers], topics].concat()))
}

/// Asks a cluster of something, or changes something in it, by Cluster.java.
pub(crate) fn ask(command: &str, brokers: &str, arguments: &[&str]) -> Vec<Value> {
    json_lines(&java_program("Cluster.java", &[&[command, brokers], arguments].concat()))
}

fn json_lines(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| json(line)).collect()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).expect("a JSON line")
}

/// Runs Reader.java, and answers what it prints.
pub(crate) fn reader(arguments: &[&str]) -> Vec<String> {
    java_program("Reader.java", arguments)
}

/// Runs a program in tests/kafka, and answers what it prints.
pub(crate) fn java_program(name: &str, arguments: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    java_lines(name, arguments, &mut |line| lines.push(line));
    lines
}

fn java_lines(name: &str, arguments: &[&str], visit: &mut dyn FnMut(String)) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka").join(name);
    let mut command = java(Path::new("."));
    command.arg(source).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    limit(&mut command);
    let mut process = command.spawn().unwrap_or_else(|error| no_java(&error));
    let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    lines.for_each(|line| visit(line.expect("its output")));
    let end = process.wait_with_output().expect("its end");
    assert!(end.status.success(), "{name}: {}", String::from_utf8_lossy(&end.stderr));
}

fn properties(port: u16, controller: u16, directory: &Path, more: &[(&str, &str)]) -> String {
    let data = directory.join("data");
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n\
         num.partitions=4\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.num.partitions=4\n\
         transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n\
         share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n",
        data.display()
    );
    for (name, value) in more {
        text.extend([name, "=", value, "\n"]);
    }
    text.replace("{port}", &port.to_string()).replace("{controller}", &controller.to_string())
}

/// Java with Kafka's jars, in a directory.
fn java(directory: &Path) -> Command {
    let mut command = Command::new("java");
    command.current_dir(directory).args(java_options(&jars()));
    command
}

/// What Java is to be called with for Kafka's own commands.
pub(crate) fn options() -> [String; 4] {
    java_options(&jars())
}

fn java_options(lib: &Path) -> [String; 4] {
    let class_path = format!("{}/*", lib.display());
    ["-Xmx384m".into(), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(), "-cp".into(), class_path]
}

/// Where tests/run puts the jars.
fn jars() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        |target| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target),
    );
    let lib = target.join("kafka/lib");
    let jars = fs::canonicalize(&lib).ok().filter(|lib| lib.join("complete-4.3.1").exists());
    jars.unwrap_or_else(|| panic!("there is no Apache Kafka in {}: run tests/run, which fetches it", lib.display()))
}

fn no_java<T>(error: &std::io::Error) -> T {
    panic!("start java: {error}; run tests/run, which installs what the tests need")
}

/// A port that nobody listens at, and that is given to nobody else in this process.
pub(crate) fn free_port() -> u16 {
    free_listener().1
}

/// The same with somebody who listens there.
pub(crate) fn free_listener() -> (TcpListener, u16) {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return (listener, port);
        }
    }
}
