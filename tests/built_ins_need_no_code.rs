//! Operators without code, run by the built binary: on several partitions, with 2 workers and the store sled, and under
//! SIGKILL.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Ended, Place};
use crate::support::lives::{End, live};
use crate::support::words;

const RUN: [&str; 9] =
    ["run", "pipeline.yaml", "--until-end", "--data-dir", "data", "--workers", "2", "--store", "sled"];

fn consumed(place: &Place, topic: &str) -> Vec<Value> {
    let log = ["--data-dir", "data", "--from-beginning", "--until-end", "--format", "jsonl"];
    let printed = place.run([&["consume", topic], &log[..]].concat()).ok();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn values(place: &Place, topic: &str) -> Vec<String> {
    let mut values: Vec<_> =
        consumed(place, topic).iter().map(|record| record["value"].as_str().unwrap().to_owned()).collect();
    values.sort();
    values
}

/// Runs operators on a feed of JSON lines; the topic and the sink of a port are named after it.
fn run(operators: &str, ports: &[&str], feed: &str) -> (Place, Ended) {
    let place = Place::new();
    place.write("feed.jsonl", feed);
    let mut text = format!(
        "format-version: 1\nname: p\nsources:\n  in: {{topic: in, sample: feed.jsonl, create: {{partitions: 4}}}}\n\
         operators:\n{operators}\nsinks:\n"
    );
    for port in ports {
        let name = port.replace('.', "-");
        writeln!(text, "  {name}: {{topic: {name}, create: {{partitions: 4}}, from: {port}}}").unwrap();
    }
    place.write("pipeline.yaml", text);
    let ended = place.run(RUN);
    (place, ended)
}

#[test]
fn hoist_field_and_insert_field_write_what_kafka_connect_writes() {
    let operators = "  made: {use: hoist-field, field: line, from: in}\n  \
         out: {use: insert-field, fields: {data_source: test-file-source}, from: made}";
    let feed = "{\"value\":\"hello\"}\n{\"value\":\"42\"}\n{\"key\":\"k\",\"value\":\"say \\\"hi\\\"\"}\n";
    let (place, ended) = run(operators, &["made", "out"], feed);
    ended.ok();
    assert_eq!(values(&place, "made"), [r#"{"line":"42"}"#, r#"{"line":"hello"}"#, r#"{"line":"say \"hi\""}"#]);
    let expected = [
        r#"{"line":"42","data_source":"test-file-source"}"#,
        r#"{"line":"hello","data_source":"test-file-source"}"#,
        r#"{"line":"say \"hi\"","data_source":"test-file-source"}"#,
    ];
    assert_eq!(values(&place, "out"), expected);
}

#[test]
fn a_chain_without_state_does_what_it_says_and_loses_nothing() {
    let operators = r#"  items: {use: split, field: /items, keep: value, from: in}
  flat: {use: flatten, from: items}
  typed: {use: cast, fields: {items.price: number, id: text}, from: flat}
  cheap: {use: filter, where: 'double(value["items.price"]) < 100.0', from: typed}
  tagged: {use: set, fields: {/meta/source: shop}, expressions: {label: 'id + ":" + value["items.sku"]'}, from: cheap}
  hidden: {use: mask, fields: user.mail, from: tagged}
  short: {use: drop, fields: [user.name], from: hidden}
  sorted: {use: route, routes: {tea: 'value["items.sku"] == "tea"'}, from: short}
  few: {use: select, fields: [label, items.price], from: sorted.tea}
  shaped: {use: map, to: '{"what": label, "price": value["items.price"]}', from: few}
  keyed: {use: key-by, field: what, from: shaped}"#;
    let mut feed = String::new();
    let mut expected: Vec<(String, String)> = Vec::new();
    let mut others = 0;
    for order in 0..200 {
        if order % 20 == 7 {
            writeln!(feed, "{{\"value\":\"not JSON {order}\"}}").unwrap();
            continue;
        }
        let sku = if order % 3 == 0 { "tea" } else { "cup" };
        let user = format!("{{\"name\":\"n\",\"mail\":\"m{order}@x\"}}");
        let items = format!("[{{\"sku\":\"{sku}\",\"price\":\"{order}.50\"}},{{\"sku\":\"tea\",\"price\":3.10}}]");
        writeln!(feed, "{{\"key\":\"k{}\",\"value\":{{\"id\":{order},\"user\":{user},\"items\":{items}}}}}", order % 9)
            .unwrap();
        let mut tea = |price: String| {
            let what = format!("{order}:tea");
            expected.push((what.clone(), format!("{{\"what\":\"{what}\",\"price\":{price}}}")));
        };
        tea("3.10".to_owned());
        match (sku, order < 100) {
            ("tea", true) => tea(format!("{order}.50")),
            ("cup", true) => others += 1,
            _ => {}
        }
    }
    let (place, ended) = run(operators, &["keyed", "sorted"], &feed);
    ended.ok();
    let mut got: Vec<_> = consumed(&place, "keyed")
        .iter()
        .map(|record| (record["key"].as_str().unwrap().to_owned(), record["value"].as_str().unwrap().to_owned()))
        .collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
    let rest = consumed(&place, "sorted");
    assert_eq!(rest.len(), others);
    for record in &rest {
        let value = record["value"].as_str().unwrap();
        assert!(value.contains(r#""user.mail":"***""#) && !value.contains("@x"), "{value}");
        assert!(value.contains(r#""meta":{"source":"shop"}"#) && !value.contains("user.name"), "{value}");
        assert!(record["key"].as_str().unwrap().starts_with('k'), "{record}");
    }
    let letters = consumed(&place, "p.dead-letters");
    assert_eq!(letters.len(), 10);
    for letter in letters {
        let header = |name: &str| letter["headers"][format!("wasmill-error-{name}")].as_str().unwrap();
        assert!(letter["value"].as_str().unwrap().starts_with("not JSON "), "{letter}");
        assert_eq!((header("operator"), header("plugin")), ("items", "built-in:split"));
        assert!(header("reason").starts_with("the value is not JSON: "), "{letter}");
    }
}

#[test]
fn a_bad_record_of_a_built_in_goes_the_way_that_on_error_says() {
    let feed = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"a\",\"value\":\"x\"}\n{\"key\":\"a\",\"value\":\"2.5\"}\n";
    let (place, ended) = run("  out: {use: sum, from: in, on-error: skip}", &["out"], feed);
    ended.ok();
    assert_eq!(values(&place, "out"), ["1", "3.5"]);
    assert!(consumed(&place, "p.dead-letters").is_empty());
    let (place, ended) = run("  out: {use: sum, from: in, on-error: stop}", &["out"], feed);
    ended.failed(1, &["out", "the value is not JSON"]);
    assert!(values(&place, "out").len() <= 1);
    let (place, ended) = run("  out: {use: sum, from: in}", &["out"], feed);
    ended.ok();
    assert_eq!(values(&place, "out"), ["1", "3.5"]);
    assert_eq!(values(&place, "p.dead-letters"), ["x"]);
}

#[test]
fn hostile_values_are_dead_letters_and_hurt_nobody() {
    let deep = "[".repeat(300_000);
    let closed = format!("{deep}{}", "]".repeat(300_000));
    let hostile = [deep, closed, format!("{{\"n\":{}}}", "9".repeat(700_000)), "{\"n\":1,\"n\":2}".to_owned()];
    let mut feed = String::new();
    for (index, value) in hostile.iter().enumerate() {
        let good = "{\"key\":\"a\",\"value\":{\"n\":1}}";
        writeln!(feed, "{good}\n{}\n{good}", serde_json::json!({ "key": "a", "value": value })).unwrap();
        if index == 0 {
            writeln!(feed, "{{\"key\":\"a\",\"value\":{{\"base64\":\"//79\"}}}}").unwrap();
        }
    }
    let operators = "  only: {use: filter, where: value.n >= 0, from: in}\n  out: {use: sum, field: n, from: only}";
    let (place, ended) = run(operators, &["out"], &feed);
    ended.ok();
    let last = consumed(&place, "out").iter().filter_map(|record| record["value"].as_str()?.parse::<u32>().ok()).max();
    assert_eq!(last, Some(8));
    assert_eq!(consumed(&place, "p.dead-letters").len(), hostile.len() + 1);
}

#[test]
fn a_wrong_setting_or_port_of_a_built_in_is_told_before_anything_runs() {
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str]); 4] = [
        ("  a: {use: hoist-feild, field: x, from: in}", "a", &["pipeline.yaml:6:12", "did you mean `hoist-field`?"]),
        ("  a: {use: sum, feild: x, from: in}", "a", &["pipeline.yaml:6:17", "unknown key `feild`, did you mean `field`?"]),
        ("  a: {use: filter, where: 'x >', from: in}", "a", &["pipeline.yaml:6:27", "this is not a CEL expression"]),
        ("  a: {use: route, routes: {big: x > 1}, from: in}", "a.bigg", &["pipeline.yaml:8:", "did you mean `a.big`?"]),
    ];
    for (operators, port, says) in table {
        let (place, ended) = run(operators, &[port], "");
        ended.failed(78, says);
        place.run(["validate", "pipeline.yaml"]).failed(78, says);
        // Ports are looked at where plugins are, which takes a place to keep them.
        assert!(port.contains('.') || !place.path("data").exists(), "nothing was made for a pipeline that is wrong");
    }
}

/// 4 partitions, 2 workers, sled; at least 25 kills, at least 10 with an open epoch.
#[test]
fn keyed_built_ins_are_exactly_once_over_25_kills() {
    let place = Place::new();
    let keyed = |name: &str, more: &str| format!("  {name}: {{use: {name}, {more}from: once}}\n");
    let operators = ["sum", "min", "max", "avg"].map(|name| keyed(name, "key: /shop, field: amount, ")).concat();
    let mut text = format!(
        "format-version: 1\nname: killed\ncommit: {{interval: 20ms}}\nsources:\n  orders: {{topic: orders}}\n\
         operators:\n  once: {{use: dedupe, key: /id, from: orders}}\n{operators}{}sinks:\n",
        keyed("count", "key: /shop, ")
    );
    for name in ["once", "count", "sum", "min", "max", "avg"] {
        writeln!(text, "  {name}: {{topic: {name}, create: {{partitions: 4}}, from: {name}}}").unwrap();
    }
    place.write("pipeline.yaml", text);
    let mut orders: Vec<(u64, u64)> = Vec::new();
    let mut next = 0_u64;
    let mut produce = |orders: &mut Vec<(u64, u64)>| {
        let mut lines = String::new();
        for _ in 0..20_000 {
            next += 1;
            // Every third order is sent twice, the second time later.
            let id = if next.is_multiple_of(3) && next > 50 { next - 50 } else { next };
            let cents = id.wrapping_mul(7919) % 100_000;
            writeln!(lines, "{{\"id\":{id},\"shop\":\"s{}\",\"amount\":{}.{:02}}}", id % 17, cents / 100, cents % 100)
                .unwrap();
            orders.push((id, cents));
        }
        place.run_with(["produce", "orders", "--data-dir", "data", "--partitions", "4"], lines.as_bytes()).ok();
    };
    produce(&mut orders);
    let (mut kills, mut open, mut seed) = (0, 0, 0x9e37_79b9_u64);
    while kills < 25 || open < 10 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (commits, moment) = (1 + (seed >> 40) as usize % 3, Duration::from_micros((seed >> 20) % 20_000));
        match live(place.command(RUN), commits, moment) {
            End::Killed { open: epochs } => {
                kills += 1;
                open += usize::from(epochs > 0);
            }
            End::Done => produce(&mut orders),
        }
        assert!(kills < 200, "{open} of {kills} kills met an open epoch");
    }
    place.run(RUN).ok();

    let mut distinct = HashSet::new();
    let mut shops: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (id, cents) in orders.into_iter().filter(|(id, _)| distinct.insert(*id)) {
        shops.entry(format!("s{}", id % 17)).or_default().push(cents);
    }
    assert_eq!(consumed(&place, "once").len(), distinct.len());
    let counts = consumed(&place, "count");
    let pairs = counts.iter().map(|record| (record["key"].as_str().unwrap(), record["value"].as_str().unwrap()));
    let each: BTreeMap<_, _> = shops.iter().map(|(shop, cents)| (shop.clone(), cents.len() as u64)).collect();
    assert_eq!(words::follow(pairs), each);
    let money = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
    for (name, of) in [
        ("sum", (|cents| cents.iter().sum()) as fn(&[u64]) -> u64),
        ("min", |cents| cents.iter().copied().min().unwrap()),
        ("max", |cents| cents.iter().copied().max().unwrap()),
    ] {
        let expected: BTreeMap<_, _> = shops.iter().map(|(shop, cents)| (shop.clone(), money(of(cents)))).collect();
        assert_eq!(last(&place, name, distinct.len()), expected, "{name}");
    }
    for (shop, mean) in last(&place, "avg", distinct.len()) {
        let cents = &shops[&shop];
        let expected = cents.iter().sum::<u64>() as f64 / cents.len() as f64 / 100.0;
        assert!((mean.parse::<f64>().unwrap() - expected).abs() < 1e-9, "{shop}: {mean}, not {expected}");
    }
    println!("{kills} kills, {open} with an open epoch, {} orders", distinct.len());
}

/// The last value of each key, of as many as there must be.
#[track_caller]
fn last(place: &Place, topic: &str, count: usize) -> BTreeMap<String, String> {
    let records = consumed(place, topic);
    assert_eq!(records.len(), count, "{topic}");
    let text = |part: &Value| part.as_str().unwrap().to_owned();
    records.iter().map(|record| (text(&record["key"]), text(&record["value"]))).collect()
}
