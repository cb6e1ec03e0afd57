use serde::Deserialize;
use wasmill_sdk::{Message, Result, Timestamp, testing};

use super::Dedupe;

const SETTINGS: &str = r#"{"within-seconds": 60}"#;

fn event(key: &str, seconds: i64) -> Message<'_> {
    Message::new("paid", Timestamp::from_millis(1000 * seconds)).with_key(key)
}

#[test]
fn a_key_passes_once_within_the_time() -> Result<()> {
    let mut dedupe = testing::process::<Dedupe>(SETTINGS)?;
    dedupe.send([event("a", 0), event("b", 1), event("a", 30), event("a", 59), event("a", 60), event("a", 61)])?;
    assert_eq!(dedupe.take("main"), [event("a", 0), event("b", 1), event("a", 60)]);
    assert_eq!(dedupe.counter("dropped"), 3);
    Ok(())
}

#[test]
fn a_key_is_forgotten_when_the_watermark_has_passed_the_time() -> Result<()> {
    let mut dedupe = testing::process::<Dedupe>(SETTINGS)?;
    dedupe.send([event("a", 0)])?;
    dedupe.advance_watermark(Timestamp::from_millis(59_999))?;
    dedupe.send([event("b", 60)])?;
    assert!(dedupe.state::<Timestamp>("passed", "a")?.is_some());
    dedupe.advance_watermark(Timestamp::from_millis(60_000))?;
    dedupe.send([event("b", 60)])?;
    assert_eq!(dedupe.state::<Timestamp>("passed", "a")?, None);
    Ok(())
}

#[derive(Deserialize)]
struct Line {
    key: String,
    value: String,
    timestamp: i64,
}

fn messages(lines: &str) -> Result<Vec<Message<'static>>> {
    let parse = |line| {
        let Line { key, value, timestamp } = serde_json::from_str(line)?;
        Ok(Message::new(value, Timestamp::from_millis(timestamp)).with_key(key))
    };
    lines.lines().map(parse).collect()
}

#[test]
fn of_the_sample_the_expected_payments_pass() -> Result<()> {
    let mut dedupe = testing::process::<Dedupe>(r#"{"within-seconds": 600}"#)?;
    dedupe.send(messages(include_str!("../../payments.jsonl"))?)?;
    let mut passed = dedupe.take("main");
    passed.sort_by_key(|payment| (payment.key().map(<[u8]>::to_vec), payment.timestamp()));
    assert_eq!(passed, messages(include_str!("../../expected.jsonl"))?);
    Ok(())
}
