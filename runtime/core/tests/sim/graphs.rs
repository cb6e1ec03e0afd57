//! Random pipelines under random schedules: what a reader finds, what operators remember and what they count is what the model
//! says.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use wasmill_core::port::Target;
use wasmill_core::record::{Offset, Partition, TaskId};
use wasmill_core::row;
use wasmill_core::task::memory::{Counts, Memory};

use crate::check::{check_rest, read_letter, records, replay, size, text};
use crate::cluster::{Cluster, seeds};
use crate::graph::{Expected, Graph};
use crate::log::{CHANGELOG, COUNTS, LETTERS, Log, PARTITIONS};
use crate::pipeline::Lines;
use crate::random::Random;

/// Things that happen before all is well.
const ACTS: usize = 120;

fn lines(random: &mut Random) -> Lines {
    let mut lines: Lines = vec![Vec::new(); 2 * PARTITIONS as usize];
    for number in 0..16 + random.below(16) {
        let partition = random.below(lines.len() as u64) as usize;
        lines[partition].push((number as i64, format!("{number}é")));
    }
    lines
}

fn all(log: &Log, target: Target) -> impl Iterator<Item = crate::log::Record> + '_ {
    (0..PARTITIONS).flat_map(move |partition| records(log, target, partition))
}

fn find(log: &Log, graph: &Graph) -> Expected {
    let output = |record: crate::log::Record| (text(record.key.as_deref()), text(record.value.as_deref()));
    let mut found = Expected {
        outputs: all(log, COUNTS).map(output).collect(),
        letters: all(log, LETTERS).map(|letter| read_letter(&letter)).collect(),
        ..Expected::default()
    };
    found.outputs.sort();
    found.letters.sort();
    let names = graph.names();
    for partition in (0..PARTITIONS).map(Partition) {
        let row = log.row(TaskId { stage: 0, partition }).unwrap();
        count(&mut found.counts, &Memory::decode(&row.memory).unwrap().2);
        let home = replay(log, (CHANGELOG, partition.0), Offset(i64::MAX));
        let memory = Memory::decode(&home[&row::META[..]]).unwrap().2;
        count(&mut found.counts, &memory);
        for (name, changelog) in names[1].iter().zip(CHANGELOG..) {
            let rows = replay(log, (changelog, partition.0), Offset(i64::MAX));
            let remembered = memory.operators.iter().find(|operator| operator.operator == *name).unwrap();
            assert_eq!(remembered.size, size(&rows), "{name} in {partition}");
            for (row, value) in rows {
                if let Some((_, key, _)) = row::parse_keyed(&row).filter(|_| row::kind(&row) == Some(row::Kind::Value))
                {
                    found.states.insert((name.clone(), text(Some(key))), u64::from(*value.last().unwrap()));
                }
            }
        }
    }
    found.counts.retain(|_, counts| counts.input > 0);
    found
}

fn count(counts: &mut BTreeMap<String, Counts>, memory: &Memory) {
    for operator in &memory.operators {
        assert!(operator.counts.add_up(), "{}: {:?}", operator.operator, operator.counts);
        counts.entry(operator.operator.clone()).or_default().add(&operator.counts);
    }
}

/// Runs a seed. Answers whether a record was blamed for deaths that it did not cause, which the model does not know.
fn run(seed: u64) -> bool {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9));
    let graph = Graph::new(&mut random);
    let lines = lines(&mut random);
    let job = graph.clone();
    let mut cluster = Cluster::new(seed, &lines, Box::new(move |_, _| (job.stages(), job.operators())));
    (0..ACTS).for_each(|_| cluster.act());
    cluster.settle();
    let world = cluster.world.borrow();
    if !world.log.settled.is_empty() {
        return true;
    }
    assert_eq!(find(&world.log, &graph), graph.expected(&lines), "{graph:#?}");
    check_rest(&world);
    false
}

/// 3,000 seeds, or those of the environment; with `WASMILL_SIM_TRACE` what happens is told.
#[test]
fn no_pipeline_loses_or_repeats_anything() {
    let (mut runs, mut blamed) = (0, 0);
    for seed in seeds(3_000) {
        blamed += usize::from(catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("seed {seed}")));
        runs += 1;
    }
    println!("{runs} pipelines, of which {blamed} with an innocent record blamed");
    assert!(blamed * 20 <= runs, "{blamed} of {runs}");
}
