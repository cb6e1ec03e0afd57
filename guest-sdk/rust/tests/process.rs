//! State, timers and failures of keyed operators.

use std::time::Duration;

use wasmill_sdk::log::Level;
use wasmill_sdk::testing::{self, Line, Pending};
use wasmill_sdk::{
    Context, Counter, Domain, Error, Fields, Gauge, Histogram, Json, Keys, Message, Open, OrderedMap, Process, Record,
    Result, Setup, Single, Timer, Timestamp,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn message<'a>(key: &'a str, value: &'a str, millis: i64) -> Message<'a> {
    Message::new(value, at(millis)).with_key(key)
}

/// Keeps the values of a key in every sort of state, and does what they say.
struct Keeper {
    all: Single<Json<Vec<String>>>,
    count: Single<u64>,
    last: Single<String>,
    by_value: OrderedMap<Timestamp>,
}

impl Open for Keeper {
    fn open(setup: &mut Setup) -> Result<Self> {
        setup.main_output(Keys::Kept);
        Ok(Self {
            all: setup.state("all").prefetched(),
            last: setup.state("last").single(),
            count: setup.state("count").ttl(Duration::from_millis(100)).prefetched(),
            by_value: setup.state("by-value").ordered_map(),
        })
    }
}

impl Process for Keeper {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        let value = record.text()?;
        match value {
            "forget" => {
                self.all.delete(cx);
                self.last.delete(cx);
                self.by_value.delete_range(cx, Fields::from(b"b").until(b"d"));
                return Ok(());
            }
            "fail first" => return Err(Error::failure(value)),
            "stop" => return Err(Error::permanent(value)),
            _ => {}
        }
        let Json(mut all) = self.all.get(cx)?.unwrap_or_default();
        all.push(value.to_owned());
        self.all.put(cx, &Json(all))?;
        self.last.put(cx, &value.to_owned())?;
        self.by_value.put(cx, value, &record.timestamp())?;
        cx.set_timer(Domain::EventTime, value, record.timestamp());
        let count = self.count.update(cx, |count| count.unwrap_or(0) + 1)?;
        if value == "fail last" || count > 3 {
            return Err(Error::failure(format!("{value} {count}")));
        }
        cx.emit(record.with_value(count.to_string()))
    }
}

#[test]
fn every_sort_of_state_belongs_to_a_key() -> Result<()> {
    let mut keeper = testing::process::<Keeper>("{}")?;
    keeper.send([message("k", "c", 1), message("l", "x", 2), message("k", "a", 3), message("k", "b", 4)])?;
    assert_eq!(keeper.state("all", "k")?, Some(Json(["c", "a", "b"].map(str::to_owned).to_vec())));
    assert_eq!(keeper.state("last", "l")?, Some("x".to_owned()));
    let entries = [(b"a".to_vec(), at(3)), (b"b".to_vec(), at(4)), (b"c".to_vec(), at(1))];
    assert_eq!(keeper.map("by-value", "k")?, entries);
    keeper.send([message("k", "forget", 5)])?;
    assert_eq!(keeper.state::<Json<Vec<String>>>("all", "k")?, None);
    assert_eq!(keeper.state::<String>("last", "k")?, None);
    assert_eq!(keeper.map("by-value", "k")?, [(b"a".to_vec(), at(3))]);
    assert_eq!(keeper.state("last", "l")?, Some("x".to_owned()));
    Ok(())
}

#[test]
fn a_failed_record_leaves_no_state_timers_or_output() -> Result<()> {
    let records = [("k", "a"), ("k", "fail last"), ("k", "b"), ("l", "fail first"), ("k", "c"), ("l", "a")];
    let mut keeper = testing::process::<Keeper>("{}")?;
    keeper.send(records.map(|(key, value)| message(key, value, 1)))?;
    let mut clean = testing::process::<Keeper>("{}")?;
    clean.send(
        records.iter().filter(|(_, value)| !value.starts_with("fail")).map(|(key, value)| message(key, value, 1)),
    )?;
    assert_eq!(keeper.take("main"), clean.take("main"));
    assert_eq!(keeper.state::<Json<Vec<String>>>("all", "k")?, clean.state("all", "k")?);
    assert_eq!(keeper.map::<Timestamp>("by-value", "k")?, clean.map("by-value", "k")?);
    assert_eq!(keeper.state("count", "k")?, Some(3u64));
    assert_eq!(keeper.timers(), clean.timers());
    let mut reasons: Vec<_> = keeper.failures().iter().map(|failed| failed.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["fail first", "fail last 2"]);
    Ok(())
}

#[test]
fn an_error_of_the_call_changes_nothing() -> Result<()> {
    let mut keeper = testing::process::<Keeper>("{}")?;
    assert_eq!(keeper.send([message("k", "a", 1), message("k", "stop", 1)]), Err(Error::permanent("stop")));
    assert_eq!(keeper.state::<u64>("count", "k")?, None);
    assert_eq!(keeper.state::<String>("last", "k")?, None);
    assert_eq!((keeper.take("main"), keeper.timers()), (vec![], vec![]));
    Ok(())
}

#[test]
fn state_is_forgotten_when_its_time_is_over() -> Result<()> {
    let mut keeper = testing::process::<Keeper>("{}")?;
    keeper.send([message("k", "a", 10), message("l", "a", 50)])?;
    keeper.advance_watermark(at(109))?;
    keeper.send([message("k", "b", 20)])?;
    keeper.advance_watermark(at(208))?;
    keeper.send([message("k", "c", 20), message("l", "b", 20)])?;
    keeper.advance_watermark(at(308))?;
    keeper.send([message("k", "d", 20)])?;
    let counts: Vec<_> = keeper.take("main").iter().map(|count| count.value().map(<[u8]>::to_vec)).collect();
    assert_eq!(counts, ["1", "1", "2", "3", "1", "1"].map(|count| Some(count.as_bytes().to_vec())));
    Ok(())
}

#[test]
fn values_of_an_older_encoding_are_read_by_the_state_that_knows_it() -> Result<()> {
    struct Upgraded(Single<u64>);

    impl Open for Upgraded {
        fn open(setup: &mut Setup) -> Result<Self> {
            let older = |encoding, bytes: &[u8]| match encoding {
                1 => Ok(std::str::from_utf8(bytes)?.parse()?),
                _ => Err(Error::permanent(format!("encoding {encoding} is unknown"))),
            };
            Ok(Self(setup.state("count").encoding(2).older(older).prefetched()))
        }
    }

    impl Process for Upgraded {
        fn process(&mut self, _: Record<'_>, cx: &mut Context) -> Result<()> {
            self.0.update(cx, |count| count.unwrap_or(0) + 1).map(|_| ())
        }
    }

    let mut upgraded = testing::process::<Upgraded>("{}")?;
    upgraded.store("count", "k", 1, &"41".to_owned())?;
    upgraded.send([message("k", "", 0)])?;
    assert_eq!(upgraded.state("count", "k")?, Some(42u64));
    upgraded.store("count", "k", 3, &())?;
    assert_eq!(upgraded.send([message("k", "", 0)]), Err(Error::permanent("encoding 3 is unknown")));

    let mut keeper = testing::process::<Keeper>("{}")?;
    keeper.store("count", "k", 2, &1u64)?;
    let reason = "read a value of state `count`: it is in encoding 2, not in 1";
    assert_eq!(keeper.send([message("k", "", 0)]), Err(Error::permanent(reason)));
    Ok(())
}

/// Sets the timers that a record's value names, as `event 10 name`, and tells of those that fire.
struct Clock {
    fired: Counter,
    last: Gauge,
    lateness: Histogram,
}

impl Open for Clock {
    fn open(setup: &mut Setup) -> Result<Self> {
        Ok(Self {
            fired: setup.counter("fired", "timers"),
            last: setup.gauge("last", "milliseconds"),
            lateness: setup.histogram("lateness", "milliseconds"),
        })
    }
}

impl Process for Clock {
    fn process(&mut self, record: Record<'_>, cx: &mut Context) -> Result<()> {
        set(record.text()?, cx)
    }

    fn on_timer(&mut self, timer: Timer<'_>, cx: &mut Context) -> Result<()> {
        let name = std::str::from_utf8(timer.name())?;
        self.fired.add(1);
        self.last.set(timer.at().as_millis() as f64);
        self.lateness.observe((cx.call().watermark().as_millis() - timer.at().as_millis()) as f64);
        wasmill_sdk::info!("{name} at {}", timer.at().as_millis());
        if name == "fail" {
            return Err(Error::failure("as told"));
        }
        if let Some(another) = name.strip_prefix("set:") {
            set(another, cx)?;
        }
        cx.emit(timer.record().with_value(timer.name()))
    }
}

fn set(command: &str, cx: &mut Context) -> Result<()> {
    let mut words = command.splitn(3, ' ');
    let mut word = || words.next().ok_or_else(|| Error::failure("too few words"));
    let domain = if word()? == "event" { Domain::EventTime } else { Domain::ProcessingTime };
    match word()? {
        "cancel" => cx.cancel_timer(domain, word()?),
        millis => cx.set_timer(domain, word()?, at(millis.parse()?)),
    }
    Ok(())
}

#[test]
fn timers_fire_in_order_of_time_key_and_name() -> Result<()> {
    let mut clock = testing::process::<Clock>("{}")?;
    clock.send([
        message("k", "event 20 b", 0),
        message("l", "event 10 z", 0),
        message("k", "event 20 a", 0),
        message("a", "event 20 z", 0),
        message("k", "event 21 later", 0),
        message("k", "processing 5 other", 0),
    ])?;
    clock.advance_watermark(at(20))?;
    let fired = [("l", "z", 10), ("a", "z", 20), ("k", "a", 20), ("k", "b", 20)];
    assert_eq!(clock.take("main"), fired.map(|(key, name, millis)| message(key, name, millis)));
    clock.advance_processing_time(at(5))?;
    assert_eq!(clock.take("main"), [message("k", "other", 5)]);
    let [key, name] = ["k", "later"].map(|text| text.as_bytes().to_vec());
    assert_eq!(clock.timers(), [Pending { domain: Domain::EventTime, at: at(21), key, name }]);
    assert_eq!(clock.counter("fired"), 5);
    assert_eq!(clock.gauge("last"), Some(5.0));
    assert_eq!(clock.observations("lateness"), [10.0, 0.0, 0.0, 0.0, 15.0]);
    assert_eq!(clock.log()[0], Line { level: Level::Info, message: "z at 10".to_owned() });
    Ok(())
}

#[test]
fn setting_a_timer_again_moves_it() -> Result<()> {
    let mut clock = testing::process::<Clock>("{}")?;
    let commands =
        ["event 10 a", "event 10 b", "event 20 a", "event cancel b", "processing 10 a", "event 10 set:event cancel a"];
    clock.send(commands.map(|command| message("k", command, 0)))?;
    clock.advance_watermark(at(15))?;
    assert_eq!(clock.take("main"), [message("k", "set:event cancel a", 10)]);
    clock.advance_watermark(at(30))?;
    assert_eq!(clock.take("main"), []);
    clock.advance_processing_time(at(10))?;
    assert_eq!(clock.take("main"), [message("k", "a", 10)]);
    Ok(())
}

#[test]
fn a_timer_set_in_the_past_fires_after_the_next_records() -> Result<()> {
    let mut clock = testing::process::<Clock>("{}")?;
    clock.send([message("k", "event 10 set:event 5 again", 0)])?;
    clock.advance_watermark(at(10))?;
    assert_eq!(clock.take("main"), [message("k", "set:event 5 again", 10)]);
    clock.send([message("k", "event 20 other", 0)])?;
    assert_eq!(clock.take("main"), [message("k", "again", 5)]);
    Ok(())
}

#[test]
fn a_timer_that_fails_is_gone() -> Result<()> {
    let mut clock = testing::process::<Clock>("{}")?;
    clock.send([message("k", "event 10 fail", 0), message("k", "event 10 go on", 0)])?;
    clock.advance_watermark(at(10))?;
    assert_eq!(clock.take("main"), [message("k", "go on", 10)]);
    assert_eq!(clock.timers(), []);
    assert_eq!(clock.failures()[0].record, message("k", "fail", 10));
    Ok(())
}
