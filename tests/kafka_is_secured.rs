//! A real Apache Kafka that takes TLS and passwords only, and lets users do what they have rights to.

use std::process::Command;

use tempfile::TempDir;

use crate::support::command::{Ended, Place, repository};
use crate::support::kafka::{Broker, free_port};

const LINES: &str = "the cat and the hat\nthe end\n";

/// A broker with a listener for TLS with passwords beside the one that tests use.
struct Secured {
    broker: Broker,
    port: u16,
}

impl Secured {
    /// `alice` may do everything, `bob` nothing.
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        certify(&directory);
        let port = free_port();
        let listeners = format!("PLAINTEXT://127.0.0.1:{{port}},SECURE://127.0.0.1:{port}");
        let all = format!("{listeners},CONTROLLER://127.0.0.1:{{controller}}");
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"wonderland\" \
                     user_bob=\"builder\";";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let settings = [
            ("listeners", all.as_str()),
            ("advertised.listeners", listeners.as_str()),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL"),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("listener.name.secure.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
            ("listener.name.secure.plain.sasl.jaas.config", plain),
            ("listener.name.secure.scram-sha-256.sasl.jaas.config", scram),
            ("listener.name.secure.scram-sha-512.sasl.jaas.config", scram),
            ("ssl.keystore.location", "broker.p12"),
            ("ssl.keystore.type", "PKCS12"),
            ("ssl.keystore.password", "changeit"),
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", "User:ANONYMOUS;User:alice"),
        ];
        let scram =
            ["SCRAM-SHA-256=[name=alice,password=wonderland]", "SCRAM-SHA-512=[name=alice,password=wonderland]"];
        let broker = Broker::start_in(directory, &settings, &["--add-scram", scram[0], "--add-scram", scram[1]]);
        Self { broker, port }
    }

    /// What a client needs to say who it is.
    fn properties(&self, mechanism: &str, user: &str, password: &str) -> String {
        format!(
            "security.protocol=sasl_ssl\nssl.ca.location={}\nsasl.mechanism={mechanism}\nsasl.username={user}\n\
             sasl.password={password}\n",
            self.broker.path("ca.pem").display()
        )
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Makes a key of the broker's, and the certificate that clients trust.
fn certify(directory: &TempDir) {
    let store = ["-alias", "broker", "-keystore", "broker.p12", "-storetype", "PKCS12", "-storepass", "changeit"];
    let generate =
        ["-genkeypair", "-keyalg", "RSA", "-validity", "3", "-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1"];
    let export = ["-exportcert", "-rfc", "-file", "ca.pem"];
    for arguments in [&generate[..], &export] {
        let made = Command::new("keytool").current_dir(directory).args(arguments).args(store).output().unwrap();
        assert!(made.status.success(), "keytool: {}", String::from_utf8_lossy(&made.stdout));
    }
}

struct User<'s> {
    secured: &'s Secured,
    place: Place,
    name: String,
}

impl<'s> User<'s> {
    fn new(secured: &'s Secured, name: &str, properties: &str) -> Self {
        let place = Place::new();
        let example = repository().join("examples/word-count");
        place.write("kafka.properties", properties);
        place.write(
            "pipeline.yaml",
            format!(
                "format-version: 1\nname: {name}\n\
                 sources:\n  lines: {{topic: {name}-lines, create: {{partitions: 4}}}}\n\
                 operators:\n  split: {{plugin: {split}, from: lines}}\n  count: {{plugin: {count}, from: split}}\n\
                 sinks:\n  counts: {{topic: {name}-counts, create: {{partitions: 4}}, from: count}}\n",
                split = example.join("split").display(),
                count = example.join("count").display()
            ),
        );
        Self { secured, place, name: name.to_owned() }
    }

    fn secured(&self) -> [String; 4] {
        ["--brokers".into(), self.secured.address(), "--kafka-config".into(), "kafka.properties".into()]
    }

    fn produce(&self) -> Ended {
        let arguments = ["produce".to_owned(), format!("{}-lines", self.name), "--partitions".into(), "4".into()];
        self.place.run_with(arguments.into_iter().chain(self.secured()), LINES.as_bytes())
    }

    fn run(&self) -> Ended {
        let arguments = "run pipeline.yaml --until-end --workers 2 --store sled --session-timeout 15s";
        self.place.run(arguments.split(' ').map(str::to_owned).chain(self.secured()))
    }
}

/// 4 partitions, 2 workers, sled: by each mechanism, the password from the environment's variable, from a file, and as it is.
#[test]
fn word_count_runs_over_tls_with_each_way_to_give_a_password() {
    let secured = Secured::start();
    for (mechanism, name) in [("PLAIN", "plain"), ("SCRAM-SHA-256", "scram-256"), ("SCRAM-SHA-512", "scram-512")] {
        let user = User::new(&secured, name, &secured.properties(mechanism, "alice", "${file:password}"));
        user.place.write("password", "wonderland\n");
        user.produce().ok();
        user.run().ok();
        let read = secured.broker.read(&[&format!("{name}-counts")]);
        assert!(read.iter().any(|record| record["key"] == "the" && record["value"] == "3"), "{mechanism}: {read:?}");
    }

    let wrong = User::new(&secured, "wrong", &secured.properties("SCRAM-SHA-512", "alice", "looking-glass"));
    let refused = wrong.produce();
    assert!(!refused.stderr.contains("looking-glass"), "{}", refused.stderr);
    refused
        .failed(1, &["cannot reach Kafka at 127.0.0.1:", "uthentication failed", "check --brokers and --kafka-config"]);

    let stranger = secured.properties("PLAIN", "alice", "wonderland").replace("ca.pem", "broker.p12");
    let refused = User::new(&secured, "stranger", &stranger).produce();
    refused.failed(1, &["configure the Kafka client: ssl.ca.location failed"]);

    let plain = User::new(&secured, "no-tls", "security.protocol=plaintext\n").produce();
    plain.failed(1, &["cannot reach Kafka at 127.0.0.1:"]);

    let bob = User::new(&secured, "bob", &secured.properties("PLAIN", "bob", "builder"));
    for refused in [bob.produce(), bob.run()] {
        assert!(refused.stderr.contains("bob-lines"), "the topic is not named: {}", refused.stderr);
        refused.failed(1, &["uthorization failed", "grant the user Describe and Read to read the topic"]);
    }
}
