//! A light client that was shown a block which its chain does not have, by validators who sign two.

use std::{fs, sync::Arc, time::Duration};

use aiinference_client::Msg;
use aiinference_client::{governance, Coin, Proposal};
use aiinference_localnet::{CONSUMER, PROVIDER};
use aiinference_relay::{
    light::{Headers, LightClient},
    proto::{any, client, light, nested},
};
use cosmrs::proto::cosmos::gov::v1::{MsgSubmitProposalResponse, MsgVote, VoteOption};
use tendermint::{
    block::{signed_header::SignedHeader, CommitSig},
    vote::{Type, Vote},
    Hash, PrivateKey, Signature,
};

use crate::{contracts, support::*};

/// The provider's client over which a transfer channel goes.
async fn client_of(net: &Net, channel: &Channel) -> LightClient {
    let chain = Arc::new(net.chain(PROVIDER));
    let end = net.end(PROVIDER, channel);
    let connection = chain.channel(&end).await.unwrap().connection_hops.remove(0);
    let id = chain.connection(&connection).await.unwrap().client_id;
    let headers = Arc::new(Headers::new(Arc::new(net.chain(CONSUMER))));
    LightClient::load(chain, headers, &id).await.unwrap()
}

/// The block with another state, signed by the consumer chain's one validator.
fn forged(net: &Net, real: &SignedHeader) -> SignedHeader {
    let file = net.node(CONSUMER).plan().home.join("config/priv_validator_key.json");
    let file: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let PrivateKey::Ed25519(key) = serde_json::from_value(file["priv_key"].clone()).unwrap() else {
        panic!("the validator's key is none of the usual kind");
    };
    let key = ed25519_consensus::SigningKey::try_from(key).unwrap();
    let mut forged = real.clone();
    forged.header.app_hash = vec![7; 32].try_into().unwrap();
    forged.commit.block_id.hash = forged.header.hash();
    let commit = forged.commit.clone();
    for (index, slot) in forged.commit.signatures.iter_mut().enumerate() {
        let CommitSig::BlockIdFlagCommit {
            validator_address,
            timestamp,
            signature,
        } = slot
        else {
            panic!("the one validator signs every block");
        };
        let vote = Vote {
            vote_type: Type::Precommit,
            height: commit.height,
            round: commit.round,
            block_id: Some(commit.block_id),
            timestamp: Some(*timestamp),
            validator_address: *validator_address,
            validator_index: index.try_into().unwrap(),
            signature: None,
            extension: Vec::new(),
            extension_signature: None,
        };
        let signed = key.sign(&vote.into_signable_vec(forged.header.chain_id.clone()));
        *signature = Signature::new(signed.to_bytes()).unwrap();
    }
    assert_ne!(forged.header.hash(), real.header.hash());
    assert!(matches!(forged.header.hash(), Hash::Sha256(_)));
    forged
}

/// Makes a client believe in a block that its chain does not have.
async fn mislead(net: &Net, channel: &Channel) -> String {
    let client = client_of(net, channel).await;
    let headers = client.headers();
    let trusted = client.latest();
    let height = headers.chain().tip().await.unwrap();
    assert!(height > trusted.height);
    let real = headers.header(height).await.unwrap();
    let set = headers.validators(height, real.header.validators_hash).await.unwrap();
    let next = trusted.height + 1;
    let trusted_set = headers.validators(next, trusted.next_validators_hash).await.unwrap();
    let header = light::Header {
        signed_header: Some(forged(net, &real).into()),
        validator_set: Some(set.as_ref().clone().into()),
        trusted_height: Some(headers.chain().height(trusted.height)),
        trusted_validators: Some(trusted_set.as_ref().clone().into()),
    };
    let update = client::MsgUpdateClient {
        client_id: client.id.clone(),
        client_message: Some(nested(&header)),
        signer: net.alice(PROVIDER).address().into(),
    };
    net.send(PROVIDER, vec![any(&update)], 500_000).await;
    assert_eq!(
        net.chain(PROVIDER).client_status(&client.id).await.unwrap(),
        "Active",
        "it takes the false header for a true one"
    );
    client.id
}

/// Has the provider chain's validators put another client in the place of a frozen one.
async fn recover(net: &Net, subject: &str, substitute: &str) {
    let alice = net.alice(PROVIDER);
    let message = client::MsgRecoverClient {
        subject_client_id: subject.into(),
        substitute_client_id: substitute.into(),
        signer: governance(&alice.node().prefix().await.unwrap()).unwrap(),
    };
    let proposal = Msg::Propose(Proposal {
        proposer: alice.address().into(),
        messages: vec![Msg::Any(any(&message))],
        deposit: vec![Coin {
            denom: "stake".into(),
            amount: 100_000_000,
        }],
        title: "Recover a client".into(),
        summary: "A test.".into(),
        expedited: false,
    });
    let done = alice.send(&[proposal]).await.unwrap();
    let proposal_id = done.response::<MsgSubmitProposalResponse>(0).unwrap().proposal_id;
    let chains = contracts::localnet();
    for node in contracts::validators(&chains) {
        let voter = contracts::account(&chains, &node, node.name()).await;
        let vote = MsgVote {
            proposal_id,
            voter: voter.address().into(),
            option: VoteOption::Yes.into(),
            metadata: String::new(),
        };
        voter.send(&[Msg::Any(any(&vote))]).await.unwrap();
    }
    let end = std::time::Instant::now() + SOON;
    while net.chain(PROVIDER).client_status(subject).await.unwrap() != "Active" {
        assert!(std::time::Instant::now() < end, "the proposal does not pass");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_misled_client_is_frozen_its_channel_stops_alone_and_goes_on_once_it_is_recovered() {
    let net = Net::open().await;
    let (relayer, good) = net.linked("").await;
    let ends = ["provider-1:transfer", "consumer-1:transfer"];
    let forked = net.relayer("");
    forked.run(&["link", ends[0], ends[1], "--new-connection", "--write"]);
    let channel = forked.channel();
    relayer.relay_also(&forked);
    let running = relayer.start();
    running.said("relaying").await;

    let client = mislead(&net, &channel).await;
    running.said("it trusts another block").await;
    running
        .said(&format!(
            "using light client {client} of consumer-1 on provider-1: it is frozen; only the chain's governance can recover it"
        ))
        .await;
    assert_eq!(net.chain(PROVIDER).client_status(&client).await.unwrap(), "Frozen");

    // The others go on; on its own channel, what needs the other chain's client still arrives.
    let before = net.received(CONSUMER, &good).await;
    net.transfer(CONSUMER, &good, 2, LONG).await;
    net.transfer(PROVIDER, &good, 2, LONG).await;
    net.settled(&good).await;
    assert_eq!(net.received(CONSUMER, &good).await, before + 2);
    net.transfer(CONSUMER, &channel, 3, LONG).await;
    let (code, shown, _) = relayer.ends(&["status"]);
    assert_eq!(code, Some(3), "{shown}");
    assert!(
        shown.contains("it is frozen") && shown.contains(&format!("transfer/{} on", good[0])),
        "{shown}"
    );
    assert_eq!(net.pending(CONSUMER, &channel).await, 3);

    // A link uses no frozen client; governance takes a new one in its place.
    let other = net.relayer("");
    other.run(&["link", ends[0], ends[1], "--new-connection", "--write"]);
    let substitute = client_of(&net, &other.channel()).await.id;
    assert_ne!(substitute, client);
    let before = net.received(CONSUMER, &channel).await;
    recover(&net, &client, &substitute).await;
    net.settled(&channel).await;
    assert_eq!(net.received(CONSUMER, &channel).await, before + 3);
}
