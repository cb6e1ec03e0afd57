use std::collections::BTreeMap;

use wasmill_sdk::{Message, Result, Timestamp, testing};

use super::Split;

fn line(text: &str) -> Message<'_> {
    Message::new(text, Timestamp::from_millis(7))
}

#[test]
fn a_word_is_a_run_of_letters_digits_and_underscores() -> Result<()> {
    let cases: [(&str, &[&str]); 5] = [
        ("Alice was beginning", &["alice", "was", "beginning"]),
        ("  `Oh dear!'  it's_2 late--", &["oh", "dear", "it", "s_2", "late"]),
        ("Übermut ÉTÉ 東京 ½", &["übermut", "été", "東京", "½"]),
        ("", &[]),
        (" -- ", &[]),
    ];
    for (text, words) in cases {
        let mut split = testing::transform::<Split>("{}")?;
        split.send([line(text)])?;
        let expected: Vec<_> = words.iter().map(|word| line("").with_key(*word)).collect();
        assert_eq!(split.take("main"), expected, "{text:?}");
    }
    Ok(())
}

#[test]
fn a_line_that_is_not_text_fails_alone() -> Result<()> {
    let mut split = testing::transform::<Split>("{}")?;
    split.send([line("one"), Message::new(b"\xff\xfe", Timestamp::from_millis(8)), line("two")])?;
    let words: Vec<_> = split.take("main").iter().map(|word| word.key().map(<[u8]>::to_vec)).collect();
    assert_eq!(words, [Some(b"one".to_vec()), Some(b"two".to_vec())]);
    assert_eq!(split.failures().len(), 1);
    assert!(split.failures()[0].reason.starts_with("read the value as text: "), "{:?}", split.failures());
    Ok(())
}

#[test]
fn the_words_of_the_sample_are_the_expected_ones() -> Result<()> {
    let mut split = testing::transform::<Split>("{}")?;
    split.send(include_str!("../../alice.txt").lines().map(line))?;
    let mut counts = BTreeMap::new();
    for word in split.take("main") {
        *counts.entry(String::from_utf8_lossy(word.key().unwrap_or_default()).into_owned()).or_insert(0) += 1;
    }
    let lines = counts.iter().map(|(word, count)| format!("{word}\t{count}\n"));
    assert_eq!(lines.collect::<String>(), include_str!("../../expected.tsv"));
    Ok(())
}
