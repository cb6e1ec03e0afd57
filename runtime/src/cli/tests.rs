use std::io::{self, Write};

use clap::{Command, FromArgMatches};
use wasmill_core::record::Timestamp;

use super::{consume, produce, topics};
use crate::data_dir::DataDir;
use crate::embedded::Log;

fn parsed<T: clap::Args + FromArgMatches>(args: &str) -> Result<T, clap::Error> {
    let command = T::augment_args(Command::new("wasmill"));
    let matches = command.try_get_matches_from(["wasmill"].into_iter().chain(args.split_whitespace()))?;
    T::from_arg_matches(&matches)
}

fn log(dir: &tempfile::TempDir) -> Log {
    Log::open(DataDir::open(dir.path()).unwrap()).unwrap()
}

fn produce(log: &mut Log, args: &str, input: &str) -> Result<String, String> {
    let args = parsed::<produce::Args>(args).unwrap();
    let mut report = Vec::new();
    produce::run(log, &args, input.as_bytes(), Timestamp(1), &mut report).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(report).unwrap())
}

fn consume(log: &mut Log, args: &str) -> Result<String, String> {
    let args = parsed::<consume::Args>(args).unwrap();
    let mut printed = Vec::new();
    consume::run(log, &args, &mut printed, &|| true).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(printed).unwrap())
}

#[test]
fn what_is_produced_is_consumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    let said = produce(&mut log, "letters --partitions 2", "a\nb\nc\n").unwrap();
    assert_eq!(said, "3 records to topic letters (partition 0: 2, 1: 1)\n");
    assert_eq!(produce(&mut log, "letters", "d").unwrap(), "1 record to topic letters (partition 0: 0, 1: 1)\n");
    #[rustfmt::skip]
    let table = [
        ("letters --from-beginning --until-end",                         "a\nc\nb\nd\n"),
        ("letters --until-end",                                          ""),
        ("letters --from-beginning --max-messages 3",                    "a\nc\nb\n"),
        ("letters --until-end --partition 1 --offset 1",                 "d\n"),
        ("letters --from-beginning --until-end --partition 0",           "a\nc\n"),
        ("letters --from-beginning --max-messages 1 --key-separator =",  "null=a\n"),
        ("letters --partition 1 --offset 0 --max-messages 1 --format jsonl",
            "{\"key\":null,\"value\":\"b\",\"timestamp\":1,\"headers\":{},\"topic\":\"letters\",\"partition\":1,\"offset\":0}\n"),
    ];
    for (args, printed) in table {
        assert_eq!(consume(&mut log, args).unwrap(), printed, "{args}");
    }
}

#[test]
fn keys_go_with_plain_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    produce(&mut log, "pairs --partitions 1 --key-separator :", "k:1\nl:2:3\n").unwrap();
    assert_eq!(consume(&mut log, "pairs --from-beginning --until-end --key-separator ,").unwrap(), "k,1\nl,2:3\n");
}

#[test]
fn a_bad_line_produces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    let error = produce(&mut log, "orders --format jsonl", "{\"value\":\"good\"}\n{\"valu\":1}\n").unwrap_err();
    assert!(error.starts_with("nothing was produced: line 2: unknown field `valu`"), "{error}");
    assert!(Log::topics(&log).is_empty());
    let error = produce(&mut log, "or/ders", "x").unwrap_err();
    assert!(error.starts_with("topic name \"or/ders\""), "{error}");
}

#[test]
fn what_cannot_be_consumed_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    produce(&mut log, "letters --partitions 2", "a\n").unwrap();
    #[rustfmt::skip]
    let table = [
        ("words",                               "topic words does not exist: there are letters"),
        ("letters --partition 2",               "topic letters has partitions 0 to 1, not 2"),
        ("letters --partition 0 --offset 2",    "letters partition 0 holds offsets 0 to 1: 2 is not among them"),
    ];
    for (args, says) in table {
        assert_eq!(consume(&mut log, args).unwrap_err(), says, "{args}");
    }
    assert!(parsed::<consume::Args>("letters --offset 1").is_err(), "an offset is one of a partition");
}

#[test]
fn topics_are_listed_for_people_and_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    produce(&mut log, "letters --partitions 2", "a\nb\nc\n").unwrap();
    let mut list = |output| {
        let mut printed = Vec::new();
        topics::run(&mut log, output, &mut printed).unwrap();
        String::from_utf8(printed).unwrap()
    };
    assert_eq!(
        list(topics::Output::Table),
        "TOPIC    KIND       PARTITIONS       RECORDS\nletters  records             2             3\n"
    );
    let json: serde_json::Value = serde_json::from_str(&list(topics::Output::Json)).unwrap();
    assert_eq!(json, serde_json::json!([{"topic": "letters", "kind": "records", "partitions": 2, "records": 3}]));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    produce(&mut log, "letters", "a\n").unwrap();
    let args = parsed::<consume::Args>("letters --from-beginning").unwrap();
    consume::run(&mut log, &args, &mut Closed, &|| true).unwrap();
    topics::run(&mut log, topics::Output::Table, &mut Closed).unwrap();
}
