//! The wasmd program, run for its one-off commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::error::{Error, IoContext, Result};
use crate::plan::{Library, Runs};

/// The name that wasmd is linked against; it must stay exactly so.
pub const LIBRARY: &str = "libwasmvm.x86_64.so";

/// How much memory the Go runtime aims to stay within, and how eagerly it collects: a small node, five of them on a machine.
const GO_MEMORY: [(&str, &str); 2] = [("GOMEMLIMIT", "320MiB"), ("GOGC", "50")];

/// wasmd, with the folder of the library it loads.
#[derive(Clone, Debug)]
pub struct Wasmd {
    program: PathBuf,
    libraries: PathBuf,
}

impl Wasmd {
    /// The program, on the library file given.
    pub fn new(program: &Path, library: &Path) -> Result<Self> {
        if !program.is_file() {
            return Err(Error::NoWasmd { path: program.into() });
        }
        let libraries = library.parent().unwrap_or(Path::new("/")).into();
        Ok(Self {
            program: program.into(),
            libraries,
        })
    }

    /// A command of it that sees nothing of our environment: no other library, no setting of the user's.
    fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", home)
            .env("LD_LIBRARY_PATH", &self.libraries)
            .current_dir(home);
        command
    }

    /// Runs `wasmd ARGS --home HOME` to its end; returns what it wrote to stdout.
    pub fn run(&self, home: &Path, args: &[&str]) -> Result<String> {
        let failed = |cause| Error::Wasmd {
            command: args.join(" "),
            cause,
        };
        let output = self
            .command(home)
            .args(args)
            .arg("--home")
            .arg(home)
            .arg("--log_no_color")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let err = String::from_utf8_lossy(&output.stderr);
        // Beside the usage text stands one line that tells everything.
        let lines = || err.lines().filter(|line| !line.trim().is_empty());
        let error = lines()
            .find(|line| line.starts_with("Error:"))
            .or(lines().next_back())
            .unwrap_or("it says nothing");
        Err(failed(format!("{error} ({})", output.status)))
    }

    /// The command that runs a node.
    pub fn start(&self, home: &Path, runs: &Runs, metrics: u16) -> Command {
        let mut command = self.command(home);
        command
            .arg("start")
            .arg("--home")
            .arg(home)
            .arg("--log_no_color")
            .envs(GO_MEMORY);
        if let Some(kernels) = runs.kernels {
            command.env("AIINFERENCE_KERNELS", kernels.name());
            command.env("AIINFERENCE_METRICS", format!("127.0.0.1:{metrics}"));
            command.env("AIINFERENCE_LOG", "info");
        }
        if runs.capability {
            command.env("AIINFERENCE_FORCE_CAPABILITY", "1");
        }
        if let Some(trace) = &runs.trace_file {
            command.env("AIINFERENCE_TRACE", trace);
        }
        command.envs(&runs.environment);
        command
    }
}

/// Copies the library of a folder into the home, named by its bytes: what a running node has mapped never changes, however
/// often the library is built again.
pub fn stage_library(who: &str, folder: &Path, home: &Path, next: &'static str) -> Result<Library> {
    let source = folder.join(LIBRARY);
    if !source.is_file() {
        return Err(Error::NoLibrary {
            who: who.into(),
            path: source,
            next,
        });
    }
    let bytes = fs::read(&source).context("reading", &source)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let staged = home.join("lib").join(sha256.get(..16).unwrap_or(&sha256));
    let file = staged.join(LIBRARY);
    if fs::read(&file).ok().as_ref() != Some(&bytes) {
        fs::create_dir_all(&staged).context("making", &staged)?;
        let part = staged.join("part");
        fs::write(&part, &bytes).context("writing", &part)?;
        fs::rename(&part, &file).context("writing", &file)?;
    }
    let source = source.canonicalize().context("resolving", &source)?;
    Ok(Library { source, file, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_staged_once_by_its_bytes_and_a_rebuilt_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (source, home) = (folder.path().join("source"), folder.path().join("home"));
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join(LIBRARY), b"one").unwrap();
        let one = stage_library("a node", &source, &home, "").unwrap();
        assert_eq!(stage_library("a node", &source, &home, "").unwrap(), one);
        fs::write(source.join(LIBRARY), b"two").unwrap();
        let two = stage_library("a node", &source, &home, "").unwrap();
        assert_ne!(one.file, two.file);
        assert_eq!(fs::read(&one.file).unwrap(), b"one");
        assert_eq!(fs::read(&two.file).unwrap(), b"two");
    }

    #[test]
    fn a_missing_library_or_program_says_how_to_build_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = stage_library("provider-1", folder.path(), folder.path(), "build it with `make x`").unwrap_err();
        assert!(error.to_string().contains("build it with `make x`"), "{error}");
        let error = Wasmd::new(&folder.path().join("wasmd"), Path::new("/lib/x.so")).unwrap_err();
        assert!(error.to_string().contains("scripts/wasmd.sh"), "{error}");
    }

    #[test]
    fn a_failed_command_shows_its_error_and_not_the_usage() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("wasmd");
        fs::write(
            &program,
            "#!/bin/sh\necho Usage: >&2\necho 'ERR no such thing' >&2\nexit 3\n",
        )
        .unwrap();
        let mut mode = fs::metadata(&program).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(&program, mode).unwrap();
        let wasmd = Wasmd::new(&program, Path::new("/lib/x.so")).unwrap();
        let error = wasmd.run(folder.path(), &["frob"]).unwrap_err().to_string();
        assert_eq!(error, "running `wasmd frob`: ERR no such thing (exit status: 3)");
    }
}
