//! A task from its claim until it is built.

use std::sync::Arc;
use std::time::Duration;

use crate::commit::{Guarantee, Repair, Slice};
use crate::operator::Operator;
use crate::port::{Changelog, Fault, Lease, Sealed, Store};
use crate::record::{Epoch, TaskId, Timestamp};
use crate::recovery::built::{Behind, Built};
use crate::recovery::rows::{Left, Rows};
use crate::recovery::{Claimed, Contradiction, Restored, World};
use crate::row::META;
use crate::stage::Stage;
use crate::state::{Size, State};
use crate::task::memory::Memory;
use crate::task::row::TaskRow;
use crate::task::trial::Trial;
use crate::task::{Task, number_states};

/// A claimed task whose rows are brought to where its changelogs stand.
#[derive(Debug)]
pub(crate) struct Restore {
    claimed: Claimed,
    /// What was learnt about failing records before.
    verdicts: Option<Trial>,
    /// The rows of its operators; none where the stores are to be opened first, or the task is built.
    rows: Option<Vec<Rows>>,
    /// The task, once all was read.
    built: Option<Built>,
    /// What failed of a store, so that all of them are emptied.
    broken: Option<String>,
}

/// What tasks are built of.
#[derive(Clone, Copy)]
pub(crate) struct Builder<'a> {
    /// The task's stage.
    pub(crate) stage: &'a Arc<Stage>,
    /// The stage's operators.
    pub(crate) operators: &'a [Box<dyn Operator>],
    /// What may be made good.
    pub(crate) repair: Repair,
    /// The time.
    pub(crate) now: Timestamp,
}

impl Restore {
    /// A claimed task of which nothing is open. `verdicts` is what was learnt about its failing records.
    pub(crate) fn new(claimed: Claimed, verdicts: Option<Trial>) -> Self {
        Self { claimed, verdicts, rows: None, built: None, broken: None }
    }

    /// Which task.
    pub(crate) fn id(&self) -> TaskId {
        self.claimed.id
    }

    /// The right that its row was read under.
    pub(crate) fn lease(&self) -> Lease {
        self.claimed.lease
    }

    /// The last committed epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        self.claimed.row.epoch
    }

    /// What was learnt about failing records, where the task is not built after all.
    pub(crate) fn into_verdicts(self) -> Option<Trial> {
        self.verdicts
    }

    /// Forgets what was learnt about failing records.
    pub(crate) fn forget_verdicts(&mut self) {
        self.verdicts = None;
    }

    /// Its row without an owner: nobody has anything open for the task.
    pub(crate) fn release(&self) -> Sealed {
        let Claimed { id, lease, row } = self.claimed.clone();
        Sealed { task: id, lease, row: TaskRow { owner: String::new(), care: row.care.released(), ..row } }
    }

    /// Whether its stores are open.
    pub(crate) fn is_open(&self) -> bool {
        self.rows.is_some() || self.built.is_some()
    }

    /// Whether its stores are emptied because one of them failed.
    pub(crate) fn is_wiped(&self) -> bool {
        self.broken.is_some()
    }

    /// Closes the stores. What of the changelogs is in them is not read again.
    pub(crate) fn close(&mut self) {
        (self.rows, self.built) = (None, None);
    }

    /// Closes the stores of a task that is built already: it will be built of other operators.
    pub(crate) fn unbuild(&mut self) {
        if self.built.is_some() {
            self.close();
        }
    }

    /// Closes the stores, to be emptied when they are opened again.
    pub(crate) fn wipe(&mut self, reason: String) {
        self.close();
        self.broken = Some(reason);
    }

    /// Opens its stores and looks what they lack. `wipe`: whatever they hold is dropped.
    pub(crate) fn open(
        &mut self,
        world: &mut World<'_>,
        stage: &Stage,
        revision: u64,
        wipe: bool,
    ) -> Result<(), Fault> {
        if self.claimed.row.revision != revision {
            return Err(Contradiction::Reshaped { task: self.id() }.into());
        }
        let opened = stage.changelogs().map(|changelog| Rows::open(world, &self.claimed, changelog, wipe));
        self.rows = Some(opened.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Reads a slice of what is left, one changelog after the other. Answers whether anything is to be done now.
    pub(crate) fn read(&mut self, changelog: &mut dyn Changelog, slice: Slice, wait: Duration) -> Result<bool, Fault> {
        let left = self.rows.iter_mut().flatten().find(|rows| !rows.is_whole());
        left.map_or(Ok(true), |rows| rows.read(changelog, slice, wait))
    }

    /// Whether nothing is left to be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows.as_ref().is_some_and(|rows| rows.iter().all(Rows::is_whole)) || self.built.is_some()
    }

    /// What is left of each changelog.
    pub(crate) fn left(&self) -> impl Iterator<Item = Left> {
        let read = self.built.iter().flat_map(Built::read);
        self.rows.iter().flatten().map(|rows| rows.left(self.id())).chain(read)
    }

    /// What is restored first is the least of it: tails before whole changelogs, short ones before long ones, what is built
    /// before all that is read anew.
    pub(crate) fn order(&self) -> (bool, u64, TaskId) {
        let anew = self.built.is_none() && self.rows.as_ref().is_none_or(|rows| rows.iter().any(Rows::is_anew));
        (anew, self.left().map(|left| left.done + left.left).sum(), self.id())
    }

    /// Goes on with a task of which all was read: builds it, and does a slice of what its stores lack. Answers it once they
    /// lack nothing. If it fails its stores are closed.
    pub(crate) fn build(&mut self, by: &Builder<'_>, slice: &mut Slice) -> Result<Option<(Task, Restored)>, Fault> {
        let mut built = self.built.take().map_or_else(|| self.assemble(by), Ok)?;
        built.go_on(slice, by.now)?;
        if !built.is_current() {
            self.built = Some(built);
            return Ok(None);
        }
        let (mut task, restored) = built.finish(by.now)?;
        if let Some(verdicts) = self.verdicts.take() {
            task.keep_verdicts(verdicts);
        }
        Ok(Some((task, restored)))
    }

    /// The task: its rows as the changelogs have them, its memory of the committed epoch.
    fn assemble(&mut self, by: &Builder<'_>) -> Result<Built, Fault> {
        let Builder { stage, operators, repair, now } = *by;
        let read = self.left().collect();
        let (rows, mut row) = (self.rows.take().unwrap_or_default(), self.claimed.row.clone());
        let restored = Restored {
            rows: rows.iter().map(Rows::count).sum(),
            wiped: rows.iter().map(|rows| u32::from(rows.wiped)).sum(),
            broken: self.broken.clone(),
        };
        let mut remembered = match stage.home() {
            None if !row.memory.is_empty() => Some(self.decode(&row.memory)?.1),
            _ => None,
        };
        let (mut stores, mut behind, mut last) = (Vec::new(), Vec::new(), None);
        for rows in rows {
            let (node, local) = (rows.node, rows.local());
            let is_empty = rows.is_anew() && rows.count() == 0;
            let store = rows.into_store();
            let operator = &stage.nodes[node].operator;
            let meta = self.meta(store.as_ref(), operator, repair)?;
            let epoch = meta.as_ref().map(|(epoch, _)| *epoch);
            let is_home = stage.home().is_some_and(|(home, _)| home == node);
            if repair == Repair::FromChangelog && !is_home && epoch > last {
                let (task, operator) = (self.id(), operator.clone());
                return Err(Contradiction::Apart { task, operator, epoch: epoch.unwrap_or_default() }.into());
            }
            if is_home {
                last = epoch;
                remembered = match repair {
                    Repair::Never => self.remembered(meta, operator)?,
                    _ => self.repaired(&mut row, meta, operator, repair)?,
                };
            }
            behind.extend(local.map(|local| Behind::new(node, local)));
            stores.push((node, store, is_empty));
        }
        let row = &row;
        let mut memory = remembered.unwrap_or_else(|| Memory::new(stage, row.next.clone()));
        memory.next.clone_from(&row.next);
        memory.marks.clone_from(&row.marks);
        memory.adapt(stage);
        let mut states: Vec<_> = stage.nodes.iter().map(|_| None).collect();
        for (node, store, is_empty) in stores {
            let kept = number_states(&mut memory, operators, node);
            let size = &mut memory.operators[node].size;
            if size.rows > 0 && is_empty {
                if row.guarantee == Guarantee::ExactlyOnce && repair == Repair::Never {
                    let (task, operator) = (self.id(), stage.nodes[node].operator.clone());
                    return Err(Contradiction::Behind { task, operator, row: row.epoch, meta: "nothing".into() }.into());
                }
                *size = Size::default();
            }
            states[node] = Some(Box::new(State::new(store, kept)));
        }
        let task = Task::new(self.id(), self.lease(), stage.clone(), row, memory, states, now);
        Ok(Built::new(task, restored, row.guarantee, behind, read))
    }

    /// What the rows of an operator say of the task.
    fn meta(&self, store: &dyn Store, operator: &str, repair: Repair) -> Result<Option<(Epoch, Memory)>, Fault> {
        let Some(meta) = store.get(&META)? else { return Ok(None) };
        let (meta, memory) = self.decode(&meta)?;
        let (task, row) = (self.id(), &self.claimed.row);
        if meta > row.epoch && row.guarantee == Guarantee::ExactlyOnce && repair == Repair::Never {
            return Err(Contradiction::Ahead { task, operator: operator.to_owned(), row: row.epoch, meta }.into());
        }
        Ok(Some((meta, memory)))
    }

    fn decode(&self, bytes: &[u8]) -> Result<(Epoch, Memory), Fault> {
        match Memory::decode(bytes) {
            Some((epoch, _, memory)) => Ok((epoch, memory)),
            None => Err(Contradiction::Unreadable { task: self.id() }.into()),
        }
    }

    /// What the task remembers, if that goes with its row.
    fn remembered(&self, meta: Option<(Epoch, Memory)>, operator: &str) -> Result<Option<Memory>, Fault> {
        let row = &self.claimed.row;
        let has = meta.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch);
        let goes = match row.guarantee {
            Guarantee::ExactlyOnce => has == row.epoch,
            Guarantee::AtLeastOnce => has >= row.epoch,
        };
        if goes {
            return Ok(meta.map(|(_, memory)| memory));
        }
        let meta = if meta.is_some() { format!("epoch {has}") } else { "nothing".to_owned() };
        let operator = operator.to_owned();
        Err(Contradiction::Behind { task: self.id(), operator, row: row.epoch, meta }.into())
    }
}

impl Restore {
    /// What the task remembers where that need not go with its row, which is changed to what the changelog says.
    fn repaired(
        &self,
        row: &mut TaskRow,
        meta: Option<(Epoch, Memory)>,
        operator: &str,
        repair: Repair,
    ) -> Result<Option<Memory>, Fault> {
        let Some((epoch, memory)) = meta else {
            let (task, operator, epoch) = (self.id(), operator.to_owned(), row.epoch);
            let is_new = epoch == Epoch(0) || repair == Repair::Forget;
            return if is_new { Ok(None) } else { Err(Contradiction::Empty { task, operator, row: epoch }.into()) };
        };
        if repair == Repair::FromChangelog && epoch != row.epoch {
            row.next.clone_from(&memory.next);
            row.marks.clear();
        }
        row.epoch = row.epoch.max(epoch);
        Ok(Some(memory))
    }
}
