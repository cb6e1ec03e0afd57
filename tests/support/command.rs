//! The built binary, run in a directory of the test's own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use std::io::Write;
use tempfile::TempDir;

/// How long a process may run, in seconds: one that hangs fails its test by a signal, and holds up no others.
const LIFETIME: u32 = 900;

/// Has a command end by a signal when it runs too long.
pub(crate) fn limit(command: &mut Command) {
    // SAFETY: between fork and exec only `alarm` is called, which is safe there. An alarm outlives exec.
    unsafe {
        command.pre_exec(|| {
            libc::alarm(LIFETIME);
            Ok(())
        });
    }
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A directory of a test's own, in which it runs the command.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The command, with the test's directory as the current one.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
        command.args(arguments).current_dir(self.directory.path()).env_remove("WASMILL_BROKERS");
        command.env("NO_COLOR", "1").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        limit(&mut command);
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// Runs the command to its end as somebody who is not root, whom permissions bind.
    pub(crate) fn run_bound<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        if fs::metadata(self.path(".")).unwrap().uid() != 0 {
            return self.run(arguments);
        }
        let mut bound = Command::new("setpriv");
        bound.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_wasmill")]);
        bound.args(arguments).current_dir(self.path(".")).env_remove("WASMILL_BROKERS");
        Ended::of(bound.output().unwrap())
    }

    /// Runs the command to its end with no file allowed to grow beyond some MiB, as if the disk were full.
    pub(crate) fn run_full<A: AsRef<OsStr>>(&self, mebibytes: usize, arguments: impl IntoIterator<Item = A>) -> Ended {
        let limited = format!("ulimit -f {}; exec \"$0\" \"$@\"", mebibytes << 11);
        let mut shell = Command::new("sh");
        shell.args(["-c", &limited, env!("CARGO_BIN_EXE_wasmill")]).args(arguments).current_dir(self.path("."));
        Ended::of(shell.env_remove("WASMILL_BROKERS").output().unwrap())
    }

    /// Runs the command to its end with some input.
    pub(crate) fn run_with<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || {
            // A command that ends early reads no more.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ended::of(output)
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Its standard output, if it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Fails unless it ended with a status and said all of this on standard error.
    #[track_caller]
    pub(crate) fn failed(self, status: i32, says: &[&str]) {
        assert_eq!(self.status, Some(status), "{}{}", self.stdout, self.stderr);
        for part in says {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
    }
}
