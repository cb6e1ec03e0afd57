//! Tasks that move between nodes while entries come: nothing is lost, nothing is there twice, and a node that has most of a
//! task's rows reads only those that it lacks.

use std::collections::BTreeMap;

use crate::support::fleet::{Said, await_shares};
use crate::support::kafka::Broker;
use crate::support::ledger::{Ledger, TASKS};

/// 3 nodes of 2 workers, 8 partitions, sled, sessions of 15 s: twenty times one of them leaves and comes back at once.
#[test]
fn a_storm_of_rebalances_loses_nothing() {
    let ledger = Ledger::new("storm", &Broker::shared().address());
    ledger.feed(500);
    let names = ["node-0", "node-1", "node-2"];
    let mut nodes: Vec<_> = names.iter().map(|name| ledger.node(name)).collect();
    let flow = ledger.flow();
    await_shares(&nodes.iter().collect::<Vec<_>>(), TASKS);
    let mut moves = 0;
    for turn in 0..20 {
        let index = turn % names.len();
        let node = nodes.remove(index);
        // Every other time before it has joined.
        node.until("its start", |said| said.says("running storm") && (turn % 2 == 0 || !said.tasks.is_empty()));
        moves += node.stop().moves;
        nodes.insert(index, ledger.node(names[index]));
        // Whoever has been there longest.
        let oldest = &nodes[(index + 1) % names.len()];
        let committed = oldest.said().committed;
        oldest.until("a commit since", |said| said.committed > committed);
    }
    await_shares(&nodes.iter().collect::<Vec<_>>(), TASKS);
    flow.end();
    moves += nodes.into_iter().map(|node| node.stop().moves).sum::<usize>();
    println!("{moves} moves of tasks: {}", ledger.check());
}

/// 2 nodes of 2 workers, 8 partitions, sled, sessions of 15 s: tasks go from one node to the other and back, when the first
/// one's rows are some epochs old.
#[test]
fn a_task_that_comes_back_reads_only_what_it_missed() {
    let ledger = Ledger::new("back", &Broker::shared().address());
    ledger.feed(500);
    let first = ledger.node("node-0");
    let flow = ledger.flow();
    first.until("all tasks", |said| said.tasks.len() == TASKS && said.went_on(&Said::default(), 60));
    let before = ledger.changes_by_task();
    let second = ledger.node("node-1");
    await_shares(&[&first, &second], TASKS);
    flow.end();
    let moved = second.said().tasks;
    second.stop();
    first.until("all tasks again", |said| said.tasks.len() == TASKS);
    let after = ledger.changes_by_task();
    let back: BTreeMap<_, _> = first.stop().acquired.into_iter().filter(|(task, _)| moved.contains(task)).collect();
    assert!(back.len() >= TASKS / 2 - 1, "{} tasks came back", back.len());
    let (mut read, mut whole) = (0, 0);
    for (task, acquired) in back {
        let missed = after[&task] - before[&task];
        assert!(acquired.restored <= missed, "task {task} read {} rows of {missed} that it missed", acquired.restored);
        (read, whole) = (read + acquired.restored, whole + after[&task]);
    }
    assert!(0 < read && read < whole / 2, "{read} of {whole} rows were read");
    println!("{read} of {whole} rows were read: {}", ledger.check());
}

/// Two nodes of 2 workers, 8 partitions, two stages, sled: a static member is killed when it is to give up tasks.
#[test]
fn tasks_that_a_killed_node_was_giving_up_go_to_the_other() {
    let ledger = Ledger::new("given-up", &Broker::shared().address());
    ledger.feed(500);
    let first = ledger.node("node-0");
    let flow = ledger.flow();
    await_shares(&[&first], TASKS);
    let moves = first.said().moves;
    let second = ledger.node("node-1");
    first.until("what it is to give up", |said| said.moves > moves);
    first.kill();
    let first = ledger.node("node-0");
    await_shares(&[&first, &second], TASKS);
    flow.end();
    // The one that had tasks kept them.
    assert_eq!(first.stop().moves, 1);
    assert!(second.stop().says("nobody has some of the tasks"));
    println!("{}", ledger.check());
}
