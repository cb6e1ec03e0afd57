use std::collections::BTreeSet;
use std::time::Duration;

use wasmill::kafka::{Event, Leave};
use wasmill_core::port::{Fault, Sink, Tasks};

use super::world::{PATIENCE, World, await_until, sealed, sealed_of};
use crate::support::kafka::Broker;

#[test]
fn tasks_go_to_a_second_node_once_their_workers_let_them_go() {
    let broker = Broker::shared();
    let first = World::new(broker);
    let mut worker = first.worker(0, &[]);
    for task in first.pipeline.tasks() {
        first.group.give(task, 0).unwrap();
    }
    let Ok(Event::Granted(granted)) = first.events.recv_timeout(PATIENCE) else { panic!("nothing was granted") };
    assert_eq!(granted.len(), 8);

    let second = first.other(broker, "node-2");
    let event = first.events.recv_timeout(PATIENCE).unwrap();
    let Event::Revoked { tasks, released } = event else { panic!("{event:?}") };
    assert_eq!(tasks.len(), 4, "half of them");
    assert!(released.left() > Duration::ZERO);
    let moving = tasks[0];
    // The last epoch of a task is committed while the group waits.
    worker.sink.begin().unwrap();
    let last = sealed_of(&mut worker, moving, 1, 1);
    worker.sink.commit(std::slice::from_ref(&last)).unwrap();
    assert_eq!(second.group.give(moving, 0), None, "not before it is released");
    drop(released);
    await_until("the second node has them", || second.group.tasks() == tasks.iter().copied().collect());
    assert_eq!(first.group.tasks().len(), 4);
    assert_eq!(worker.tasks.lease(moving), None);
    worker.sink.begin().unwrap();
    assert!(matches!(worker.sink.commit(&[last]), Err(Fault::Abort(_))), "the lease is gone");
    worker.sink.abort().unwrap();

    // A task that stayed goes on at the new generation, under its old lease.
    let stayed = first.group.tasks().into_iter().next().unwrap();
    worker.sink.begin().unwrap();
    let row = sealed_of(&mut worker, stayed, 1, 1);
    worker.sink.commit(&[row]).unwrap();

    // A node that leaves gives its tasks back.
    second.group.stop(Leave::Now);
    let all: BTreeSet<_> = first.pipeline.tasks().into_iter().collect();
    await_until("the first node has all again", || first.group.tasks() == all);
}

#[test]
fn a_node_that_stays_has_its_tasks_again_at_once() {
    let broker = Broker::shared();
    let world = World::new(broker);
    world.await_tasks();
    world.group.stop(Leave::Stay);
    assert!(world.group.tasks().is_empty());
    let again = world.other(broker, "node-1");
    again.await_tasks();
    let mut worker = again.worker(0, &[0]);
    worker.sink.begin().unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    worker.sink.commit(&[row]).unwrap();
}

#[test]
fn a_node_whose_place_was_taken_loses_its_tasks_and_commits_nothing() {
    let broker = Broker::shared();
    let first = World::new(broker);
    let mut worker = first.worker(0, &[0]);
    drop(first.events.recv_timeout(PATIENCE));
    worker.sink.begin().unwrap();
    let row = sealed(&mut worker, 0, 1, 1);
    // The same node id a second time, as a copied data directory would have it.
    let twin = first.other(broker, "node-1");
    let event = first.events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(event, Event::Lost { .. }), "{event:?}");
    assert!(matches!(worker.sink.commit(&[row]), Err(Fault::Abort(_))));
    twin.group.stop(Leave::Now);
}
