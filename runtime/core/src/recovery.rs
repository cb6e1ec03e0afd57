//! Starting a task where the log says it stands. There is no other way to start one: a restart, an aborted commit, a
//! broken store and a new owner all come here.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::commit::{Guarantee, Terms};
use crate::operator::Operator;
use crate::port::{Changelog, ChangelogId, Fault, Lease, Sealed, Sink, Source, Store, Stores, Tasks};
use crate::record::{Epoch, Now, Offset, TaskId, Timestamp};
use crate::row::META;
use crate::stage::Stage;
use crate::state::State;
use crate::task::care::Care;
use crate::task::memory::{Local, Memory};
use crate::task::row::TaskRow;
use crate::task::{Task, number_states};

/// Bytes of a changelog's rows that go to the store in one sorted batch.
const BATCH: usize = 64 << 20;

/// The world, as recovery needs it.
pub(crate) struct World<'a> {
    pub source: &'a mut dyn Source,
    pub sink: &'a mut dyn Sink,
    pub tasks: &'a mut dyn Tasks,
    pub changelog: &'a mut dyn Changelog,
    pub stores: &'a mut dyn Stores,
}

/// The log and the changelogs contradict each other: somebody changed one of them by hand.
#[derive(Debug, Error)]
enum Contradiction {
    #[error(
        "task {task}: its row says epoch {row}, but the changelog of {operator} has epoch {meta}: \
         somebody changed one of them; start over with --fresh, or restore the group's offsets"
    )]
    Ahead { task: TaskId, operator: String, row: Epoch, meta: Epoch },
    #[error(
        "task {task}: its row says epoch {row}, but the changelog of {operator} has {meta}: \
         was the topic deleted or made anew? start over with --fresh, or restore it"
    )]
    Behind { task: TaskId, operator: String, row: Epoch, meta: String },
    #[error(
        "task {task}: the sources or stages of the pipeline have changed since it ran, so that its offsets would be read \
         as those of other topics: start over with --fresh, or give the pipeline another name"
    )]
    Reshaped { task: TaskId },
    #[error("task {task}: what it remembers cannot be read: it was written by another version of Wasmill")]
    Unreadable { task: TaskId },
}

impl From<Contradiction> for Fault {
    fn from(contradiction: Contradiction) -> Self {
        Self::Fatal(contradiction.to_string())
    }
}

/// What was restored of a task.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// Rows read from changelogs.
    pub rows: u64,
    /// Stores that were emptied first.
    pub wiped: u32,
    /// What failed of a store that was emptied for it.
    pub broken: Option<String>,
}

/// Which row a task has, and under what right.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    id: TaskId,
    lease: Lease,
    row: TaskRow,
}

impl Claimed {
    /// Which task.
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }
}

/// Makes sure that nobody else has anything open for these tasks, and that their rows name this worker. `had` says
/// which of them this process has claimed already.
pub(crate) fn claim(
    world: &mut World<'_>,
    stages: &[Arc<Stage>],
    terms: &Terms,
    ids: &[TaskId],
    had: &BTreeMap<TaskId, bool>,
) -> Result<Vec<Claimed>, Fault> {
    let own = world.tasks.id().to_owned();
    let mut fenced = Vec::new();
    let mut claimed = Vec::new();
    for &id in ids {
        let Some(lease) = world.tasks.lease(id) else { continue };
        let owner = world.tasks.owner(id)?.filter(|owner| !owner.is_empty() && *owner != own);
        if let Some(owner) = owner.filter(|owner| !fenced.contains(owner)) {
            world.tasks.fence(&owner)?;
            fenced.push(owner);
        }
        let row = match world.tasks.row(id)? {
            Some(row) => {
                let alive = had.get(&id).copied().unwrap_or(false);
                let care = row.care.claimed(alive, row.next.len());
                TaskRow { owner: own.clone(), care, ..row }
            }
            None => TaskRow { revision: terms.revision, ..first_row(world, stages, id, &own)? },
        };
        // From here on, and until it is committed anew, the changelogs may be ahead of it.
        let row = TaskRow { guarantee: row.guarantee.max(terms.guarantee), ..row };
        claimed.push(Claimed { id, lease, row });
    }
    if !claimed.is_empty() {
        let sealed: Vec<_> = claimed
            .iter()
            .map(|claimed| Sealed { task: claimed.id, lease: claimed.lease, row: claimed.row.clone() })
            .collect();
        world.sink.begin()?;
        world.sink.commit(&sealed)?;
    }
    Ok(claimed)
}

/// The row of a task that never ran: it starts where its inputs do.
fn first_row(world: &mut World<'_>, stages: &[Arc<Stage>], id: TaskId, own: &str) -> Result<TaskRow, Fault> {
    let inputs = stages.get(usize::from(id.stage)).map_or(0, |stage| stage.inputs.len() as u32);
    let next = (0..inputs).map(|input| world.source.start(id, input)).collect::<Result<_, _>>()?;
    Ok(TaskRow { owner: own.to_owned(), care: Care::first(), next, ..TaskRow::default() })
}

/// Builds a claimed task: its rows as the changelogs have them, its memory of the committed epoch. `wipe`: whatever its
/// stores hold is dropped.
pub(crate) fn restore(
    world: &mut World<'_>,
    stage: &Arc<Stage>,
    operators: &[Box<dyn Operator>],
    claimed: Claimed,
    revision: u64,
    wipe: bool,
    now: Timestamp,
) -> Result<(Task, Restored), Fault> {
    let Claimed { id, lease, row } = claimed;
    if row.revision != revision {
        return Err(Contradiction::Reshaped { task: id }.into());
    }
    let mut restored = Restored::default();
    let mut remembered = match stage.home() {
        None if !row.memory.is_empty() => Some(decode(id, &row.memory)?),
        _ => None,
    };
    let (mut stores, mut behind) = (Vec::new(), Vec::new());
    for (node, changelog) in stage.changelogs() {
        let operator = &stage.nodes[node].operator;
        let mut restore = Restore { world, id, changelog, row: &row, wipe, restored: &mut restored };
        let (rows, local, meta) = restore.run(operator)?;
        behind.extend(local.map(|local| (node, local)));
        if stage.home().is_some_and(|(home, _)| home == node) {
            let has = meta.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch);
            if !allows(&row, has) {
                let meta = if meta.is_some() { format!("epoch {has}") } else { "nothing".to_owned() };
                let operator = stage.nodes[node].operator.clone();
                return Err(Contradiction::Behind { task: id, operator, row: row.epoch, meta }.into());
            }
            remembered = meta.map(|(_, memory)| memory);
        }
        stores.push((node, rows));
    }
    let mut memory = remembered.unwrap_or_else(|| Memory::new(stage, row.next.clone()));
    memory.next.clone_from(&row.next);
    memory.marks.clone_from(&row.marks);
    memory.adapt(stage);
    let mut states: Vec<_> = stage.nodes.iter().map(|_| None).collect();
    for (node, store) in stores {
        let kept = number_states(&mut memory, operators, node);
        let opened = State::new(store, kept);
        // At least once, the changelog may have rows of an epoch that the memory knows nothing of.
        if row.guarantee == Guarantee::AtLeastOnce && behind.iter().any(|(of, _)| *of == node) {
            memory.operators[node].size = opened.count()?;
        }
        states[node] = Some(Box::new(opened));
    }
    let mut task = Task::new(id, lease, stage.clone(), &row, memory, states, now);
    // A store that was behind counts as current only now that its index is whole.
    for (node, local) in behind {
        if let Some((_, state)) = task.states().find(|(of, _)| *of == node) {
            state.index_expiry()?;
            state.apply(vec![(Local::ROW.to_vec(), Some(local.encode()))], now);
            state.flush()?;
        }
    }
    // The first reads, so that a store that opens well and cannot be read is found out here.
    task.next_tick(Now { time: now, steady: now })?;
    Ok((task, restored))
}

/// Whether a row goes with the epoch of its task's home changelog.
fn allows(row: &TaskRow, has: Epoch) -> bool {
    match row.guarantee {
        Guarantee::ExactlyOnce => has == row.epoch,
        Guarantee::AtLeastOnce => has >= row.epoch,
    }
}

fn decode(task: TaskId, bytes: &[u8]) -> Result<Memory, Fault> {
    match Memory::decode(bytes) {
        Some((_, _, memory)) => Ok(memory),
        None => Err(Contradiction::Unreadable { task }.into()),
    }
}

/// Brings the rows of one operator to where its changelog stands.
struct Restore<'a, 'w> {
    world: &'a mut World<'w>,
    id: TaskId,
    changelog: ChangelogId,
    row: &'a TaskRow,
    wipe: bool,
    restored: &'a mut Restored,
}

/// The rows at rest, what they will stand at if they were behind, and the memory among them.
type Opened = (Box<dyn Store>, Option<Local>, Option<(Epoch, Memory)>);

impl Restore<'_, '_> {
    fn run(&mut self, operator: &str) -> Result<Opened, Fault> {
        let (store, behind) = self.rows()?;
        let meta = match store.get(&META)? {
            Some(meta) => Some(Memory::decode(&meta).ok_or(Contradiction::Unreadable { task: self.id })?),
            None => None,
        };
        let meta = meta.map(|(epoch, _, memory)| (epoch, memory));
        if let Some((epoch, _)) = &meta
            && *epoch > self.row.epoch
            && self.row.guarantee == Guarantee::ExactlyOnce
        {
            let operator = operator.to_owned();
            return Err(Contradiction::Ahead { task: self.id, operator, row: self.row.epoch, meta: *epoch }.into());
        }
        Ok((store, behind, meta))
    }

    fn rows(&mut self) -> Result<(Box<dyn Store>, Option<Local>), Fault> {
        let mut store = self.world.stores.open(self.id, self.changelog)?;
        let partition = self.id.partition;
        let identity = self.world.changelog.identity(self.changelog)?;
        let end = self.world.changelog.end(self.changelog, partition)?;
        let tail = self.world.changelog.tail_from(self.changelog, partition)?;
        let stored = if self.wipe { None } else { store.get(&Local::ROW)? };
        let local = stored.as_deref().and_then(Local::decode);
        let valid = local
            .filter(|local| local.identity == identity && local.epoch <= Some(self.row.epoch))
            .filter(|local| tail <= local.next && local.next <= end);
        let from = match valid {
            Some(local) if self.is_current(&local, end) => return Ok((store, None)),
            Some(local) => local.next,
            None => {
                self.restored.wiped += u32::from(self.wipe || stored.is_some());
                store.clear()?;
                Offset(0)
            }
        };
        self.read(store, &identity, from, end)
    }

    /// Whether rows that stand there are those that the task goes on from.
    fn is_current(&self, local: &Local, end: Offset) -> bool {
        let read = self.row.guarantee == Guarantee::ExactlyOnce || local.next == end;
        local.epoch == Some(self.row.epoch) && read
    }

    /// Reads the changelog's tail into the store, in batches that each carry the offset that they end at.
    fn read(
        &mut self,
        store: Box<dyn Store>,
        identity: &str,
        from: Offset,
        end: Offset,
    ) -> Result<(Box<dyn Store>, Option<Local>), Fault> {
        let mut state = State::new(store, Arc::new([]));
        let anew = from == Offset(0);
        let mut rows = 0;
        let mut failed = None;
        let local = |next: Offset, epoch: Option<Epoch>| Local { identity: identity.to_owned(), next, epoch };
        let unfinished = |next: Offset| vec![(Local::ROW.to_vec(), Some(local(next, None).encode()))];
        let mut visit = |offset: Offset, row: &[u8], value: Option<&[u8]>| {
            if failed.is_some() {
                return;
            }
            rows += 1;
            let derived = state.derive(row, value).and_then(|()| {
                state.settle();
                if state.overlay().bytes() < BATCH {
                    return Ok(());
                }
                state.load(&unfinished(offset.next()), anew)
            });
            failed = derived.err();
        };
        let next = self.world.changelog.read(self.changelog, self.id.partition, from, end, &mut visit)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.restored.rows += rows;
        state.load(&unfinished(next), anew)?;
        Ok((state.into_store(), Some(local(next, Some(self.row.epoch)))))
    }
}
