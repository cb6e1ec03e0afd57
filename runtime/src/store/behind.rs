//! Writes batches behind their worker's back, on a thread of their own.
//!
//! A store has one batch on its way at most, and reads it until it is written. What fails is told at the next call.

use std::fmt;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use wasmill_core::layers::scan_over;
use wasmill_core::port::{Found, Store, StoreError, Write};

/// The thread that writes the batches of a database's stores. When the last clone is dropped, all are written.
#[derive(Clone)]
pub(super) struct Writer(Arc<Thread>);

struct Thread {
    jobs: Option<Sender<Box<dyn FnOnce() + Send>>>,
    handle: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start() -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let run = move || queue.into_iter().for_each(|job| job());
        let handle = thread::Builder::new().name("store-writer".into()).spawn(run);
        let handle = handle.map_err(|error| StoreError(format!("start the store's writer: {error}")))?;
        Ok(Self(Arc::new(Thread { jobs: Some(jobs), handle: Some(handle) })))
    }

    /// A store that is written by this thread.
    pub(super) fn behind<S: Store + Clone + Send + 'static>(&self, store: S) -> Behind<S> {
        Behind { store, writer: self.clone(), flight: None }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

/// A store and the batch that is on its way to it.
pub(super) struct Behind<S> {
    store: S,
    writer: Writer,
    flight: Option<Flight>,
}

/// A batch on its way, in order of its rows.
struct Flight {
    writes: Arc<[Write]>,
    landed: Arc<OnceLock<Result<(), StoreError>>>,
}

impl<S> fmt::Debug for Behind<S>
where
    S: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Flight {
    /// The rows that are not known to be written; none if they are.
    fn rows(&self) -> Result<&[Write], StoreError> {
        match self.landed.get() {
            None => Ok(&self.writes),
            Some(Ok(())) => Ok(&[]),
            Some(Err(error)) => Err(error.clone()),
        }
    }
}

impl<S> Behind<S> {
    fn rows(&self) -> Result<&[Write], StoreError> {
        self.flight.as_ref().map_or(Ok(&[]), Flight::rows)
    }

    fn land(&mut self) -> Result<(), StoreError> {
        self.flight.take().map_or(Ok(()), |flight| flight.landed.wait().clone())
    }
}

impl<S> Drop for Behind<S> {
    /// Who opens the store next must not have this batch come over what it writes.
    fn drop(&mut self) {
        let _ = self.land();
    }
}

impl<S: Store + Clone + Send + 'static> Store for Behind<S> {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.rows()?;
        match rows.binary_search_by(|(there, _)| there.as_slice().cmp(row)) {
            Ok(found) => Ok(rows.get(found).and_then(|(_, value)| value.clone())),
            Err(_) => self.store.get(row),
        }
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        let flying = self.rows()?;
        if flying.is_empty() {
            return self.store.get_many(rows, visit);
        }
        let (mut on_their_way, mut missing) = (Vec::new(), Vec::new());
        for &row in rows {
            match flying.binary_search_by(|(there, _)| there.as_slice().cmp(row)) {
                Ok(found) => on_their_way.extend(flying.get(found)),
                Err(_) => missing.push(row),
            }
        }
        let mut on_their_way = on_their_way.into_iter().peekable();
        self.store.get_many(&missing, &mut |row, value| {
            while let Some((before, value)) = on_their_way.next_if(|(there, _)| there.as_slice() < row) {
                visit(before, value.as_deref());
            }
            visit(row, value);
        })?;
        on_their_way.for_each(|(row, value)| visit(row, value.as_deref()));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let rows = self.rows()?;
        let first = rows.partition_point(|(row, _)| row.as_slice() < from);
        let on_their_way = rows.get(first..).unwrap_or_default().iter();
        let on_their_way = on_their_way.map(|(row, value)| (row.as_slice(), value.as_deref()));
        scan_over(on_their_way, &self.store, from, visit)
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.land()?;
        let mut last: Vec<Write> = writes.to_vec();
        last.sort_by(|(a, _), (b, _)| a.cmp(b));
        // Of writes to one row the last counts.
        last.reverse();
        last.dedup_by(|(a, _), (b, _)| a == b);
        last.reverse();
        let (writes, landed) = (Arc::from(last), Arc::new(OnceLock::new()));
        let (mut store, flight) =
            (self.store.clone(), Flight { writes: Arc::clone(&writes), landed: Arc::clone(&landed) });
        let job = Box::new(move || {
            // Nobody else lands it.
            let _ = landed.set(store.apply(&writes));
        });
        let sent = self.writer.0.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(StoreError("write rows behind: the store's writer has ended".into()));
        }
        self.flight = Some(flight);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.land()?;
        self.store.sync()
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        // Whatever became of it is dropped as well.
        let _ = self.land();
        self.store.clear()
    }
}
