//! An ordered channel: interchain accounts, which both chains have.

use std::time::{Duration, Instant};

use aiinference_client::Included;
use aiinference_localnet::{CONSUMER, PROVIDER};
use aiinference_relay::{
    packet::End,
    proto::{
        any,
        channel::{Order, State},
        Message,
    },
};
use ibc_proto::{
    cosmos::{bank::v1beta1::MsgSend, base::v1beta1::Coin},
    ibc::applications::interchain_accounts::{
        controller::v1::{MsgRegisterInterchainAccount, MsgSendTx},
        v1::{CosmosTx, InterchainAccountPacketData, Type},
    },
};

use crate::support::*;

const GAS: u64 = 500_000;

/// An account on the consumer chain that alice of the provider chain owns.
struct Remote<'a> {
    net: &'a Net,
    connection: String,
    /// The provider's end of the channel.
    end: End,
    address: String,
}

impl<'a> Remote<'a> {
    async fn open(net: &'a Net, relayer: &Program, transfer: &Channel) -> Remote<'a> {
        let chain = net.chain(PROVIDER);
        let known = End {
            port: "transfer".into(),
            channel: transfer[0].clone(),
        };
        let connection = chain.channel(&known).await.unwrap().connection_hops.remove(0);
        let owner = net.alice(PROVIDER).address().to_string();
        let register = MsgRegisterInterchainAccount {
            owner: owner.clone(),
            connection_id: connection.clone(),
            version: String::new(),
            ordering: Order::Ordered as i32,
        };
        let done = net.send(PROVIDER, vec![any(&register)], GAS).await;
        let end = End {
            port: format!("icacontroller-{owner}"),
            channel: done.attribute("channel_open_init", "channel_id").unwrap().into(),
        };
        let version = chain.channel(&end).await.unwrap().version;
        let ends = [format!("{PROVIDER}:{}", end.port), format!("{CONSUMER}:icahost")];
        let options = [
            "--order",
            "ordered",
            "--connection",
            &connection,
            "--channel-version",
            &version,
        ];
        let mut arguments = vec!["link", &ends[0], &ends[1], "--write"];
        arguments.extend(options);
        relayer.run(&arguments);
        let opened: serde_json::Value = serde_json::from_str(&chain.channel(&end).await.unwrap().version).unwrap();
        Remote {
            net,
            connection,
            end,
            address: opened["address"].as_str().unwrap().into(),
        }
    }

    fn coins(&self, from: &str, to: &str, amount: u64) -> MsgSend {
        MsgSend {
            from_address: from.into(),
            to_address: to.into(),
            amount: vec![Coin {
                denom: "stake".into(),
                amount: amount.to_string(),
            }],
        }
    }

    /// Has the account send coins, one packet for each amount, all in one transaction.
    async fn pays(&self, to: &str, amounts: &[u64], timeout: Duration) -> Included {
        let packet = |amount: &u64| {
            let message = any(&self.coins(&self.address, to, *amount));
            let data = InterchainAccountPacketData {
                r#type: Type::ExecuteTx as i32,
                data: CosmosTx {
                    messages: vec![ibc_proto::google::protobuf::Any {
                        type_url: message.type_url,
                        value: message.value,
                    }],
                }
                .encode_to_vec(),
                memo: String::new(),
            };
            any(&MsgSendTx {
                owner: self.net.alice(PROVIDER).address().into(),
                connection_id: self.connection.clone(),
                packet_data: Some(data),
                relative_timeout: timeout.as_nanos() as u64,
            })
        };
        let messages: Vec<_> = amounts.iter().map(packet).collect();
        let gas = GAS * messages.len() as u64;
        self.net.send(PROVIDER, messages, gas).await
    }

    /// Waits until both ends are closed.
    async fn closed(&self) {
        let here = self.net.chain(PROVIDER);
        let there = self.net.chain(CONSUMER);
        let other = End {
            port: "icahost".into(),
            channel: here.channel(&self.end).await.unwrap().counterparty.unwrap().channel_id,
        };
        let end = Instant::now() + SOON;
        for (chain, one) in [(&here, &self.end), (&there, &other)] {
            while chain.channel(one).await.unwrap().state != State::Closed as i32 {
                assert!(Instant::now() < end, "{one} stays open");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn settled(&self) {
        let end = Instant::now() + SOON;
        while self.net.unfinished(PROVIDER, &self.end).await > 0 {
            assert!(Instant::now() < end, "packets are still pending");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn an_ordered_channel_is_relayed_in_order_and_given_up_as_a_whole() {
    let net = Net::open().await;
    let (relayer, transfer) = net.linked("max_messages = 2\n").await;
    let remote = Remote::open(&net, &relayer, &transfer).await;
    let alice = net.alice(CONSUMER).address().to_string();
    let fund = remote.coins(&alice, &remote.address, 100);
    net.send(CONSUMER, vec![any(&fund)], GAS).await;
    let before = net.balance(CONSUMER, "stake").await;
    let running = relayer.start();
    running.said("relaying").await;
    // More than a transaction takes: order holds across transactions.
    remote.pays(&alice, &[1, 2, 3, 4, 5], LONG).await;
    remote.settled().await;
    assert_eq!(net.balance(CONSUMER, "stake").await, before + 15);
    drop(running);

    // The first that comes too late closes the channel; those after it are given up all the same.
    let too_late = Duration::from_secs(3);
    remote.pays(&alice, &[6, 7, 8], too_late).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let running = relayer.start();
    remote.settled().await;
    // The other end is closed too, without which the account could have no new channel.
    remote.closed().await;
    assert_eq!(net.balance(CONSUMER, "stake").await, before + 15, "nothing overtakes");
    drop(running);

    let again = Remote::open(&net, &relayer, &transfer).await;
    assert_eq!(again.address, remote.address);
    assert_ne!(again.end, remote.end);
    let running = relayer.start();
    again.pays(&alice, &[9], LONG).await;
    again.settled().await;
    assert_eq!(net.balance(CONSUMER, "stake").await, before + 24);
    drop(running);
    // So that this can be run again on these chains.
    again.pays(&alice, &[10], too_late).await;
    tokio::time::sleep(too_late).await;
    let _running = relayer.start();
    again.closed().await;
}
