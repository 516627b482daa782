//! The chains, accounts, and the relayer's program as a process.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use aiinference_client::{Account, Gas, Included, Key, Msg, Node, Options, DEFAULT_PATH};
use aiinference_localnet::{Localnet, Node as LocalNode, CONSUMER, PROVIDER};
use aiinference_relay::{
    chain::Chain,
    config::Config,
    packet::End,
    proto::{any, Any},
};
use ibc_proto::{cosmos::base::v1beta1::Coin, ibc::applications::transfer::v1::MsgTransfer};
use sha2::{Digest, Sha256};

/// All that is relayed is over within this, on a loaded machine too.
pub const SOON: Duration = Duration::from_secs(120);

/// A timeout that no test reaches.
pub const LONG: Duration = Duration::from_secs(3600);

/// The environment variable of a program's key.
const KEY_VARIABLE: &str = "RELAY_TEST_KEY";

/// Gas of a transfer.
const TRANSFER_GAS: u64 = 200_000;

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

/// An address on loopback where nobody listens.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// What an address serves.
pub fn page(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A channel's names: on the provider chain, on the consumer chain.
pub type Channel = [String; 2];

/// The localnet, with what its tests need.
pub struct Net {
    net: Localnet,
    accounts: [Account; 2],
}

fn index(chain: &str) -> usize {
    usize::from(chain == CONSUMER)
}

impl Net {
    pub async fn open() -> Self {
        let home = std::env::var_os("LOCALNET_HOME").map_or_else(|| target().join("localnet"), PathBuf::from);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let home = root
            .join(home)
            .canonicalize()
            .expect("a localnet is up: make localnet-up");
        let net = Localnet::open(home).expect("a localnet is up: make localnet-up");
        let mut accounts = Vec::new();
        for chain in [PROVIDER, CONSUMER] {
            let words = fs::read_to_string(&net.plan().account("alice").unwrap().mnemonic_file).unwrap();
            let key = Key::from_mnemonic(words.trim(), DEFAULT_PATH).unwrap();
            let node = Node::connect(&net.nodes_of(chain).unwrap()[0].plan().rpc_url, Some(chain))
                .await
                .unwrap();
            accounts.push(Account::open(&node, key, Options::default()).await.unwrap());
        }
        Net {
            net,
            accounts: accounts.try_into().unwrap(),
        }
    }

    pub fn node(&self, chain: &str) -> LocalNode {
        self.nodes(chain).swap_remove(0)
    }

    pub fn nodes(&self, chain: &str) -> Vec<LocalNode> {
        self.net.nodes_of(chain).unwrap()
    }

    /// An end of a transfer channel.
    pub fn end(&self, chain: &str, channel: &Channel) -> End {
        End {
            port: "transfer".into(),
            channel: channel[index(chain)].clone(),
        }
    }

    /// The program with a configuration of its own; `settings` are added to both chains.
    pub fn relayer(&self, settings: &str) -> Program {
        self.relayer_of("relayer", settings)
    }

    /// The same with the key of another account.
    pub fn relayer_of(&self, account: &str, settings: &str) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let words = &self.net.plan().account(account).unwrap().mnemonic_file;
        let key = folder.path().join("relayer.mnemonic");
        fs::copy(words, &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let mut text = String::from("scan_seconds = 5\n");
        for chain in [PROVIDER, CONSUMER] {
            let nodes = self.net.nodes_of(chain).unwrap();
            let urls: Vec<&String> = nodes.iter().take(2).map(|node| &node.plan().rpc_url).collect();
            text += &format!(
                "[[chains]]\nid = \"{chain}\"\nrpc = {urls:?}\nkey_file = \"relayer.mnemonic\"\ngas_price = \"0stake\"\n{settings}"
            );
        }
        fs::write(folder.path().join("relay.toml"), text).unwrap();
        Program {
            folder,
            key: String::new(),
        }
    }

    /// The same with a transfer channel of its own.
    pub async fn linked(&self, settings: &str) -> (Program, Channel) {
        let program = self.relayer(settings);
        let ends = ["provider-1:transfer", "consumer-1:transfer"];
        program.run(&["link", ends[0], ends[1], "--new-channel", "--write"]);
        let channel = program.channel();
        (program, channel)
    }

    /// Sends transfers of one coin each, in one transaction, and waits until they are in a block.
    pub async fn transfer(&self, from: &str, channel: &Channel, count: u64, timeout: Duration) {
        self.transfer_with(from, channel, count, timeout, "").await;
    }

    /// The same with a memo.
    pub async fn transfer_with(&self, from: &str, channel: &Channel, count: u64, timeout: Duration, memo: &str) {
        let account = &self.accounts[index(from)];
        let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + timeout;
        let message = MsgTransfer {
            source_port: "transfer".into(),
            source_channel: channel[index(from)].clone(),
            token: Some(Coin {
                denom: "stake".into(),
                amount: "1".into(),
            }),
            sender: account.address().into(),
            receiver: account.address().into(),
            timeout_timestamp: until.as_nanos() as u64,
            memo: memo.into(),
            ..Default::default()
        };
        let messages = vec![any(&message); count as usize];
        self.send(from, messages, TRANSFER_GAS * count).await;
    }

    /// Sends messages of alice, and waits until they are in a block.
    pub async fn send(&self, chain: &str, messages: Vec<Any>, gas: u64) -> Included {
        let account = &self.accounts[index(chain)];
        let messages: Vec<Msg> = messages.into_iter().map(Msg::Any).collect();
        let hash = account.submit_with(&messages, Gas::Limit(gas)).await.unwrap();
        account.confirm(&hash).await.unwrap()
    }

    /// Alice on a chain.
    pub fn alice(&self, chain: &str) -> &Account {
        &self.accounts[index(chain)]
    }

    /// What has arrived from a chain over a channel.
    pub async fn received(&self, from: &str, channel: &Channel) -> u128 {
        let other = if from == PROVIDER { CONSUMER } else { PROVIDER };
        let path = format!("transfer/{}/stake", channel[index(other)]);
        self.balance(other, &format!("ibc/{}", hex::encode_upper(Sha256::digest(path))))
            .await
    }

    pub async fn balance(&self, chain: &str, denom: &str) -> u128 {
        let account = &self.accounts[index(chain)];
        let coins = account.node().balances(account.address(), None).await.unwrap();
        coins
            .iter()
            .find(|coin| coin.denom == denom)
            .map_or(0, |coin| coin.amount)
    }

    /// A chain, as the relayer sees it.
    pub fn chain(&self, id: &str) -> Chain {
        let text = format!(
            "[[chains]]\nid = \"{id}\"\nrpc = [\"{}\"]\nkey_env = \"NONE\"\ngas_price = \"0stake\"\n",
            self.node(id).plan().rpc_url
        );
        Chain::new(&Config::parse(&text, PathBuf::new()).unwrap().chains[0])
    }

    /// Packets that a chain has sent over a channel and that are not over.
    pub async fn pending(&self, from: &str, channel: &Channel) -> usize {
        self.unfinished(from, &self.end(from, channel)).await
    }

    /// The same of any end.
    pub async fn unfinished(&self, from: &str, end: &End) -> usize {
        let chain = self.chain(from);
        chain.commitments(end, chain.tip().await.unwrap()).await.unwrap().len()
    }

    /// Waits until nothing is pending on a channel.
    pub async fn settled(&self, channel: &Channel) {
        let end = Instant::now() + SOON;
        while self.pending(PROVIDER, channel).await + self.pending(CONSUMER, channel).await > 0 {
            assert!(Instant::now() < end, "packets are still pending");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The relayer's program, with a folder for its configuration and logs.
pub struct Program {
    folder: tempfile::TempDir,
    /// What the variable for keys holds.
    key: String,
}

impl Program {
    pub fn config(&self) -> String {
        fs::read_to_string(self.folder.path().join("relay.toml")).unwrap()
    }

    /// The first channel of its configuration.
    pub fn channel(&self) -> Channel {
        let config = Config::read(&self.folder.path().join("relay.toml")).unwrap();
        let channel = &config.channels[0];
        [channel.a.channel.clone(), channel.b.channel.clone()]
    }

    /// Relays the channels of another one, too.
    pub fn relay_also(&self, other: &Program) {
        let theirs = other.config();
        let tables = theirs.find("[[channels]]").map_or("", |at| &theirs[at..]);
        fs::write(self.folder.path().join("relay.toml"), self.config() + "\n" + tables).unwrap();
    }

    /// Has it pay with an account that no chain has seen, from its environment; the key.
    pub fn pays_from_a_new_account(&mut self) -> Key {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.key = format!("{:064x}", now.as_nanos());
        self.change(
            "key_file = \"relayer.mnemonic\"",
            &format!("key_env = \"{KEY_VARIABLE}\""),
        );
        Key::from_secret(&self.key, DEFAULT_PATH).unwrap()
    }

    /// Changes its configuration.
    pub fn change(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "{config}");
        fs::write(self.folder.path().join("relay.toml"), config.replace(from, to)).unwrap();
    }

    /// Has it ask one node before another one.
    pub fn prefer(&self, first: &LocalNode, second: &LocalNode) {
        let [first, second] = [first, second].map(|node| node.plan().rpc_url.clone());
        let urls = |a: &String, b: &String| format!("rpc = {:?}", [a, b]);
        self.change(&urls(&second, &first), &urls(&first, &second));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(target().join("release/aiinference-relay"));
        command
            .arg("--config")
            .arg(self.folder.path().join("relay.toml"))
            .args(arguments)
            .env(KEY_VARIABLE, &self.key)
            .env("RUST_LOG", "warn,aiinference_relay=debug");
        command
    }

    /// Runs it to its end; what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let (code, out, errors) = self.ends(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {errors}");
        out
    }

    /// Runs it to its end: exit code, standard output, standard error.
    pub fn ends(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let done = self
            .command(arguments)
            .output()
            .expect("the program is built: make build");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    }

    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let log = tempfile::NamedTempFile::new_in(self.folder.path())
            .unwrap()
            .keep()
            .unwrap()
            .1;
        let child = self
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn();
        Running {
            child: child.expect("the program is built: make build"),
            log,
        }
    }

    pub fn start(&self) -> Running {
        self.spawn(&["start"])
    }
}

/// A process that ends with its owner.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the relayer's log:\n{log}");
        }
    }
}

impl Running {
    /// SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many lines of its log say something.
    pub fn times(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }

    /// Waits until its log says something.
    pub async fn said(&self, what: &str) {
        self.said_times(what, 1).await;
    }

    /// Waits until so many lines of its log say something.
    pub async fn said_times(&self, what: &str, times: usize) {
        let end = Instant::now() + SOON;
        while self.times(what) < times {
            assert!(Instant::now() < end, "it never says {what:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Blocks and milliseconds of each round trip that it has told of.
    pub async fn round_trips(&self) -> Vec<(u64, u64)> {
        self.said("round trip").await;
        let log = self.log();
        let number = |line: &str, name: &str| line.split_once(name)?.1.split_whitespace().next()?.parse().ok();
        let trips = log.lines().filter(|line| line.contains("round trip"));
        trips
            .filter_map(|line| Some((number(line, " blocks=")?, number(line, " ms=")?)))
            .collect()
    }

    /// Resident memory in kB.
    pub fn memory(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }
}
