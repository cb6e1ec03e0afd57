use wasmill_sdk::{Message, Result, Timestamp, testing};

use super::Count;

fn word<'a>(key: &'a str, value: &'a str) -> Message<'a> {
    Message::new(value, Timestamp::from_millis(7)).with_key(key)
}

#[test]
fn every_count_of_every_key_comes_out() -> Result<()> {
    let mut count = testing::process::<Count>("{}")?;
    count.send([word("a", ""), word("b", ""), word("a", "")])?;
    assert_eq!(count.take("main"), [word("a", "1"), word("b", "1"), word("a", "2")]);
    count.reopen()?;
    count.send([word("a", ""), word("c", "")])?;
    assert_eq!(count.take("main"), [word("a", "3"), word("c", "1")]);
    assert_eq!(count.state::<u64>("count", "a")?, Some(3));
    Ok(())
}

#[test]
fn a_record_without_a_key_fails() -> Result<()> {
    let mut count = testing::process::<Count>("{}")?;
    count.send([word("a", "").without_key(), word("a", "")])?;
    assert_eq!(count.take("main"), [word("a", "1")]);
    assert_eq!(count.failures().len(), 1);
    Ok(())
}
