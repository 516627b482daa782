//! Processes that outlive the program that started them: found again by id and start time, so that a process that merely
//! inherited the id is never taken for ours, nor ended.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag};
use nix::unistd::{setsid, Pid};
use serde::{Deserialize, Serialize};

use crate::error::{IoContext, Result};
use crate::plan::write_json;

/// Logs longer than this are put aside (one generation) when their node starts.
const LOG_BYTES: u64 = 64 << 20;

/// A process, for ever: its id, when it started (clock ticks since boot), and the boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pid: i32,
    started: u64,
    boot: String,
}

/// Fields of `/proc/PID/stat`.
struct Stat {
    state: char,
    started: u64,
}

impl Process {
    /// The process that has this id now; nothing if there is none.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (!stat.is_dead()).then_some(Self {
            pid,
            started: stat.started,
            boot: boot_id()?,
        })
    }

    /// Starts a program in a session of its own, its output appended to a log.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        put_aside(log).context("putting aside", log)?;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .context("opening", log)?;
        let errors = output.try_clone().context("opening", log)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // SAFETY: between fork and exec only setsid runs, which is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| setsid().map(drop).map_err(io::Error::from));
        }
        let program = PathBuf::from(command.get_program());
        let child = command.spawn().context("starting", &program)?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        // A child that has ended already is a zombie until it is waited for, so its start time can still be read.
        let stat = Stat::read(pid);
        let boot = boot_id();
        match (stat, boot) {
            (Some(stat), Some(boot)) => Ok(Self {
                pid,
                started: stat.started,
                boot,
            }),
            _ => Err(io::Error::other("/proc does not tell when the process started")).context("starting", &program),
        }
    }

    /// What a pid file says; nothing if there is none, or it cannot be understood.
    pub fn read(pid_file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(pid_file).ok()?).ok()
    }

    /// Writes the pid file.
    pub fn write(&self, pid_file: &Path) -> Result<()> {
        write_json(pid_file, self)
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Does this very process still run? Ended children of ours are waited for on the way.
    pub fn is_alive(&self) -> bool {
        let same = |stat: &Stat| stat.started == self.started && boot_id().as_ref() == Some(&self.boot);
        match Stat::read(self.pid).filter(same) {
            Some(stat) if stat.is_dead() => {
                // Only a parent may wait; for anybody else this does nothing.
                let _ = waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
                // It is not over while threads of it are ending: until the last has, its sockets are open.
                threads(self.pid) > 1
            }
            found => found.is_some(),
        }
    }

    /// Sends a signal, if the process still runs.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end in between: that is what was wanted.
            let _ = signal::kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Waits until it has ended; false if it has not by then.
    pub async fn ended_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    }

    /// The files that are mapped and whose name starts so, each once.
    pub fn maps(&self, prefix: &str) -> io::Result<Vec<PathBuf>> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid))?;
        let mut files: Vec<PathBuf> = maps.lines().filter_map(|line| mapped_file(line, prefix)).collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// Threads of a process, ended ones that still wait for others not counted.
fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// The file of one line of `/proc/PID/maps`. A file removed since keeps its mark ` (deleted)`.
fn mapped_file(line: &str, prefix: &str) -> Option<PathBuf> {
    let path = Path::new(line.get(line.find('/')?..)?);
    path.file_name()?.to_str()?.starts_with(prefix).then(|| path.into())
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = after_name(text)?;
        let state = fields.next()?.chars().next()?;
        Some(Self {
            state,
            started: fields.nth(18)?.parse().ok()?,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The fields after the name, which stands in parentheses and may contain anything.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

fn boot_id() -> Option<String> {
    Some(
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()?
            .trim()
            .into(),
    )
}

fn put_aside(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(found) if found.len() > LOG_BYTES => fs::rename(log, log.with_extension("log.old")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The last lines of a file, read from its end.
pub fn tail(path: &Path, lines: usize) -> io::Result<String> {
    const WINDOW: u64 = 256 << 10;
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
    let mut bytes = Vec::new();
    file.take(WINDOW).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all
        .get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Process {
        let mut command = Command::new("sleep");
        command.arg("60");
        Process::spawn(command, &folder.join("log")).unwrap()
    }

    #[tokio::test]
    async fn a_process_is_known_by_its_pid_file_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        sleeper(folder.path()).write(&file).unwrap();
        let process = Process::read(&file).unwrap();
        assert!(process.is_alive());
        assert_eq!(Process::of(process.pid()), Some(process.clone()));
        assert!(process.rss_bytes().unwrap() > 0);
        process.signal(Signal::SIGKILL);
        assert!(process.ended_within(Duration::from_secs(10)).await);
    }

    #[test]
    fn another_process_with_the_same_id_is_neither_ours_nor_ended() {
        let folder = tempfile::tempdir().unwrap();
        let process = sleeper(folder.path());
        let older = Process {
            started: process.started - 1,
            ..process.clone()
        };
        assert!(!older.is_alive());
        older.signal(Signal::SIGKILL);
        let before_boot = Process {
            boot: "another".into(),
            ..process.clone()
        };
        assert!(!before_boot.is_alive());
        before_boot.signal(Signal::SIGKILL);
        assert!(process.is_alive());
        process.signal(Signal::SIGKILL);
    }

    #[test]
    fn a_started_process_leads_a_session_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let process = sleeper(folder.path());
        let text = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
        let session: i32 = after_name(&text).unwrap().nth(3).unwrap().parse().unwrap();
        process.signal(Signal::SIGKILL);
        assert_eq!(session, process.pid());
    }

    #[test]
    fn a_pid_file_that_is_damaged_names_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert_eq!(Process::read(&file), None);
        fs::write(&file, "12").unwrap();
        assert_eq!(Process::read(&file), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) S 1) R 1 7 7 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 4242 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.started), ('R', 4242));
        assert!(Stat::parse("7 (a").is_none());
    }

    #[test]
    fn a_mapped_file_is_found_by_its_name_also_when_it_was_removed() {
        let line = "7f00-7f10 r-xp 00000000 fe:00 12  /a b/libwasmvm.x86_64.so";
        assert_eq!(mapped_file(line, "libwasmvm"), Some("/a b/libwasmvm.x86_64.so".into()));
        assert_eq!(mapped_file(line, "libc"), None);
        assert_eq!(mapped_file("7f00-7f10 rw-p 00000000 00:00 0  [heap]", "lib"), None);
        let removed = "7f00-7f10 r-xp 00000000 fe:00 12  /a/libwasmvm.x86_64.so (deleted)";
        assert_eq!(
            mapped_file(removed, "libwasmvm"),
            Some("/a/libwasmvm.x86_64.so (deleted)".into())
        );
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "1\n2\n3\n").unwrap();
        assert_eq!(tail(&path, 2).unwrap(), "2\n3");
        assert_eq!(tail(&path, 9).unwrap(), "1\n2\n3");
    }
}
