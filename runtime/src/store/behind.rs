//! Writes batches behind their worker's back, on a thread of their own.
//!
//! A store has one batch on its way at most, and reads it until it is written. What fails is told at the next call.

use std::fmt;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use wasmill_core::layers::scan_over;
use wasmill_core::port::{Found, Store, StoreError};
use wasmill_core::writes::Writes;

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
        let handle = handle.map_err(|error| StoreError::Broken(format!("start the store's writer: {error}")))?;
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

/// A batch on its way.
struct Flight {
    writes: Arc<Writes>,
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

impl<S> Behind<S> {
    /// The batch, unless it is known to be written.
    fn flying(&self) -> Result<Option<&Writes>, StoreError> {
        let Some(Flight { writes, landed }) = &self.flight else { return Ok(None) };
        match landed.get() {
            None => Ok(Some(writes)),
            Some(landed) => landed.clone().map(|()| None),
        }
    }

    fn land(&mut self) -> Result<(), StoreError> {
        self.flight.take().map_or(Ok(()), |flight| flight.landed.wait().clone())
    }
}

impl<S: Store + Clone + Send + 'static> Behind<S> {
    /// Sends a batch on its way, when the one before has landed.
    fn send(
        &mut self,
        writes: Arc<Writes>,
        write: fn(&mut S, Arc<Writes>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.land()?;
        let flight = Flight { writes: Arc::clone(&writes), landed: Arc::default() };
        let (mut store, landed) = (self.store.clone(), Arc::clone(&flight.landed));
        let job = Box::new(move || {
            // Nobody else lands it.
            let _ = landed.set(write(&mut store, writes));
        });
        let sent = self.writer.0.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(StoreError::Broken("write rows behind: the store's writer has ended".into()));
        }
        self.flight = Some(flight);
        Ok(())
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
        match self.flying()?.and_then(|writes| writes.get(row)) {
            Some((_, value)) => Ok(value.map(<[u8]>::to_vec)),
            None => self.store.get(row),
        }
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        let Some(writes) = self.flying()? else { return self.store.get_many(rows, visit) };
        let (mut on_their_way, mut missing) = (Vec::new(), Vec::new());
        for &row in rows {
            match writes.get(row) {
                Some(found) => on_their_way.push(found),
                None => missing.push(row),
            }
        }
        let mut on_their_way = on_their_way.into_iter().peekable();
        self.store.get_many(&missing, &mut |row, value| {
            while let Some((before, value)) = on_their_way.next_if(|(there, _)| *there < row) {
                visit(before, value);
            }
            visit(row, value);
        })?;
        on_their_way.for_each(|(row, value)| visit(row, value));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        match self.flying()? {
            Some(writes) => scan_over(writes.range(from), &self.store, from, visit),
            None => self.store.scan(from, visit),
        }
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        self.send(writes, S::apply)
    }

    fn restore(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        self.send(writes, S::restore)
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
