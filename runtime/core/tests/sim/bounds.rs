//! More comes due with one record than a turn takes: it is done in several, and nothing is left.

use std::time::Duration;

use wasmill_core::row;
use wasmill_core::task::turn::MAX_DUE;

use crate::alone::{Load, run};
use crate::check::{check_log, check_rest};
use crate::model;
use crate::operators::TTL;
use crate::pipeline::Lines;
use crate::world::{Delivery, Kind};

/// Words of one partition, each with a timer and a row that expires, all of which are over with the last line.
const WORDS: usize = 2 * MAX_DUE + 2_000;

/// Words whose bytes add up to an even number come to the first partition, in the simulation as in the checks.
fn word(number: usize) -> String {
    format!("w{number}")
}

#[test]
fn what_is_over_at_once_is_done_in_several_turns() {
    let numbers: Vec<_> = (0..WORDS).collect();
    let line = |numbers: &[usize]| numbers.iter().map(|&number| word(number)).collect::<Vec<_>>().join(" ");
    let mut lines: Lines = vec![numbers.chunks(200).map(|numbers| (0, line(numbers))).collect()];
    lines.extend([vec![], vec![], vec![]]);
    lines.iter_mut().for_each(|lines| lines.push((3 * TTL, "last".into())));
    let expected = model::expected(&lines);
    assert_eq!(expected.timers.len(), WORDS);
    let load = Load { lines: &lines, epoch: Duration::from_millis(100), most: 100 };
    let world = run(load, [(400, Kind::CrashAfter)].into(), Delivery::Together);
    let world = world.borrow();
    check_log(&world.log, &expected, false);
    assert_eq!(check_rest(&world), 2);
    let stores = world.disks.iter().flat_map(|disk| disk.stores.values());
    let limited = |row: &[u8]| row::kind(row) == Some(row::Kind::Value) && row[1] == 1;
    let left = stores.flat_map(|store| store.rows.keys()).filter(|row| limited(row)).count();
    assert_eq!(left, 1, "all but the last word are forgotten");
}
