//! ezkl as an external tool: installed from PyPI into an environment of its own, at one version and by its hash, and
//! called through a small Python program.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc,
    },
    thread,
    time::Duration,
};

use serde::{de::DeserializeOwned, Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version that circuits are made with. Another one may make other keys of the same model.
pub const EZKL_VERSION: &str = "23.0.5";
/// The packages with the hashes of the wheels that are accepted.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// The program that calls it.
const DRIVER: &str = include_str!("driver.py");

/// Why the tool cannot be used, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// No folder to keep it in.
    #[error("installing ezkl: neither XDG_CACHE_HOME nor HOME is set; set one of them")]
    NoCache,
    /// A file or folder.
    #[error("{doing} {path}: {source}", path = .path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// With which.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program that cannot be started.
    #[error("starting {program}: {source}; install Python 3.8 or newer with its venv module (Debian: apt-get install python3-venv)")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The installation failed.
    #[error("installing ezkl {EZKL_VERSION}: {reason}; check that a Python package index is reachable and that it has a wheel for this machine")]
    Install {
        /// The end of what was said.
        reason: String,
    },
    /// Somebody called [`Cancel::cancel`].
    #[error("{task} with ezkl: cancelled")]
    Cancelled {
        /// Which task.
        task: String,
    },
    /// The task failed.
    #[error("{task} with ezkl: {reason}")]
    Failed {
        /// Which task.
        task: String,
        /// What it said.
        reason: String,
    },
}

/// An installed ezkl.
#[derive(Clone, Debug)]
pub struct Tool {
    python: PathBuf,
    driver: PathBuf,
    cancel: Cancel,
}

/// Ends the tasks of a tool from another thread.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Kills the process of a running task; it and every later one end with [`ToolError::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often a running task looks whether it is cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// One step of a task, as it was measured.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Stage {
    pub name: String,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_kib: u64,
}

/// What every task's result has.
#[derive(Debug, Deserialize)]
struct Outcome {
    error: Option<String>,
}

fn file_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ToolError + 'a {
    move |source| ToolError::File {
        doing,
        path: path.into(),
        source,
    }
}

/// The last lines of what a program said.
fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(5);
    let joined = lines[from..].join(" | ");
    joined.chars().take(1000).collect()
}

impl Tool {
    /// The tool in the user's cache (`XDG_CACHE_HOME`, or `.cache` at home), installed if it is not there.
    pub fn prepare(progress: &mut dyn FnMut(&str)) -> Result<Self, ToolError> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        Self::prepare_in(&cache.ok_or(ToolError::NoCache)?.join("aiinference"), progress)
    }

    /// The tool in a folder of one's own.
    pub fn prepare_in(cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self, ToolError> {
        // Another version, other hashes or another driver go to another folder.
        let mut key = Sha256::new();
        key.update(REQUIREMENTS);
        key.update([0]);
        key.update(DRIVER);
        let key = hex::encode(&key.finalize()[..6]);
        let folder = cache.join(format!("ezkl-{EZKL_VERSION}-{key}"));
        fs::create_dir_all(cache).map_err(file_error("making", cache))?;
        let lock = cache.join("ezkl.lock");
        let guard = File::create(&lock).map_err(file_error("making", &lock))?;
        // Released when the file is closed, however this ends.
        guard.lock().map_err(file_error("locking", &lock))?;
        let tool = Tool {
            python: folder.join("bin/python"),
            driver: folder.join("driver.py"),
            cancel: Cancel::default(),
        };
        let complete = folder.join("complete");
        if complete.exists() {
            return Ok(tool);
        }
        progress("installing ezkl");
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(file_error("removing", &folder))?;
        }
        // -I: nothing beside the model is taken for a part of Python.
        install(
            Command::new("python3").args(["-I", "-m", "venv"]).arg(&folder),
            "python3",
        )?;
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).map_err(file_error("writing", &requirements))?;
        let pip = [
            "-I",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--requirement",
        ];
        install(
            Command::new(&tool.python).args(pip).arg(&requirements),
            "the environment's python",
        )?;
        fs::write(&tool.driver, DRIVER).map_err(file_error("writing", &tool.driver))?;
        fs::write(&complete, b"").map_err(file_error("writing", &complete))?;
        Ok(tool)
    }

    /// The same tool, whose tasks end when the other side says so.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Self {
        Tool {
            cancel: cancel.clone(),
            ..self.clone()
        }
    }

    /// Does a task. `request` lacks the keys `task`, `work` and `result`, which are added here.
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        task: &str,
        request: impl Serialize,
        progress: &mut dyn FnMut(&str),
    ) -> Result<T, ToolError> {
        let failed = |reason: String| ToolError::Failed {
            task: task.into(),
            reason,
        };
        let cancelled = || ToolError::Cancelled { task: task.into() };
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        let work = tempfile::Builder::new()
            .prefix("aiinference-zk-")
            // It holds inputs and salts.
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(file_error("making", &env::temp_dir()))?;
        let (file, result) = (work.path().join("request.json"), work.path().join("result.json"));
        let mut request = serde_json::to_value(request).map_err(|e| failed(e.to_string()))?;
        let path = |p: &Path| serde_json::Value::String(p.to_string_lossy().into_owned());
        request["task"] = task.into();
        request["work"] = path(work.path());
        request["result"] = path(&result);
        fs::write(&file, request.to_string()).map_err(file_error("writing", &file))?;
        let log = work.path().join("stderr");
        let stderr = File::create(&log).map_err(file_error("making", &log))?;
        let child = Command::new(&self.python)
            .args(["-I", "-B"])
            .arg(&self.driver)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|source| ToolError::Start {
                program: self.python.display().to_string(),
                source,
            })?;
        let mut child = Killed(child);
        let child = &mut child.0;
        let (said, stages) = mpsc::channel();
        let reader = child.stdout.take().map(|stdout| {
            thread::spawn(move || {
                for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                    // It ends with its output even if nobody listens any more.
                    if let Some(stage) = line.strip_prefix(b"@@ ") {
                        said.send(String::from_utf8_lossy(stage).into_owned()).ok();
                    }
                }
            })
        });
        loop {
            match stages.recv_timeout(LOOK) {
                Ok(stage) => progress(&stage),
                Err(mpsc::RecvTimeoutError::Timeout) if self.cancel.is_cancelled() => {
                    return Err(cancelled());
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(reader) = reader {
            reader.join().ok();
        }
        let status = child.wait().map_err(|e| failed(e.to_string()))?;
        let Ok(bytes) = fs::read(&result) else {
            let said = fs::read(&log).unwrap_or_default();
            return Err(failed(format!("it ended with {status} and no result: {}", tail(&said))));
        };
        let outcome: Outcome = serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?;
        if let Some(reason) = outcome.error {
            // ezkl says what it could not do on stderr, and in its error only that it could not.
            let said = tail(&fs::read(&log).unwrap_or_default());
            return Err(failed(if said.is_empty() {
                reason
            } else {
                format!("{reason} ({said})")
            }));
        }
        serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))
    }
}

/// A process that does not outlive its task, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn install(command: &mut Command, program: &str) -> Result<(), ToolError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ToolError::Start {
            program: program.into(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    Err(ToolError::Install { reason: tail(said) })
}
