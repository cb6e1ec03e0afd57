//! A worker's ports into the world.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wasmill_core::batch::Batch;
use wasmill_core::port::{
    Changelog, ChangelogId, Control, Fault, Fetched, Found, Lease, Polled, Position, Sealed, Sink, Source, Store,
    StoreError, Stores, Target, Tasks, Visit, Written,
};
use wasmill_core::record::{Offset, Partition, TaskId};
use wasmill_core::task::row::TaskRow;
use wasmill_core::worker::Ports;
use wasmill_core::writes::Writes;

use crate::disk::Stored;
use crate::log::{At, CHANGELOG, Entry, Fenced, LINES, MORE, PARTITIONS, Record, WORDS};
use crate::world::{Delivery, Place, Seat, Shared, World, attempt, call, id, stored};

#[derive(Clone)]
struct Port {
    world: Shared,
    place: Place,
    id: String,
}

pub fn ports(world: &Shared, place: Place) -> Ports {
    let id = if world.borrow().delivery == Delivery::Together { id(place) } else { String::new() };
    let port = Port { world: world.clone(), place, id };
    Ports {
        source: Box::new(port.clone()),
        sink: Box::new(port.clone()),
        tasks: Box::new(port.clone()),
        changelog: Box::new(port.clone()),
        stores: Box::new(port),
    }
}

/// Which topic an input reads: stage 0 two sources, stage 1 the words.
fn topic(task: TaskId, input: u32) -> At {
    let topic = match (task.stage, input) {
        (0, 0) => LINES,
        (0, _) => MORE,
        _ => WORDS.0,
    };
    (topic, task.partition.0)
}

fn changelog(changelog: ChangelogId, partition: Partition) -> At {
    (CHANGELOG + changelog.0, partition.0)
}

impl World {
    fn seat(&mut self, place: Place) -> &mut Seat {
        self.seats.entry(place).or_default()
    }

    fn poll(&mut self, place: Place) -> Polled {
        let seat = self.seat(place);
        let assigned: Vec<_> = seat.positions.iter().map(|(&input, &position)| (input, position)).collect();
        let turn = seat.turn;
        for step in 0..assigned.len() {
            let index = (turn + step) % assigned.len();
            let ((task, input), (next, told)) = assigned[index];
            let fetched = self.fetch(task, input, next);
            let here = Offset(self.log.stable_end(topic(task, input)));
            if fetched.next != next && (!fetched.records.is_empty() || !fetched.controls.is_empty()) {
                let seat = self.seat(place);
                seat.turn = index + 1;
                seat.positions.insert((task, input), (fetched.next, false));
                return Polled::Records(fetched);
            }
            if !told || fetched.next != next {
                self.seat(place).positions.insert((task, input), (here, true));
                return Polled::End { task, input, next: here };
            }
        }
        Polled::Nothing
    }

    fn fetch(&self, task: TaskId, input: u32, from: Offset) -> Fetched {
        let at = topic(task, input);
        let mut fetched =
            Fetched { task, input, next: Offset(self.log.stable_end(at).max(from.0)), ..Fetched::default() };
        let mut count = 0;
        for (offset, entry) in self.log.committed(at, from.0) {
            if count == self.most {
                fetched.next = Offset(offset);
                break;
            }
            match entry {
                Entry::Record(record) => {
                    fetched.records.push(record.message());
                    fetched.offsets.push(offset);
                }
                Entry::Control(control) => fetched.controls.push((fetched.records.len(), *control)),
                Entry::Change(_) | Entry::Marker => continue,
            }
            count += 1;
        }
        fetched
    }

    fn send(&mut self, place: Place, at: At, entry: Entry) {
        if self.delivery != Delivery::Together {
            self.seat(place).queue.push((at, entry));
            if self.delivery == Delivery::AtOnce {
                self.hand_over(place);
            }
            return;
        }
        let changes = matches!(entry, Entry::Change(_));
        let producer = self.seat(place).producer.unwrap_or(0);
        match self.log.send(&id(place), producer, at, entry) {
            Ok(next) if changes => {
                self.seat(place).written.insert(at, next);
            }
            Ok(_) => {}
            Err(Fenced) => self.seat(place).undelivered = true,
        }
    }

    fn flush(&mut self, place: Place) -> Result<(), Fault> {
        if self.delivery != Delivery::Together {
            self.hand_over(place);
        }
        if self.seat(place).undelivered {
            self.met.fenced += 1;
            return Err(Fault::Abort("not delivered".into()));
        }
        Ok(())
    }

    /// What a member and its broker check before rows are taken.
    fn check(&mut self, place: Place, sealed: &[Sealed]) -> Result<(), Fault> {
        let stale = |world: &mut Self, reason: &str| {
            world.met.stale += 1;
            Err(Fault::Abort(reason.into()))
        };
        if sealed.iter().any(|sealed| self.lease(place, sealed.task) != Some(sealed.lease)) {
            return stale(self, "a lease is gone");
        }
        if self.views[place.0].generation != self.generation {
            return stale(self, "the generation is over");
        }
        Ok(())
    }

    fn written(&mut self, place: Place) -> Vec<Written> {
        let written = std::mem::take(&mut self.seat(place).written);
        let one = |((topic, partition), next)| Written {
            changelog: ChangelogId(topic - CHANGELOG),
            partition: Partition(partition),
            next: Offset(next),
        };
        written.into_iter().map(one).collect()
    }

    fn initialize(&mut self, place: Place) {
        self.withdraw(place);
        let begun = self.seat(place).producer.is_some();
        let epoch = if begun { self.log.initialize(&id(place)) } else { self.log.begin_anew(&id(place)) };
        let seat = self.seat(place);
        (seat.producer, seat.undelivered) = (Some(epoch), false);
        seat.written.clear();
    }
}

fn rows(sealed: &[Sealed]) -> Vec<(TaskId, TaskRow)> {
    sealed.iter().map(|sealed| (sealed.task, sealed.row.clone())).collect()
}

impl Source for Port {
    fn assign(&mut self, task: TaskId, positions: &[Position]) -> Result<(), Fault> {
        call(&self.world, "assign", |world| {
            for position in positions {
                world.seat(self.place).positions.insert((task, position.input), (position.next, false));
            }
        })
    }

    fn unassign(&mut self, task: TaskId) -> Result<(), Fault> {
        call(&self.world, "unassign", |world| world.seat(self.place).positions.retain(|(of, _), _| *of != task))
    }

    fn poll(&mut self, _: Duration) -> Result<Polled, Fault> {
        call(&self.world, "poll", |world| world.poll(self.place))
    }

    fn idle(&mut self, _: Duration) -> Result<(), Fault> {
        call(&self.world, "idle", |_| ())
    }

    fn start(&mut self, _: TaskId, _: u32) -> Result<Offset, Fault> {
        call(&self.world, "start", |_| Offset(0))
    }
}

impl Sink for Port {
    fn begin(&mut self) -> Result<(), Fault> {
        attempt(&self.world, "begin", |world| {
            let seat = world.seat(self.place);
            seat.written.clear();
            seat.producer.map(drop).ok_or_else(|| Fault::Fatal("the producer was not initialized".into()))
        })
    }

    fn send(&mut self, target: Target, from: Partition, records: &Batch) -> Result<(), Fault> {
        call(&self.world, "send", |world| {
            for message in records.iter() {
                let partition = message.key.map_or(from.0, |key| key.iter().map(|&b| u32::from(b)).sum()) % PARTITIONS;
                world.send(self.place, (target.0, partition), Entry::Record(Record::of(message)));
            }
        })
    }

    fn tell(&mut self, target: Target, control: Control) -> Result<(), Fault> {
        call(&self.world, "tell", |world| {
            (0..PARTITIONS).for_each(|p| world.send(self.place, (target.0, p), Entry::Control(control)));
        })
    }

    fn change(&mut self, id: ChangelogId, partition: Partition, row: &[u8], value: Option<&[u8]>) -> Result<(), Fault> {
        call(&self.world, "change", |world| {
            let change = Entry::Change((row.to_vec(), value.map(<[u8]>::to_vec)));
            world.send(self.place, changelog(id, partition), change);
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        attempt(&self.world, "flush", |world| world.flush(self.place))
    }

    fn commit(&mut self, sealed: &[Sealed]) -> Result<Vec<Written>, Fault> {
        let (world, place) = (&self.world, self.place);
        world.borrow_mut().flush(place)?;
        world.borrow_mut().check(place, sealed)?;
        if world.borrow().delivery == Delivery::Together {
            attempt(world, "rows", |world| {
                let producer = world.seat(place).producer.unwrap_or(0);
                let added = world.log.add_rows(&id(place), producer, rows(sealed));
                added.map_err(|Fenced| Fault::Abort("fenced".into()))
            })?;
        }
        let committed = attempt(world, "commit", |world| {
            if world.delivery != Delivery::Together {
                rows(sealed).into_iter().for_each(|(task, row)| world.log.put_row(task, row, None));
                return Ok(());
            }
            let producer = world.seat(place).producer.unwrap_or(0);
            world.log.commit(&id(place), producer).map_err(|Fenced| Fault::Unknown("fenced".into()))
        });
        let world = &mut *world.borrow_mut();
        world.met.unknown += usize::from(matches!(committed, Err(Fault::Unknown(_))));
        committed.map(|()| world.written(place))
    }

    fn abort(&mut self) -> Result<(), Fault> {
        call(&self.world, "abort", |world| {
            let producer = world.seat(self.place).producer.unwrap_or(0);
            let aborted = world.log.abort(&id(self.place), producer);
            if aborted.is_err() || world.seat(self.place).undelivered {
                world.initialize(self.place);
            }
            world.withdraw(self.place);
        })
    }

    fn reset(&mut self) -> Result<(), Fault> {
        call(&self.world, "reset", |world| world.initialize(self.place))
    }
}

impl Tasks for Port {
    fn lease(&mut self, task: TaskId) -> Option<Lease> {
        self.world.borrow().lease(self.place, task)
    }

    fn owner(&mut self, task: TaskId) -> Result<Option<String>, Fault> {
        call(&self.world, "owner", |world| world.log.latest_row(task).map(|row| row.owner.clone()))
    }

    fn fence(&mut self, owner: &str) -> Result<(), Fault> {
        call(&self.world, "fence", |world| {
            // Whatever this process has initialized is decided, or under way in a worker that has released the task.
            let mut own = world.seats.iter().filter(|(place, seat)| place.0 == self.place.0 && seat.producer.is_some());
            if own.all(|(&place, _)| id(place) != owner) {
                world.met.taken_over += 1;
                world.log.fence(owner);
            }
        })
    }

    fn row(&mut self, task: TaskId) -> Result<Option<TaskRow>, Fault> {
        attempt(&self.world, "row", |world| {
            world.log.stable_row(task).map_err(|()| Fault::Abort("the row is not decided".into()))
        })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

impl Changelog for Port {
    fn identity(&mut self, changelog: ChangelogId) -> Result<String, Fault> {
        call(&self.world, "identity", |_| format!("changelog-{}", changelog.0))
    }

    fn end(&mut self, id: ChangelogId, partition: Partition) -> Result<Offset, Fault> {
        call(&self.world, "end", |world| Offset(world.log.end(changelog(id, partition))))
    }

    fn read(
        &mut self,
        id: ChangelogId,
        partition: Partition,
        offsets: Range<Offset>,
        _: Duration,
        visit: &mut Visit<'_>,
    ) -> Result<Offset, Fault> {
        let at = changelog(id, partition);
        let rows = attempt(&self.world, "read", |world| {
            if world.log.stable_end(at) < offsets.end.0 {
                world.log.undecided += 1;
                return Err(Fault::Abort("the changelog is not decided".into()));
            }
            let changes = world.log.committed(at, offsets.start.0).filter_map(|(offset, entry)| match entry {
                Entry::Change(row) => Some((offset, row.clone())),
                _ => None,
            });
            Ok(changes.take_while(|(offset, _)| *offset < offsets.end.0).collect::<Vec<_>>())
        })?;
        for (offset, (row, value)) in rows {
            if visit(Offset(offset), &row, value.as_deref()).is_break() {
                return Ok(Offset(offset + 1));
            }
        }
        Ok(offsets.end)
    }
}

impl Stores for Port {
    fn open(&mut self, task: TaskId, changelog: ChangelogId) -> Result<Box<dyn Store>, StoreError> {
        stored(&self.world, "open", |_| ())?;
        Ok(Box::new(Disk { world: self.world.clone(), node: self.place.0, at: (task, changelog.0) }))
    }
}

struct Disk {
    world: Shared,
    node: usize,
    at: (TaskId, u16),
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({:?})", self.at)
    }
}

impl Disk {
    /// Reads in a call that may be made to fail, and of rows that may be damaged.
    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Stored) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let none = Stored::default();
        stored(&self.world, name, |world| read(world.disks[self.node].stores.get(&self.at).unwrap_or(&none)))?
    }
}

impl Store for Disk {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("get", |store| store.get(row))
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        assert!(self.is_in_memory() || rows.is_sorted(), "the rows of a batch are given in order");
        let values =
            self.read("get_many", |store| rows.iter().map(|row| store.get(row)).collect::<Result<Vec<_>, _>>())?;
        rows.iter().zip(values).for_each(|(row, value)| visit(row, value.as_deref()));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.read("scan", |store| Ok(store.clone()))?.scan(from, visit)
    }

    /// Every other task is treated so, although its rows outlive the process.
    fn is_in_memory(&self) -> bool {
        self.at.0.partition.0 % 2 == 1
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        stored(&self.world, "apply", |world| {
            if world.is_full() {
                return Err(StoreError::Unwritable("no room".into()));
            }
            world.disks[self.node].stores.entry(self.at).or_default().apply(writes);
            Ok(())
        })?
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        stored(&self.world, "clear", |world| world.disks[self.node].clear(self.at))
    }
}
