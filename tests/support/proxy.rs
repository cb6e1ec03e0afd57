//! A proxy between nodes and a broker that loses chosen requests, or their answers.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::kafka::{Broker, free_listener, free_port};

/// The key of requests that end a transaction.
const END_TRANSACTION: i16 = 26;

/// From this version on a request may have more fields at its end.
const FLEXIBLE: i16 = 3;

const PATIENCE: Duration = Duration::from_mins(1);

/// What of a commit is lost, with the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// The request: the broker does not hear of it.
    Request,
    /// The answer: the broker has committed.
    Answer,
}

/// Whether the two sides hear of each other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Parted {
    #[default]
    No,
    /// From the next commit on.
    Soon,
    Yes,
}

/// Forwards connections to a broker that advertises this proxy to who comes through it.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where the broker listens for the proxy.
    to: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What to lose next, after so many commits that are let through.
    plan: Option<(Lost, usize)>,
    /// What is lost of every commit for now.
    always: Option<Lost>,
    /// Whether nothing comes through, and what was sent waits on its way.
    parted: Parted,
    /// How often something was lost.
    lost: usize,
    /// Commits that were forwarded.
    commits: usize,
    open: BTreeMap<usize, [TcpStream; 2]>,
    count: usize,
}

impl Proxy {
    /// Starts a proxy. A broker that is started with its settings listens for it.
    pub(crate) fn start() -> Self {
        let (listener, port) = free_listener();
        let shared = Arc::new(Shared { to: free_port(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            listener.incoming().map_while(Result::ok).for_each(|client| accepting.accept(&client));
        });
        Self { port, shared }
    }

    /// Starts a proxy and the broker behind it.
    pub(crate) fn before_a_broker() -> (Self, Broker) {
        let proxy = Self::start();
        let settings = Self::settings([&proxy]);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let broker = Broker::start_in(TempDir::new().expect("a directory for the broker"), &settings, &[]);
        (proxy, broker)
    }

    /// The settings of a broker that has a listener for each of some proxies, where it advertises that proxy.
    pub(crate) fn settings<'p>(proxies: impl IntoIterator<Item = &'p Self>) -> [(&'static str, String); 4] {
        let proxies: Vec<_> = proxies.into_iter().enumerate().collect();
        let all = |own: &[&str], of: &dyn Fn(usize, &Self) -> String| {
            let own = own.iter().map(|&own| own.to_owned());
            own.chain(proxies.iter().map(|&(number, proxy)| of(number, proxy))).collect::<Vec<_>>().join(",")
        };
        let listeners = |number, proxy: &Self| format!("PROXIED_{number}://127.0.0.1:{}", proxy.shared.to);
        let advertised = |number, proxy: &Self| format!("PROXIED_{number}://{}", proxy.address());
        let protocols = |number, _: &Self| format!("PROXIED_{number}:PLAINTEXT");
        let (plain, controller) = ("PLAINTEXT://127.0.0.1:{port}", "CONTROLLER://127.0.0.1:{controller}");
        [
            ("listeners", all(&[plain, controller], &listeners)),
            ("advertised.listeners", all(&[plain], &advertised)),
            ("listener.security.protocol.map", all(&["CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT"], &protocols)),
            ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ]
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Loses part of a commit, with its connection, after so many that it lets through, and waits until it has.
    pub(crate) fn lose(&self, lost: Lost, after: usize) {
        let before = {
            let mut state = self.shared.state();
            state.plan = Some((lost, after));
            state.lost
        };
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while state.lost == before {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no commit came through the proxy of which the {lost:?} could be lost");
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Loses part of every commit, until nothing is said to be lost.
    pub(crate) fn lose_all(&self, lost: Option<Lost>) {
        self.shared.state().always = lost;
    }

    /// Lets nothing through any more, from the next commit on, and waits until that is on its way.
    pub(crate) fn part(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        state.parted = Parted::Soon;
        while state.parted != Parted::Yes {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no commit came through the proxy that could be held");
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing through any more.
    pub(crate) fn block(&self) {
        self.shared.state().parted = Parted::Yes;
    }

    /// Lets everything through again, what waited first.
    pub(crate) fn join(&self) {
        self.shared.state().parted = Parted::No;
        self.shared.changed.notify_all();
    }

    /// Cuts all connections. Answers how many there were.
    pub(crate) fn cut(&self) -> usize {
        let open = std::mem::take(&mut self.shared.state().open);
        open.values().flatten().for_each(cut);
        open.len()
    }

    /// Commits that were forwarded so far.
    pub(crate) fn commits(&self) -> usize {
        self.shared.state().commits
    }
}

/// One of which the other side knows already is cut too.
fn cut(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection, and forwards it both ways on threads of its own.
    fn accept(self: &Arc<Self>, client: &TcpStream) {
        // While the broker is down the client is not answered either.
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.to)) else { return };
        let pair = || Ok([client.try_clone()?, broker.try_clone()?]);
        let (Ok(kept), Ok(requests), Ok(answers)): (Result<_>, Result<_>, Result<_>) = (pair(), pair(), pair()) else {
            return;
        };
        kept.iter().for_each(|stream| _ = stream.set_nodelay(true));
        let number = {
            let mut state = self.state();
            state.count += 1;
            let number = state.count;
            state.open.insert(number, kept);
            number
        };
        // The answer to this request is lost.
        let doomed = Arc::new(Mutex::new(None));
        let (here, there) = (Arc::clone(self), Arc::clone(self));
        let (mark, marked) = (Arc::clone(&doomed), doomed);
        std::thread::spawn(move || {
            let [from, to] = &requests;
            let ended = forward(from, to, |frame| here.asks(frame, &mark));
            here.close(number, ended);
        });
        std::thread::spawn(move || {
            let [to, from] = &answers;
            let ended = forward(from, to, |frame| there.answers(frame, &marked));
            there.close(number, ended);
        });
    }

    fn close(&self, number: usize, ended: Result<()>) {
        let quiet =
            [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::NotConnected];
        assert!(ended.is_ok() || ended.is_err_and(|error| quiet.contains(&error.kind())), "the proxy fails");
        if let Some(streams) = self.state().open.remove(&number) {
            streams.iter().for_each(cut);
        }
    }

    /// Waits until the two sides hear of each other.
    fn joined<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let parted = |state: &mut State| state.parted == Parted::Yes;
        self.changed.wait_while(state, parted).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request goes on.
    fn asks(&self, frame: &[u8], doomed: &Mutex<Option<i32>>) -> bool {
        let correlation = commit(frame);
        let mut state = self.state();
        if correlation.is_some() && state.parted == Parted::Soon {
            state.parted = Parted::Yes;
            self.changed.notify_all();
        }
        let mut state = self.joined(state);
        let Some(correlation) = correlation else { return true };
        let lost = match &mut state.plan {
            Some((_, after)) if *after > 0 => {
                *after -= 1;
                None
            }
            plan => plan.take().map(|(lost, _)| lost),
        };
        let lost = lost.or(state.always);
        match lost {
            Some(Lost::Request) => {
                state.lost += 1;
                self.changed.notify_all();
                return false;
            }
            Some(Lost::Answer) => *doomed.lock().unwrap_or_else(PoisonError::into_inner) = Some(correlation),
            None => {}
        }
        state.commits += 1;
        true
    }

    /// Whether an answer goes on.
    fn answers(&self, frame: &[u8], doomed: &Mutex<Option<i32>>) -> bool {
        drop(self.joined(self.state()));
        let correlation = integer(frame, 0);
        if correlation.is_none() || *doomed.lock().unwrap_or_else(PoisonError::into_inner) != correlation {
            return true;
        }
        self.state().lost += 1;
        self.changed.notify_all();
        false
    }
}

/// Forwards frames, each a length and so many bytes, until one is to be lost or an end comes.
fn forward(mut from: &TcpStream, mut to: &TcpStream, goes_on: impl Fn(&[u8]) -> bool) -> Result<()> {
    let mut frame = vec![0; 4];
    loop {
        frame.truncate(4);
        from.read_exact(&mut frame)?;
        let length = integer(&frame, 0).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        frame.resize(4 + length, 0);
        from.read_exact(&mut frame[4..])?;
        if !goes_on(&frame[4..]) {
            return Ok(());
        }
        to.write_all(&frame)?;
    }
}

/// The correlation id of a request, if it commits a transaction: its header is key, version and correlation id, and the
/// last field says whether to commit or to abort.
fn commit(frame: &[u8]) -> Option<i32> {
    let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    if short(0)? != END_TRANSACTION {
        return None;
    }
    let last = if short(2)? < FLEXIBLE { 1 } else { 2 };
    let commits = *frame.get(frame.len().checked_sub(last)?)? == 1;
    integer(frame, 4).filter(|_| commits)
}

fn integer(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}
