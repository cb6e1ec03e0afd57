//! One worker of which the splitter is replaced by a version that handles what the one before failed at, or by one that does
//! not fit.

use std::collections::BTreeMap;
use std::time::Duration;

use wasmill_core::operator::Operator;

use wasmill_core::stage::Retry;
use wasmill_core::task::care::MAX_DEATHS;
use wasmill_core::task::{Dropped, Task};
use wasmill_core::worker::reload::{ReloadError, Replacement, Replacements};
use wasmill_core::worker::{Event, Worker};

use crate::alone::{Load, PLACE, new_world, terms};
use crate::check::{check_log, records, text};
use crate::clock::Clock;
use crate::log::{COUNTS, LETTERS, PARTITIONS, Record};
use crate::model;
use crate::operators::{Count, Split};
use crate::pipeline::{Lines, few, operators, stages, tasks, waiting};
use crate::ports::ports;
use crate::world::{Delivery, Kind, Shared, survives};

const EPOCH: Duration = Duration::from_millis(100);

/// A worker of the first versions at work.
struct Bench {
    world: Shared,
    worker: Worker,
    clock: Clock,
}

fn replace(stage: u16, operator: impl Operator + 'static, plugin: &str) -> Replacements {
    let replacement = Replacement { operator: Box::new(operator), plugin: plugin.into(), back: false };
    [((stage, 0), replacement)].into()
}

impl Bench {
    fn new(lines: &Lines) -> Self {
        let load = Load { lines, epoch: EPOCH, most: 3 };
        Self::on(new_world(load, BTreeMap::new(), Delivery::Together), Clock::at(1_000))
    }

    /// What waits does so for longer than any test goes on.
    fn on(world: Shared, mut clock: Clock) -> Self {
        tasks().into_iter().for_each(|task| world.borrow_mut().give(PLACE, task));
        let stages = waiting(&stages(false), Retry { attempts: 1, backoff: Duration::from_mins(10) });
        let mut worker = Worker::new(ports(&world, PLACE), stages, operators(), terms(Delivery::Together, EPOCH));
        clock.pass(1);
        worker.acquire(&tasks(), clock.now()).unwrap();
        Self { world, worker, clock }
    }

    /// Makes steps until something happens; `None` if the process is killed before.
    fn until(&mut self, happens: impl Fn(&Worker, &Event) -> bool) -> Option<()> {
        for _ in 0..2_000 {
            if self.worker.take_events().iter().any(|event| happens(&self.worker, event)) {
                return Some(());
            }
            self.clock.pass(30);
            let now = self.clock.now();
            survives(&self.world, || self.worker.step(now, Duration::ZERO))?.unwrap();
        }
        panic!("it does not happen");
    }

    fn reload(&mut self, replacements: Replacements) {
        self.worker.reload(replacements, self.clock.now()).unwrap();
    }

    /// Makes steps until all is done, which it is within seconds. Answers how often a word was counted, and the lines
    /// or words that became dead letters.
    fn finish(&mut self, word: &str) -> (usize, Vec<String>) {
        let (begun, mut quiet) = (self.clock.steady, 0);
        while quiet < 2 {
            self.clock.pass(10);
            assert!(self.clock.steady < begun + 3_000, "it waits for something");
            let done = self.worker.step(self.clock.now(), Duration::ZERO).unwrap();
            let ended = self.worker.ends().all(|(_, _, end)| end.is_some());
            quiet = if done || !self.worker.is_quiet() || !ended { 0 } else { quiet + 1 };
        }
        let log = &self.world.borrow().log;
        let all = |target| (0..PARTITIONS).flat_map(move |partition| records(log, target, partition));
        let is_count = |it: &Record| {
            it.key.as_deref() == Some(word.as_bytes()) && text(it.value.as_deref()).parse::<u64>().is_ok()
        };
        (all(COUNTS).filter(is_count).count(), all(LETTERS).map(|letter| text(letter.value.as_deref())).collect())
    }
}

fn lines(line: &str) -> Lines {
    vec![vec![(0, "a".into()), (1, line.into()), (2, "b".into())], vec![], vec![], vec![]]
}

/// It is at fault by now, and would be a dead letter with the next turn.
#[test]
fn a_record_that_was_too_slow_is_tried_by_the_next_version() {
    let mut bench = Bench::new(&lines("slow"));
    bench.until(|_, event| matches!(event, Event::Dropped { reason: Dropped::Verdict { .. }, .. })).unwrap();
    bench.reload(replace(0, Split::mended(2), "sha256:2"));
    assert_eq!(bench.finish("slow"), (1, vec![]));
}

/// It is a dead letter in the epoch that the reload seals: that of the version before if the epoch is committed, and none
/// of the next if it is not.
#[test]
fn a_record_is_of_the_version_whose_epoch_is_committed() {
    let at_fault = || {
        let mut bench = Bench::new(&lines("poison"));
        bench.until(|worker, event| matches!(event, Event::AtFault { .. }) && !worker.is_quiet()).unwrap();
        assert!(bench.worker.tasks().any(Task::is_dirty));
        bench
    };
    let mut bench = at_fault();
    let first = bench.world.borrow().calls + 1;
    bench.reload(replace(0, Split::mended(2), "sha256:2"));
    let last = bench.world.borrow().calls;
    assert_eq!(bench.finish("poison"), (0, vec!["poison".to_owned()]));
    let mut mended = 0;
    for call in first..=last {
        for kind in [Kind::ErrorBefore, Kind::ErrorAfter] {
            let mut bench = at_fault();
            bench.world.borrow_mut().fail_at = [(call, kind)].into();
            bench.reload(replace(0, Split::mended(2), "sha256:2"));
            let (counted, letters) = bench.finish("poison");
            assert_eq!(counted + letters.len(), 1, "call {call} {kind:?}: {letters:?}");
            mended += counted;
        }
    }
    assert!(mended > 0 && mended < 2 * (last - first + 1), "{mended} of {first}..={last}");
}

#[test]
fn what_the_next_version_does_not_wait_for_goes_on_at_once() {
    let mut bench = Bench::new(&lines("later"));
    bench.until(|_, event| matches!(event, Event::Dropped { reason: Dropped::Paused { .. }, .. })).unwrap();
    bench.reload(replace(0, Split::mended(2), "sha256:2"));
    assert_eq!(bench.finish("later"), (1, vec![]));
}

#[test]
fn a_record_that_processes_died_on_is_tried_by_the_next_version() {
    let mut bench = Bench::new(&lines("kill"));
    let blamed = |bench: &Bench| {
        let deaths = |task: &Task| task.care().struck.map_or(0, |(_, deaths)| deaths);
        bench.worker.tasks().map(deaths).max() == Some(MAX_DEATHS)
    };
    while !blamed(&bench) {
        assert!(bench.until(|_, _| false).is_none());
        bench.world.borrow_mut().die(0);
        bench = Bench::on(bench.world, bench.clock);
    }
    bench.reload(replace(0, Split::mended(2), "sha256:2"));
    assert_eq!(bench.finish("kill"), (1, vec![]));
}

/// One that does not fit is refused with those beside it that do, and the epoch that is open goes on.
#[test]
fn what_does_not_fit_is_refused_and_all_goes_on() {
    let lines = few();
    let mut bench = Bench::new(&lines);
    bench.until(|_, event| *event == Event::Begun).unwrap();
    let calls = bench.world.borrow().calls;
    let mut both = replace(0, Split::new(2), "sha256:2");
    both.extend(replace(1, Split::new(2), "sha256:2"));
    let refused = bench.worker.reload(both, bench.clock.now()).unwrap_err();
    assert!(matches!(refused, ReloadError::Unfit { .. }));
    assert_eq!(
        refused.to_string(),
        "reload operator count: the next version does not fit: it is a transform and the running version a process: \
         give the operator another name and deploy the pipeline"
    );
    let refused = bench.worker.reload(replace(2, Count::new(2), "sha256:2"), bench.clock.now());
    assert_eq!(refused, Err(ReloadError::Unknown { stage: 2, node: 0 }));
    assert_eq!(bench.world.borrow().calls, calls, "nothing was done");
    bench.finish("a");
    let log = &bench.world.borrow().log;
    check_log(log, &model::expected(&lines), false);
}
