//! The client on a real chain: `make localnet-up`, then `make test-localnet`.

mod common;

use std::time::Duration;

use aiinference_client::{
    upload::{self, CodeIndex, Package, Progress},
    ClientError, Gas, Json, Msg, Options,
};
use aiinference_runtime::LoadedModel;
use common::{new_model, Localnet};
use cosmrs::{
    proto::cosmos::{bank::v1beta1::MsgSend, base::v1beta1::Coin},
    Any,
};

/// Sends one unit to itself.
fn send(address: &str) -> Msg {
    let message = MsgSend {
        from_address: address.into(),
        to_address: address.into(),
        amount: vec![Coin {
            denom: "stake".into(),
            amount: "1".into(),
        }],
    };
    Msg::Any(Any::from_msg(&message).unwrap())
}

/// Long enough on a loaded machine.
fn patient() -> Options {
    Options {
        timeout: Duration::from_secs(120),
        ..Options::default()
    }
}

#[tokio::test]
#[ignore = "needs a localnet: make test-localnet"]
async fn two_hundred_transactions_of_one_account_are_under_way_at_once_and_none_is_lost() {
    let account = Localnet::open().account("load4", patient()).await;
    let before = account.node().account(account.address()).await.unwrap().sequence;
    let mut hashes = Vec::new();
    for _ in 0..200 {
        let hash = account
            .submit_with(&[send(account.address())], Gas::Limit(120_000))
            .await
            .unwrap();
        hashes.push(hash);
    }
    for hash in &hashes {
        account.confirm(hash).await.unwrap();
    }
    let after = account.node().account(account.address()).await.unwrap().sequence;
    assert_eq!(after - before, 200);
}

#[tokio::test]
#[ignore = "needs a localnet: make test-localnet"]
async fn two_programs_that_sign_with_one_key_both_get_through() {
    let net = Localnet::open();
    let (one, two) = (
        net.account("load5", patient()).await,
        net.account("load5", patient()).await,
    );
    for _ in 0..4 {
        let mine = one.submit(&[send(one.address())]).await.unwrap();
        let other = two.submit(&[send(two.address())]).await.unwrap();
        one.confirm(&mine).await.unwrap();
        two.confirm(&other).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a localnet: make test-localnet"]
async fn an_interrupted_upload_of_a_large_model_goes_on_where_it_was() {
    let account = Localnet::open().account("load6", patient()).await;
    let model = new_model(1100, 1000);
    let package = Package::new(model.clone(), 400_000).unwrap();
    assert_eq!(package.shards(), 3);

    // Cut off after the first shard: the process ends, or the network does.
    let mut index = CodeIndex::read(account.node(), |_| ()).await.unwrap();
    let upload::Next::Store(parts) = package.next(&index, account.address()) else {
        panic!("a model that was made just now is stored already")
    };
    assert_eq!(parts.len(), 3);
    account
        .send(&[parts[0].message(account.address(), package.access())])
        .await
        .unwrap();

    // A new run sends the rest and the manifest.
    index = CodeIndex::read(account.node(), |_| ()).await.unwrap();
    let mut stored = Vec::new();
    let done = upload::upload(&account, &package, &mut index, None, |progress| {
        if let Progress::Stored { part, .. } = progress {
            stored.push(part.name.clone());
        }
    })
    .await
    .unwrap();
    assert_eq!(stored, ["shard 2 of 3", "shard 3 of 3", "manifest"]);
    assert_eq!(done.transactions.len(), 3);

    // What comes back from the chain is the very model, and nothing is left to do.
    let fetched = upload::download(account.node(), done.code_id, |_, _| ()).await.unwrap();
    let local = LoadedModel::load(package.checksum(), &model).unwrap();
    assert_eq!(fetched.program.parameters(), local.program.parameters());
    assert_eq!(fetched.checksum, done.checksum);
    let (info, _) = account.node().code(done.code_id).await.unwrap();
    assert_eq!(info.instantiate, "nobody");
    index = CodeIndex::read(account.node(), |_| ()).await.unwrap();
    let again = upload::upload(&account, &package, &mut index, None, |_| ())
        .await
        .unwrap();
    assert_eq!(
        (again.code_id, again.checksum, again.transactions.len()),
        (done.code_id, done.checksum, 0)
    );
}

#[tokio::test]
#[ignore = "needs a localnet: make test-localnet"]
async fn the_gas_of_a_shard_too_large_to_simulate_is_found_all_the_same() {
    let account = Localnet::open().account("load7", patient()).await;
    let package = Package::new(new_model(1500, 1000), upload::SHARD_BYTES).unwrap();
    let mut index = CodeIndex::read(account.node(), |_| ()).await.unwrap();
    let done = upload::upload(&account, &package, &mut index, None, |_| ())
        .await
        .unwrap();
    // The margin is 1.3; the estimate itself is above what is used, by what gzip saved at most.
    for part in &done.transactions {
        let (wanted, used) = (part.gas_wanted as f64, part.gas_used as f64);
        assert!((1.2..1.8).contains(&(wanted / used)), "{wanted} for {used}");
    }
}

#[tokio::test]
#[ignore = "needs a localnet: make test-localnet"]
async fn what_the_chain_refuses_is_a_typed_error_and_the_account_goes_on() {
    let account = Localnet::open().account("alice", patient()).await;
    let nobody = Msg::Execute {
        sender: account.address().into(),
        contract: account.address().into(),
        msg: Json::new("{}").unwrap(),
        funds: vec![],
    };
    // Tried first, and refused without a transaction; with a gas limit of its own, refused in a block.
    let tried = account.send(std::slice::from_ref(&nobody)).await.unwrap_err();
    assert!(matches!(tried, ClientError::Refused { hash: None, .. }), "{tried}");
    let hash = account.submit_with(&[nobody], Gas::Limit(200_000)).await.unwrap();
    let refused = account.confirm(&hash).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused { codespace, hash: Some(_), .. } if codespace == "wasm"),
        "{refused}"
    );
    account.send(&[send(account.address())]).await.unwrap();

    let unknown = account.node().transaction(&"00".repeat(32)).await.unwrap();
    assert!(unknown.is_none());
    let lost = account.node().wait(&"00".repeat(32), Duration::ZERO).await.unwrap_err();
    assert!(matches!(lost, ClientError::NotIncluded { .. }), "{lost}");
}
