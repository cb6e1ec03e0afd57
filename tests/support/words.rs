//! Word counts, told the plain way, and what a reader of the counts must find.

use std::collections::BTreeMap;

/// How often each word is in a text. A word is a maximal run of letters, digits and `_`, in lower case.
pub(crate) fn count(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

/// Follows counts as they were written: each word must be counted 1, 2, 3 and so on. Answers the last of each.
#[track_caller]
pub(crate) fn follow<'a>(counts: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, u64> {
    let mut last = BTreeMap::new();
    counts.into_iter().for_each(|(word, count)| follow_one(&mut last, word, count));
    last
}

/// The same for one count behind those that were followed so far.
#[track_caller]
pub(crate) fn follow_one(last: &mut BTreeMap<String, u64>, word: &str, count: &str) {
    if !last.contains_key(word) {
        last.insert(word.to_owned(), 0);
    }
    let expected = last.get_mut(word).expect("it was inserted");
    *expected += 1;
    assert_eq!(count, expected.to_string(), "the count of {word:?}");
}

/// Lines of words that are drawn by a generator, some of them not ASCII.
pub(crate) fn lines(count: usize, seed: u64) -> String {
    let words = ["the", "stream", "of", "größe", "λόγος", "слово", "naïve", "record", "epoch", "word", "日本", "mill"];
    let mut state = seed | 1;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut text = String::new();
    for _ in 0..count {
        for _ in 0..=draw(8) {
            text.push_str(words[draw(words.len()) * draw(words.len()) / words.len()]);
            text.push_str(&draw(40).to_string());
            text.push(' ');
        }
        text.push('\n');
    }
    text
}
