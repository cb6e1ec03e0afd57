//! What a stateless operator emits, and what a failed record leaves.

use proptest::prelude::*;
use wasmill_sdk::testing::{self, Failed};
use wasmill_sdk::{
    Context, Error, Keys, Message, Open, Output, Port, Process, Record, Result, Setup, Timestamp, Transform,
};

fn message(value: &str) -> Message<'_> {
    Message::new(value, Timestamp::from_millis(7)).with_key("key").with_header("name", "value")
}

/// Does what a record's value says.
struct Obedient {
    side: Port,
}

impl Open for Obedient {
    fn open(setup: &mut Setup) -> Result<Self> {
        Ok(Self { side: setup.output("side", Keys::Kept) })
    }
}

impl Transform for Obedient {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        match record.text()? {
            "drop" => Ok(()),
            "side" => out.emit_to(self.side, record),
            "rekey" => out.emit_to(self.side, record.with_key("other")),
            "fail" => {
                out.emit(record.with_value("half"))?;
                out.emit_to(self.side, record)?;
                Err(Error::failure("as told"))
            }
            "pause" => Err(Error::transient("later")),
            "stop" => Err(Error::permanent("never")),
            "large" => (0..3).try_for_each(|_| out.emit(record.with_value(vec![b'x'; 1 << 20]))),
            value => out.emit(record.with_value(value.to_uppercase()).with_header("more", "1")),
        }
    }
}

#[test]
fn records_leave_by_their_outputs_in_order() -> Result<()> {
    let mut operator = testing::transform::<Obedient>("{}")?;
    operator.send(["a", "side", "drop", "b", "side"].map(message))?;
    let shouted = |value| message(value).with_header("more", "1");
    assert_eq!(operator.take("main"), [shouted("A"), shouted("B")]);
    assert_eq!(operator.take("side"), [message("side"), message("side")]);
    Ok(())
}

#[test]
fn a_failed_record_emits_nothing() -> Result<()> {
    let mut operator = testing::transform::<Obedient>("{}")?;
    operator.send(["large", "fail", "large", "fail", "drop"].map(message))?;
    assert_eq!(operator.take("main").len(), 6);
    assert_eq!(operator.take("side"), []);
    let failed = Failed { record: message("fail"), reason: "as told".to_owned() };
    assert_eq!(operator.failures(), [failed.clone(), failed]);
    Ok(())
}

#[test]
fn an_error_of_the_call_drops_its_output() -> Result<()> {
    let mut operator = testing::transform::<Obedient>("{}")?;
    assert_eq!(operator.send(["a", "large", "pause"].map(message)), Err(Error::transient("later")));
    assert_eq!(operator.send(["a", "fail", "stop"].map(message)), Err(Error::permanent("never")));
    assert_eq!(operator.take("main"), []);
    assert_eq!(operator.failures(), []);
    operator.send([message("side")])?;
    assert_eq!((operator.take("main"), operator.take("side")), (vec![], vec![message("side")]));
    Ok(())
}

#[test]
fn an_output_that_keeps_keys_takes_no_others() -> Result<()> {
    let mut operator = testing::transform::<Obedient>("{}")?;
    let refused = operator.send([message("rekey")]);
    let reason = "output `side` is declared to keep keys, but was given another one";
    assert_eq!(refused, Err(Error::permanent(reason)));
    Ok(())
}

#[test]
fn names_are_declared_once() {
    struct Twice;

    impl Open for Twice {
        fn open(setup: &mut Setup) -> Result<Self> {
            setup.output("main", Keys::Changed);
            Ok(Self)
        }
    }

    impl Transform for Twice {
        fn process(&mut self, _: Record<'_>, _: &mut Output) -> Result<()> {
            Ok(())
        }
    }

    let error = testing::transform::<Twice>("{}").err();
    assert_eq!(error, Some(Error::permanent("declare output `main`: there are two of that name")));
}

#[test]
fn an_operator_without_settings_takes_none() {
    #[derive(Default)]
    struct Forward;

    impl Transform for Forward {
        fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
            out.emit(record)
        }
    }

    assert!(testing::transform::<Forward>("{}").is_ok());
    assert!(matches!(testing::transform::<Forward>(r#"{"a": 1}"#), Err(Error::Permanent(_))));
}

#[test]
fn an_operator_knows_the_input_and_the_origin_of_a_record() -> Result<()> {
    struct Tell {
        second: wasmill_sdk::Input,
    }

    impl Open for Tell {
        fn open(setup: &mut Setup) -> Result<Self> {
            setup.input("first");
            Ok(Self { second: setup.input("second") })
        }
    }

    impl Transform for Tell {
        fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
            let (call, second) = (out.call(), out.call().input() == self.second);
            let offset = call.offset_of(&record).unwrap_or(-1);
            out.emit(record.with_value(format!("{second} {}/{} {offset}", call.topic(), call.partition())))
        }
    }

    let mut tell = testing::transform::<Tell>("{}")?;
    tell.send(["a", "b"].map(message))?;
    tell.send_to("second", [message("c")])?;
    assert_eq!(tell.take("main"), ["false test/0 0", "false test/0 1", "true test/0 2"].map(message));
    Ok(())
}

/// Emits, for every record, all pairs of parts that the value can be cut into, as key and value.
#[derive(Default)]
struct Cut;

impl Cut {
    fn cuts(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..=value.len()).map(|at| value.split_at(at))
    }
}

impl Transform for Cut {
    fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> {
        let value = record.value().unwrap_or_default();
        for (key, value) in Self::cuts(value) {
            out.emit(record.with_key(key).with_value(value))?;
            out.emit(record.with_key(key.to_vec()).with_value(value.to_vec()).without_headers())?;
        }
        Ok(())
    }
}

/// Passes on what it is given.
#[derive(Default)]
struct Forward;

impl Process for Forward {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        cx.emit(record)
    }
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..6))
}

fn any_message() -> impl Strategy<Value = Message<'static>> {
    (bytes(), bytes(), any::<i64>(), prop::collection::vec(("[a-z]{0,3}", bytes()), 0..3)).prop_map(
        |(key, value, at, headers)| {
            let mut message = Message::new(value.clone().unwrap_or_default(), Timestamp::from_millis(at));
            message = if value.is_none() { message.without_value() } else { message };
            message = key.into_iter().fold(message, Message::with_key);
            headers
                .into_iter()
                .fold(message, |message, (name, value)| message.with_header(&name, value.unwrap_or_default()))
        },
    )
}

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in_copied_or_not(messages in prop::collection::vec(any_message(), 0..8)) {
        let mut cut = testing::transform::<Cut>("{}").map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(cut.send(messages.clone()), Ok(()));
        let expected = messages.iter().flat_map(|message| {
            Cut::cuts(message.value().unwrap_or_default()).flat_map(move |(key, value)| {
                let copy = message.clone().with_key(key.to_vec()).with_value(value.to_vec());
                [copy.clone(), copy.without_headers()]
            })
        });
        prop_assert_eq!(cut.take("main"), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_keyed_operator_passes_on_what_it_is_given(messages in prop::collection::vec(any_message(), 0..8)) {
        let mut forward = testing::process::<Forward>("{}").map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(forward.send(messages.clone()), Ok(()));
        let (keyed, keyless): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.key().is_some());
        prop_assert_eq!(forward.take("main"), keyed);
        prop_assert_eq!(forward.failures().len(), keyless.len());
    }
}
