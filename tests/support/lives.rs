//! A process that is killed again and again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a life may go on without a commit.
const SILENCE: Duration = Duration::from_mins(1);

/// What a worker said of its epochs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    Begun,
    Committed,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// It was killed after commits, with so many epochs open.
    Killed { open: usize },
    /// It ended by itself, well.
    Done,
}

/// Starts a command, waits for `commits` commits and a moment more, and kills it with SIGKILL.
///
/// The command must log the epochs of its workers: `WASMILL_LOG=wasmill::node::worker=debug`.
pub(crate) fn live(mut command: Command, commits: usize, moment: Duration) -> End {
    command.env("WASMILL_LOG", "wasmill=debug").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = listen(&mut child);
    let mut seen = 0;
    let mut balance = 0_usize;
    while seen < commits {
        match said.recv_timeout(SILENCE) {
            Ok(Said::Begun) => balance += 1,
            Ok(Said::Committed) => {
                seen += 1;
                balance = balance.saturating_sub(1);
            }
            Err(RecvTimeoutError::Disconnected) => return ended(&mut child),
            Err(RecvTimeoutError::Timeout) => panic!("no commit within {SILENCE:?}"),
        }
    }
    let deadline = Instant::now() + moment;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        match said.recv_timeout(left) {
            Ok(Said::Begun) => balance += 1,
            Ok(Said::Committed) => balance = balance.saturating_sub(1),
            Err(RecvTimeoutError::Disconnected) => return ended(&mut child),
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said in its last moment counts too.
    for said in said {
        balance = if said == Said::Begun { balance + 1 } else { balance.saturating_sub(1) };
    }
    End::Killed { open: balance }
}

fn ended(child: &mut Child) -> End {
    let status = child.wait().unwrap();
    assert!(status.success(), "it ended by itself: {status}");
    End::Done
}

fn listen(child: &mut Child) -> Receiver<Said> {
    let (sender, receiver) = channel();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let said = match &line {
                line if line.contains("epoch begun") => Some(Said::Begun),
                line if line.contains("epoch committed") => Some(Said::Committed),
                line if line.contains("ERROR") || line.starts_with("error") => panic!("{line}"),
                _ => None,
            };
            if said.is_some_and(|said| sender.send(said).is_err()) {
                return;
            }
        }
    });
    receiver
}
