//! Nodes that hang, and a chain that stands still.

use aiinference_localnet::{Process, CONSUMER, PROVIDER};
use nix::sys::signal::Signal;

use crate::support::*;

/// Processes that are stopped while this is there: their sockets stay open, and nothing comes out of them.
struct Stopped(Vec<Process>);

impl Stopped {
    fn new(nodes: &[aiinference_localnet::Node]) -> Self {
        let processes: Vec<_> = nodes.iter().map(|node| node.process().expect("it runs")).collect();
        for process in &processes {
            process.signal(Signal::SIGSTOP);
        }
        Stopped(processes)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for process in &self.0 {
            process.signal(Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_node_that_hangs_is_left_and_a_chain_that_stands_still_is_waited_for() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let validators = net.nodes(PROVIDER);
    assert_eq!(validators.len(), 4);
    // It asks the one that will hang.
    relayer.prefer(&validators[1], &validators[0]);
    let running = relayer.start();
    running.said("relaying").await;
    net.transfer(CONSUMER, &channel, 1, LONG).await;
    net.settled(&channel).await;
    let before = [
        net.received(PROVIDER, &channel).await,
        net.received(CONSUMER, &channel).await,
    ];

    // The three others make blocks.
    let hanging = Stopped::new(&validators[1..2]);
    net.transfer(PROVIDER, &channel, 2, LONG).await;
    net.transfer(CONSUMER, &channel, 2, LONG).await;
    let url = &validators[1].plan().rpc_url;
    running.said(&format!("{url} has told of no block after")).await;
    running.said("there are new blocks again").await;
    net.settled(&channel).await;
    drop(hanging);
    let now = [
        net.received(PROVIDER, &channel).await,
        net.received(CONSUMER, &channel).await,
    ];
    assert_eq!(now, before.map(|before| before + 2));

    // Two are not enough: no block and no error, while the nodes that it asks answer all questions.
    let resumed = running.times("there are new blocks again");
    let said = running.times("has told of no block after");
    let halted = Stopped::new(&validators[2..]);
    net.transfer(CONSUMER, &channel, 2, LONG).await;
    running.said_times("has told of no block after", said + 1).await;
    assert_eq!(net.pending(CONSUMER, &channel).await, 2);
    drop(halted);
    running.said_times("there are new blocks again", resumed + 1).await;
    net.settled(&channel).await;
    assert_eq!(net.received(CONSUMER, &channel).await, now[1] + 2);
}
