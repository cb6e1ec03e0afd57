//! Serves the log of this process to the commands `topics`, `produce` and `consume` of others.

use std::fs;
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::LogError;
use super::log::{Log, lock};
use super::wire::{self, Answer, Request};
use crate::broker::{Broker, BrokerError};
use crate::data_dir::DataDir;

const MOST_CONNECTIONS: usize = 64;
/// The longest that a fetch waits at a time, so that a server that is stopped is not kept waiting.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Serves a log through the socket in its data directory, until this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: Mutex<Vec<(UnixStream, JoinHandle<()>)>>,
}

impl Server {
    /// Begins to serve.
    pub fn start(log: Log) -> Result<Self, LogError> {
        let path = DataDir::socket(log.dir());
        let failed = |error: io::Error| LogError::Storage {
            path: path.clone(),
            doing: "serve it through a socket",
            reason: error.to_string(),
        };
        // The directory is ours, so whoever left a socket there is gone.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let shared = Arc::<Shared>::default();
        let run = {
            let shared = Arc::clone(&shared);
            move || listen(&listener, &log, &shared)
        };
        let listener = thread::Builder::new().name("log-socket".into()).spawn(run).map_err(failed)?;
        Ok(Self { path, shared, listener: Some(listener) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which sees that it is to stop.
        let _ = UnixStream::connect(&self.path);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let _ = fs::remove_file(&self.path);
        for (stream, connection) in lock(&self.shared.connections).drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            let _ = connection.join();
        }
    }
}

fn listen(listener: &UnixListener, log: &Log, shared: &Shared) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let mut connections = lock(&shared.connections);
        connections.retain(|(_, connection)| !connection.is_finished());
        let Ok(stream) = stream else { continue };
        if connections.len() >= MOST_CONNECTIONS {
            let full = Answer::Refused(format!("{MOST_CONNECTIONS} commands are connected: end one of them"));
            let _ = wire::write(&mut &stream, &full, &[]);
            continue;
        }
        let Ok(handle) = stream.try_clone() else { continue };
        let log = log.clone();
        // An error ends the connection; the client says so.
        let run = move || drop(serve(&stream, log));
        if let Ok(connection) = thread::Builder::new().name("log-client".into()).spawn(run) {
            connections.push((handle, connection));
        }
    }
}

fn serve(stream: &UnixStream, mut log: Log) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = BufWriter::new(stream);
    loop {
        let (request, body) = wire::read::<Request>(&mut from)?;
        let mut answered = Vec::new();
        let answer = answer(&mut log, request, &body, &mut answered);
        let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
        wire::write(&mut to, &answer, &answered)?;
    }
}

fn answer(log: &mut Log, request: Request, body: &[u8], answered: &mut Vec<u8>) -> Result<Answer, BrokerError> {
    Ok(match request {
        Request::Topics => Answer::Topics(Broker::topics(log)?),
        Request::Ensure { topic, partitions } => {
            log.ensure(&topic, partitions)?;
            Answer::Done
        }
        Request::Append { topic } => {
            let records = wire::decode_all(body);
            let records = records.ok_or_else(|| BrokerError::Refused("the records sent are malformed".into()))?;
            Answer::Appended(Broker::append(log, &topic, &records)?)
        }
        Request::Fetch { topic, cursors, wait_ms } => {
            let mut cursors = wire::decode_cursors(&cursors);
            let wait = Duration::from_millis(wait_ms).min(LONGEST_WAIT);
            let chunks = Broker::fetch(log, &topic, &mut cursors, wait)?;
            for chunk in &chunks {
                wire::encode_records(&chunk.records, &chunk.offsets, answered);
            }
            let chunks = chunks.iter().map(|chunk| (chunk.partition.0, chunk.offsets.len())).collect();
            Answer::Fetched { chunks, cursors: wire::encode_cursors(&cursors) }
        }
    })
}
