//! Processes as `/proc` shows them, and the contender as a child of this one.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

/// A contender that runs. It dies with this process.
pub struct Contender(Child);

impl Contender {
    /// Starts a command. What it prints goes to standard error.
    pub fn start(command: &[String]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("the command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(io::stderr());
        // SAFETY: prctl may be called between fork and exec, and touches no memory.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Ok(Self(command.spawn().with_context(|| format!("start {program}"))?))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.kill();
    }
}

/// Processor seconds of a process, its own and the system's for it. 0 once it is gone.
pub fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, comes the third field.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(ticks).sum()
}

/// Processor seconds in which the machine was not idle, those that were stolen from it included.
pub fn machine_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let idle = [3, 4];
    fields.enumerate().filter(|(place, _)| !idle.contains(place)).filter_map(|(_, field)| ticks(field)).sum()
}

fn ticks(field: &str) -> Option<f64> {
    // SAFETY: sysconf only answers a number.
    let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(field.parse::<f64>().ok()? / a_second as f64)
}

/// The most memory that a process has had, in MiB. 0 once it is gone.
pub fn peak_memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
