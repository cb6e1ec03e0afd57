//! The log of a data directory, whoever has it: opened where nobody runs on it, else asked for through the socket of
//! the process that does.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use wasmill_core::batch::Batch;

use super::error::LogError;
use super::log::{LARGEST_APPEND, Log};
use super::wire::{self, Answer, Request};
use crate::broker::{Broker, BrokerError, Chunk, Cursor, Listed};
use crate::data_dir::{DataDir, DataDirError};

/// How long a process may take from its lock to its socket.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Connects to the log of a data directory.
pub fn connect(path: &Path) -> Result<Connection, LogError> {
    let mut connection = Connection { path: path.to_path_buf(), state: State::Idle(None) };
    connection.connect()?;
    Ok(connection)
}

/// The log of a data directory. While it waits for records in a directory that nobody has, it lets go of it, so that a
/// pipeline can be started there; when that ends, it goes on with what is there.
#[derive(Debug)]
pub struct Connection {
    path: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nobody had the directory when it was last taken, at that time.
    Idle(Option<SystemTime>),
    Open(Log),
    Remote(Client),
}

impl Connection {
    fn connect(&mut self) -> Result<&mut dyn Broker, LogError> {
        if matches!(self.state, State::Idle(_)) {
            self.state = Self::take(&self.path)?;
        }
        Ok(match &mut self.state {
            State::Open(log) => log,
            State::Remote(client) => client,
            State::Idle(_) => return Err(DataDirError::Missing(self.path.clone()).into()),
        })
    }

    fn take(path: &Path) -> Result<State, LogError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let in_use = match DataDir::open(path) {
                Ok(dir) => return Ok(State::Open(Log::open(dir)?)),
                Err(error @ DataDirError::InUse { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            match Client::connect(path) {
                Ok(client) => return Ok(State::Remote(client)),
                Err(_) if Instant::now() >= deadline => return Err(in_use.into()),
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Asks; if the process that has the log went away meanwhile, asks again whoever has it now.
    fn ask<T>(
        &mut self,
        mut question: impl FnMut(&mut dyn Broker) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        match question(self.connect()?) {
            Err(BrokerError::Gone(_)) => {
                self.state = State::Idle(None);
                question(self.connect()?)
            }
            answer => answer,
        }
    }

    /// When the directory was last taken by anybody.
    fn taken(&self) -> Option<SystemTime> {
        self.path.join("lock").metadata().and_then(|lock| lock.modified()).ok()
    }
}

impl Broker for Connection {
    fn topics(&mut self) -> Result<Vec<Listed>, BrokerError> {
        self.ask(|broker| broker.topics())
    }

    fn ensure(&mut self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.ask(|broker| broker.ensure(topic, partitions))
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<Vec<u64>, BrokerError> {
        self.connect()?.append(topic, records)
    }

    fn fetch(&mut self, topic: &str, cursors: &mut [Cursor], wait: Duration) -> Result<Vec<Chunk>, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            match &self.state {
                State::Remote(_) => return self.ask(|broker| broker.fetch(topic, cursors, wait)),
                State::Idle(Some(taken)) if self.taken().as_ref() == Some(taken) => {}
                State::Idle(_) | State::Open(_) => {
                    let chunks = self.ask(|broker| broker.fetch(topic, cursors, Duration::ZERO))?;
                    if !chunks.is_empty() || wait.is_zero() {
                        return Ok(chunks);
                    }
                    if matches!(self.state, State::Open(_)) {
                        self.state = State::Idle(self.taken());
                    }
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            thread::sleep(LOOK_EVERY.min(left));
        }
    }
}

/// The log of another process.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    fn connect(path: &Path) -> io::Result<Self> {
        let stream = BufReader::new(UnixStream::connect(DataDir::socket(path))?);
        Ok(Self { path: path.to_path_buf(), stream })
    }

    fn ask(&mut self, request: &Request, body: &[u8]) -> Result<(Answer, Vec<u8>), BrokerError> {
        let answer = wire::write(self.stream.get_mut(), request, body).and_then(|()| wire::read(&mut self.stream));
        match answer {
            Ok((Answer::Refused(reason), _)) => Err(BrokerError::Refused(reason)),
            Ok(answer) => Ok(answer),
            Err(error) => {
                let invalid = error.kind() == io::ErrorKind::InvalidData;
                let reason = self.failed(error.to_string());
                Err(if invalid { BrokerError::Refused(reason) } else { BrokerError::Gone(reason) })
            }
        }
    }

    fn failed(&self, reason: impl Into<String>) -> String {
        LogError::Remote { path: self.path.clone(), reason: reason.into() }.to_string()
    }

    fn odd(&self) -> BrokerError {
        BrokerError::Refused(self.failed("it answered something else"))
    }
}

impl Broker for Client {
    fn topics(&mut self) -> Result<Vec<Listed>, BrokerError> {
        let (Answer::Topics(topics), _) = self.ask(&Request::Topics, &[])? else { return Err(self.odd()) };
        Ok(topics)
    }

    fn ensure(&mut self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.ask(&Request::Ensure { topic: topic.to_owned(), partitions }, &[])?;
        Ok(())
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<Vec<u64>, BrokerError> {
        let bytes = records.bytes() + records.len() * 64;
        if bytes > LARGEST_APPEND {
            return Err(LogError::TooLarge { topic: topic.to_owned(), bytes, limit: LARGEST_APPEND }.into());
        }
        let mut body = Vec::with_capacity(bytes);
        wire::encode_records(records, &[], &mut body);
        let (Answer::Appended(counts), _) = self.ask(&Request::Append { topic: topic.to_owned() }, &body)? else {
            return Err(self.odd());
        };
        Ok(counts)
    }

    fn fetch(&mut self, topic: &str, cursors: &mut [Cursor], wait: Duration) -> Result<Vec<Chunk>, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (topic, wait_ms) = (topic.to_owned(), left.as_millis() as u64);
            let request = Request::Fetch { topic, cursors: wire::encode_cursors(cursors), wait_ms };
            let (Answer::Fetched { chunks, cursors: moved }, body) = self.ask(&request, &[])? else {
                return Err(self.odd());
            };
            let chunks = wire::decode_chunks(&chunks, &body).ok_or_else(|| self.odd())?;
            for (cursor, moved) in cursors.iter_mut().zip(wire::decode_cursors(&moved)) {
                *cursor = moved;
            }
            if !chunks.is_empty() || left.is_zero() {
                return Ok(chunks);
            }
        }
    }
}
