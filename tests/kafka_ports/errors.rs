use std::time::{Duration, Instant};

use wasmill::broker::Broker as _;
use wasmill::kafka::admin::{self, Kind, NewTopic};
use wasmill::kafka::records::Records;
use wasmill::kafka::{Client, Error, Identity, Pipeline};
use wasmill::topology::{InputTopic, Start, Topology};
use wasmill_core::record::{Offset, Partition};

use super::world::{WIDTH, World, await_until};
use crate::support::kafka::Broker;

#[test]
fn a_broker_that_is_not_there_is_told_within_ten_seconds() {
    let began = Instant::now();
    let error = Client::new("127.0.0.1:1", [].into()).connect().unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(error.starts_with("cannot reach Kafka at 127.0.0.1:1: "), "{error}");
    assert!(error.contains("refused") && error.contains("check --brokers"), "{error}");
}

#[test]
fn a_topic_that_is_not_there_is_named_with_how_to_make_it() {
    let client = Broker::shared().client();
    let input = InputTopic { topic: "no-such-topic".into(), start: Start::Earliest, repartition: false, file: None };
    let topology = Topology { inputs: vec![vec![input]], ..Topology::default() };
    let identity = Identity { cluster: "c".into(), pipeline: "p".into(), node: "n".into() };
    let error = Pipeline::open(client, identity, topology).unwrap_err();
    assert!(matches!(&error, Error::Missing { topic, .. } if topic == "no-such-topic"));
    assert!(error.to_string().contains("--create --topic no-such-topic"), "{error}");
}

#[test]
fn a_property_that_does_not_exist_is_named() {
    let error = Client::new("127.0.0.1:1", [("no.such.property", "1")].into()).connect().unwrap_err().to_string();
    assert!(error.contains("no.such.property"), "{error}");
}

#[test]
fn a_value_out_of_range_is_told_in_one_line() {
    let error = Client::new("127.0.0.1:1", [("linger.ms", "-5")].into()).connect().unwrap_err().to_string();
    assert!(error.contains("linger.ms: ") && error.contains("-5 is outside allowed range"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    let error = Client::new("127.0.0.1:1", [("queued.min.messages", "4294967301")].into()).connect().unwrap_err();
    assert!(error.to_string().contains("queued.min.messages: 4294967301 is too large a number"), "{error}");
}

#[test]
fn topics_of_our_own_have_the_settings_that_the_protocol_needs() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let topics = ["changelog", "repartition", "in"].map(|kind| world.topic(kind));
    let described = admin::describe(&broker.client(), topics.iter().map(String::as_str)).unwrap();
    for topic in &topics {
        let topic = &described[topic];
        assert_eq!((topic.partitions, topic.largest_message), (WIDTH, 1_048_588));
        assert_eq!(topic.id.len(), 22, "{topic:?}");
    }
    let wider = NewTopic::new(&topics[0], WIDTH + 1, Kind::Changelog);
    let error = admin::create(&broker.client(), &[wider]).unwrap_err().to_string();
    assert!(error.contains("4 partitions in place of 5"), "{error}");
    admin::purge(&broker.client(), &[(&topics[1], Partition(0), Offset(0))]).unwrap();
    assert!(admin::purge(&broker.client(), &[(&topics[0], Partition(0), Offset(0))]).is_err(), "a compacted one");
    assert!(admin::list(&broker.client()).unwrap().contains(&(topics[2].clone(), WIDTH)));
}

/// A broker tells that a topic is there before it knows that it leads it.
#[test]
fn records_of_a_topic_that_was_just_made_are_purged() {
    let broker = Broker::shared();
    let world = World::new(broker);
    for number in 0..20 {
        let topic = world.topic(&format!("new-{number}"));
        admin::create(&broker.client(), &[NewTopic::new(&topic, 8, Kind::Repartition)]).unwrap();
        let all: Vec<_> = (0..8).map(|number| (topic.as_str(), Partition(number), Offset(0))).collect();
        admin::purge(&broker.client(), &all).unwrap();
    }
}

/// The broker may not know yet that it leads them.
#[test]
fn topics_that_were_just_made_are_listed() {
    let broker = Broker::shared();
    let world = World::new(broker);
    let mut records = Records::connect(broker.client()).unwrap();
    for number in 0..20 {
        let topic = world.topic(&format!("listed-{number}"));
        admin::create(&broker.client(), &[NewTopic::new(&topic, 8, Kind::Repartition)]).unwrap();
        let listed = records.topics().unwrap();
        let found = listed.iter().find(|listed| listed.topic == topic).map(|listed| listed.partitions.len());
        assert_eq!(found, Some(8), "{topic}");
    }
}

/// Deletes a changelog and makes it again.
pub(crate) fn make_again(broker: &Broker, topic: &str) {
    let client = broker.client();
    admin::delete(&client, &[topic]).unwrap();
    let gone = || !admin::list(&client).unwrap().iter().any(|(name, _)| name == topic);
    await_until("the topic is gone", gone);
    admin::create(&client, &[NewTopic::new(topic, WIDTH, Kind::Changelog)]).unwrap();
}
