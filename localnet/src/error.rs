//! What can go wrong, and what to do then.

use std::path::{Path, PathBuf};

/// An error of the localnet: what was being done, what came in between, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },

    #[error("opening the localnet: there is none in {}; make it with `aiinference-localnet up` (or `make localnet-up`)", home.display())]
    NotMade { home: PathBuf },

    #[error("reading {}: {reason}; `aiinference-localnet reset`, then `up`, makes the localnet anew", path.display())]
    Damaged { path: PathBuf, reason: String },

    #[error("using {} as the localnet's home: it holds other files, and nothing was touched; name an empty folder with --home", home.display())]
    NotOurs { home: PathBuf },

    #[error("looking for wasmd: {} does not exist; build it with scripts/wasmd.sh, or name its folder with --wasmd", path.display())]
    NoWasmd { path: PathBuf },

    #[error("looking for the library of {who}: {} does not exist; {next}", path.display())]
    NoLibrary {
        who: String,
        path: PathBuf,
        next: &'static str,
    },

    #[error("running `wasmd {command}`: {cause}")]
    Wasmd { command: String, cause: String },

    #[error("making the key of the account {name}: {cause}")]
    Key {
        name: String,
        cause: aiinference_client::KeyError,
    },

    #[error("editing {file}: it has no key {key}; this is not the configuration of the wasmd that the localnet knows")]
    Config { file: &'static str, key: String },

    #[error(
        "starting {node}: port {port} ({listener}) is taken by another program; \
         see which with `ss -ltnp sport = :{port}`, and end it or make the localnet elsewhere with --home and --base-port"
    )]
    PortTaken {
        node: String,
        listener: &'static str,
        port: u16,
    },

    #[error("adding {node} to {chain}: its {slots} places are taken; remove a node first")]
    Full { node: String, chain: String, slots: u16 },

    #[error("placing the nodes: base port {base_port} leaves no room for {ports} ports; choose one between 1024 and {}", u16::MAX - ports)]
    BasePort { base_port: u16, ports: u16 },

    #[error("starting the localnet: {} was made with {what} {made}, now {asked} is asked for; {next}", home.display())]
    MadeOtherwise {
        home: PathBuf,
        what: &'static str,
        made: String,
        asked: String,
        next: &'static str,
    },

    #[error("{node} is not running: it never started, or was stopped; start it with `aiinference-localnet up`")]
    NotRunning { node: String },

    #[error("{node} ended by itself; the last lines of {}:\n{tail}", log.display())]
    Died { node: String, log: PathBuf, tail: String },

    #[error("checking the library of {node}: its process maps {mapped}, and not {} alone; stop it and start it again", wanted.display())]
    OtherLibrary {
        node: String,
        mapped: String,
        wanted: PathBuf,
    },

    #[error("asking {node} at {url} for {what}: {cause}; see `aiinference-localnet status` and `logs {node}`")]
    Rpc {
        node: String,
        url: String,
        what: &'static str,
        cause: String,
    },

    #[error("waiting {seconds} s for {what}: it did not come; see `aiinference-localnet status` and `logs`")]
    Late { what: String, seconds: u64 },

    #[error("looking for {wanted}: the localnet has {known}")]
    Unknown { wanted: String, known: String },

    #[error("adding {name}: a node's name has 1 to 40 of a-z, 0-9 and '-', and is not yet taken")]
    BadName { name: String },

    #[error("removing {node}: its chain was made with it as a validator; stop it, or reset the whole localnet")]
    Founder { node: String },

    #[error("ending {node}: process {pid} outlived SIGKILL by {seconds} s; it hangs in the kernel, look at it with `ps -o stat,wchan {pid}`")]
    Immortal { node: String, pid: i32, seconds: u64 },
}

/// A result of the localnet.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was being done to a file when it failed.
pub(crate) trait IoContext<T> {
    fn context(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn context(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.as_ref().into(),
            source,
        })
    }
}
