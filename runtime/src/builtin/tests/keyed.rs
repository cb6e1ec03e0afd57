//! Those with a value for each key.

use super::*;

/// What is remembered, by key, and the operator.
struct Task {
    operator: Box<dyn Operator>,
    kept: HashMap<Vec<u8>, Vec<u8>>,
}

impl Task {
    fn new(settings: &str) -> Self {
        Self { operator: operator(settings), kept: HashMap::new() }
    }

    /// Gives records of a key, a value and a time in calls of `size` records, as a task does: the effects of a call with
    /// failures are dropped, and it is made again without the records that failed.
    fn give(&mut self, records: &[(&str, &str, i64)], size: usize) -> Vec<String> {
        let mut said = Vec::new();
        for records in records.chunks(size.max(1)) {
            let mut records = records.to_vec();
            loop {
                let (came, outcome, keys) = self.call(&records);
                let outcome = outcome.unwrap();
                if outcome.failures.is_empty() {
                    self.keep(&outcome, &keys);
                    said.extend(came.into_iter().map(|(_, key, value)| {
                        let text = |part: Option<Vec<u8>>| String::from_utf8(part.unwrap()).unwrap();
                        format!("{}={}", text(key), text(value))
                    }));
                    break;
                }
                for failure in outcome.failures.iter().rev() {
                    records.remove(failure.index as usize);
                }
                said.extend(outcome.failures.into_iter().map(|failure| format!("! {}", failure.reason)));
            }
        }
        said
    }

    fn call(&mut self, records: &[(&str, &str, i64)]) -> (Vec<Came>, Result<Outcome, CallError>, Vec<Vec<u8>>) {
        let mut batch = Batch::default();
        for (key, value, at) in records {
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            batch.push(Message { key, value, headers: None, timestamp: Timestamp(*at) });
        }
        let keys = Keys::of(&batch);
        let distinct: Vec<Vec<u8>> =
            keys.slots().iter().map(|slot| batch.get(slot.first as usize).unwrap().key.unwrap().to_vec()).collect();
        let mut values = Blobs::default();
        distinct.iter().for_each(|key| values.push(self.kept.get(key).map(Vec::as_slice)));
        let slots = Slots { slot_of: keys.slot_of().to_vec(), values };
        let (came, outcome) = outcome(self.operator.as_mut(), call(batch, slots));
        (came, outcome, distinct)
    }

    fn keep(&mut self, outcome: &Outcome, keys: &[Vec<u8>]) {
        for (at, &cell) in outcome.cells.iter().enumerate() {
            let value = outcome.values.get(at).unwrap().to_vec();
            self.kept.insert(keys[cell as usize].clone(), value);
        }
    }
}

#[test]
fn each_does_what_its_table_says() {
    type Records<'a> = &'a [(&'a str, &'a str, i64)];
    #[rustfmt::skip]
    let table: [(&str, Records<'_>, &str); 13] = [
        ("use: count", &[("a", "x", 0), ("b", "", 0), ("a", "y", 0)], "a=1 b=1 a=2"),
        ("use: sum", &[("a", "1.50", 0), ("a", "2.5", 0), ("b", "-1", 0), ("a", "1e2", 0)], "a=1.50 a=4.00 b=-1 a=104.00"),
        ("use: sum, field: /amount", &[("a", r#"{"amount":0.1}"#, 0), ("a", r#"{"amount":"0.2"}"#, 0)], "a=0.1 a=0.3"),
        ("use: sum, field: amount", &[("a", r#"{"amount":9223372036854775807}"#, 0), ("a", r#"{"amount":9223372036854775807}"#, 0), ("a", r#"{"amount":0.000000000000000000000001}"#, 0)],
         "a=9223372036854775807 a=18446744073709551614 a=18446744073709551614.000000000000000000000001"),
        ("use: sum, field: amount", &[("a", r#"{"amount":1}"#, 0), ("a", "{}", 0), ("a", r#"{"amount":2}"#, 0)],
         "! there is nothing at `amount` of the value a=1 a=3"),
        ("use: sum, field: amount", &[("a", r#"{"amount":true}"#, 0), ("a", r#"{"amount":"x"}"#, 0)],
         "! `amount` is a boolean, not a number ! `amount`: `x` is not a number"),
        ("use: sum", &[("a", "nope", 0), ("a", "1e1001", 0)],
         "! the value is not JSON: expected ident at line 1 column 2 ! the value: the number `1e1001` has more than 1000 digits"),
        ("use: min, field: n", &[("a", r#"{"n":3}"#, 0), ("a", r#"{"n":10}"#, 0), ("a", r#"{"n":2.50}"#, 0), ("a", r#"{"n":2.5}"#, 0)], "a=3 a=3 a=2.50 a=2.50"),
        ("use: max", &[("a", "3", 0), ("a", "10", 0), ("a", "9.99", 0), ("b", "-1e-3", 0)], "a=3 a=10 a=10 b=-0.001"),
        ("use: avg", &[("a", "1", 0), ("a", "2", 0), ("a", "2", 0)], "a=1 a=1.5 a=1.66666666666666666667"),
        ("use: dedupe", &[("a", "1", 0), ("a", "2", 9_000_000), ("b", "3", 0)], "a=1 b=3"),
        ("use: dedupe, within: 10m", &[("a", "1", 0), ("a", "2", 599_999), ("a", "3", 600_000), ("a", "4", 600_001)], "a=1 a=3"),
        ("use: dedupe, within: 10s", &[("a", "1", 5_000), ("a", "late", 1_000), ("b", "2", 0)], "a=1 b=2"),
    ];
    for (settings, records, expected) in table {
        assert_eq!(Task::new(settings).give(records, usize::MAX).join(" "), expected, "{settings}");
    }
}

#[test]
fn what_another_one_remembered_is_not_taken_for_a_number() {
    let mut task = Task::new("use: sum");
    task.kept.insert(b"a".to_vec(), b"\x02x".to_vec());
    let (_, outcome, _) = task.call(&[("a", "1", 0)]);
    assert!(outcome.unwrap_err().to_string().contains("not written by this built-in"));
    for settings in ["use: sum", "use: min", "use: avg", "use: count"] {
        let mut task = Task::new(settings);
        task.kept.insert(b"a".to_vec(), b"\x01x".to_vec());
        assert!(task.give(&[("a", "1", 0)], 1)[0].contains("is not what this built-in writes"), "{settings}");
    }
}

#[test]
fn a_sum_may_outgrow_the_numbers_that_come_in() {
    let nines = "9".repeat(1_000);
    let said = Task::new("use: sum").give(&[("a", &nines, 0), ("a", "1", 0), ("a", "1", 0)], 1);
    assert_eq!(said[1], format!("a=1{}", "0".repeat(1_000)));
    assert_eq!(said[2], format!("a=1{}1", "0".repeat(999)));
}

proptest! {
    /// However records are divided into calls, the same comes out.
    #[test]
    fn calls_of_any_size_say_the_same(
        records in prop::collection::vec((0..3_usize, -50..50_i32, 0..30_i64), 1..40),
        size in 1..40_usize,
        settings in prop::sample::select(vec!["use: count", "use: sum", "use: min", "use: max", "use: avg", "use: dedupe, within: 5ms"]),
    ) {
        let records: Vec<_> = records.iter().map(|(key, n, at)| (["a", "b", "c"][*key], format!("{n}.5"), *at)).collect();
        let records: Vec<_> = records.iter().map(|(key, value, at)| (*key, value.as_str(), *at)).collect();
        prop_assert_eq!(Task::new(settings).give(&records, size), Task::new(settings).give(&records, 1));
    }
}
