//! Who may open a channel, and who may configure.

use aiinference_types::{ibc, ErrorCode};
use cosmwasm_std::{testing::mock_env, Decimal, IbcChannelCloseMsg, IbcChannelOpenMsg, IbcOrder, Uint128, Uint64};
use ibc_model_host::{
    contract, ibc as entry,
    msg::{Channel, Config, ExecuteMsg, InstantiateMsg, MigrateMsg, Only, Peer, Price, QueryMsg},
    ContractError,
};

use crate::host::*;

fn message() -> InstantiateMsg {
    InstantiateMsg {
        owner: Some(address("owner").into()),
        prices: vec![],
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    }
}

fn peer(connection: &str, port: &str) -> Peer {
    Peer {
        connection: connection.to_string(),
        port: port.to_string(),
    }
}

#[test]
fn only_unordered_channels_of_this_version_are_opened() {
    let mut host = Host::new(vec![]);
    let mut ordered = channel("channel-1", CONNECTION, PORT);
    ordered.order = IbcOrder::Ordered;
    let refused = host.connect(ordered).unwrap_err();
    assert!(matches!(refused, ContractError::WrongChannel(_)), "{refused}");
    for version in ["", "aiinference-2", "ics20-1"] {
        let init = {
            let mut channel = channel("channel-1", CONNECTION, PORT);
            channel.version = version.to_string();
            IbcChannelOpenMsg::new_init(channel)
        };
        let tried = IbcChannelOpenMsg::new_try(channel("channel-1", CONNECTION, PORT), version);
        for open in [init, tried] {
            let refused = entry::ibc_channel_open(host.deps.as_mut(), mock_env(), open).unwrap_err();
            assert!(matches!(refused, ContractError::WrongChannel(_)), "{refused}");
        }
    }
}

#[test]
fn the_owner_may_serve_a_few_only() {
    let mut host = Host::with(InstantiateMsg {
        allowed: Some(vec![peer(CONNECTION, PORT)]),
        ..message()
    });
    for (connection, port) in [("connection-9", PORT), (CONNECTION, "wasm.other")] {
        let refused = host.connect(channel("channel-1", connection, port)).unwrap_err();
        assert!(matches!(refused, ContractError::NotAllowed { .. }), "{refused}");
    }
    infer(&host.ask(vec![score(&APPLICANT)])[0]);
    // A channel that is open already is no longer served.
    let others = ExecuteMsg::UpdateConfig {
        owner: None,
        prices: None,
        allowed: Some(Only::These(vec![peer(CONNECTION, "wasm.other")])),
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    host.execute(&address("owner"), others, &[]).unwrap();
    assert_eq!(
        host.refused(ask(vec![score(&APPLICANT)])),
        ErrorCode::UnsupportedOperation
    );
}

#[test]
fn channels_are_listed_while_they_are_open_and_closed_from_the_other_end_only() {
    let mut host = Host::new(vec![]);
    host.connect(channel("channel-1", "connection-3", PORT)).unwrap();
    let listed = |host: &Host, start_after: Option<&str>| -> Vec<String> {
        let start_after = start_after.map(str::to_string);
        let list: Vec<Channel> = host.query(QueryMsg::Channels {
            start_after,
            limit: None,
        });
        list.into_iter().map(|channel| channel.channel).collect()
    };
    assert_eq!(listed(&host, None), [CHANNEL, "channel-1"]);
    assert_eq!(listed(&host, Some(CHANNEL)), ["channel-1"]);
    let init = IbcChannelCloseMsg::new_init(channel(CHANNEL, CONNECTION, PORT));
    entry::ibc_channel_close(host.deps.as_mut(), mock_env(), init).unwrap_err();
    host.close(channel(CHANNEL, CONNECTION, PORT)).unwrap();
    assert_eq!(listed(&host, None), ["channel-1"]);
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config: Config = Host::with(message()).query(QueryMsg::Config {});
    assert_eq!(config.max_packet_gas.u64(), 7_000_000_000_000);
    assert_eq!(config.gas_multiplier.u64(), 140_000);
    assert_eq!(config.recovery_delay, 604_800);
    assert_eq!((config.prices, config.allowed, config.transfers), (vec![], None, None));
}

#[test]
fn configurations_that_mean_nothing_are_refused() {
    let mut host = Host::new(vec![]);
    let set = |prices: Option<Vec<Price>>, gas_multiplier: Option<u64>, recovery_delay| ExecuteMsg::UpdateConfig {
        owner: None,
        prices,
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: gas_multiplier.map(Uint64::new),
        recovery_delay,
        transfers: None,
    };
    let share = Price {
        reward: Decimal::percent(101),
        ..price(1, 1)
    };
    let nameless = Price {
        denom: String::new(),
        ..price(1, 1)
    };
    for msg in [
        set(Some(vec![share]), None, None),
        set(Some(vec![nameless]), None, None),
        set(Some(vec![price(1, 1), price(2, 2)]), None, None),
        set(Some(vec![price(1 << 100, 1)]), None, None),
        set(Some(vec![price(1, 1 << 64)]), None, None),
        set(None, Some(0), None),
        set(None, None, Some(u64::MAX)),
    ] {
        host.execute(&address("owner"), msg, &[]).unwrap_err();
    }
    let fine = set(Some(vec![price(3, 4)]), Some(1), Some(0));
    let refused = host.execute(&address("stranger"), fine.clone(), &[]).unwrap_err();
    assert!(matches!(refused, ContractError::Unauthorized { .. }));
    host.execute(&address("owner"), fine, &[]).unwrap();
    let price = |denom: &str, gas: u64| -> Option<Uint128> {
        let (denom, gas) = (denom.to_string(), Uint64::new(gas));
        host.query(QueryMsg::Price { denom, gas })
    };
    assert_eq!(price(DENOM, 1_000_000_001), Some(Uint128::new(8)));
    assert_eq!(price("other", 1), None);
}

#[test]
fn only_the_contract_itself_works_on_queries() {
    let mut host = Host::new(vec![]);
    let msg = ExecuteMsg::Work {
        query: Default::default(),
        gas_limit: Uint64::zero(),
    };
    let refused = host.execute(&address("owner"), msg, &[]).unwrap_err();
    assert!(matches!(refused, ContractError::Unauthorized { .. }));
}

#[test]
fn another_contracts_state_is_not_migrated() {
    let mut host = Host::new(vec![]);
    contract::migrate(host.deps.as_mut(), mock_env(), MigrateMsg {}).unwrap();
    cw2::set_contract_version(host.deps.as_mut().storage, "someone:else", "0.0.1").unwrap();
    contract::migrate(host.deps.as_mut(), mock_env(), MigrateMsg {}).unwrap_err();
}

#[test]
fn what_became_of_packets_is_never_told_to_a_contract_that_sends_none() {
    let version = ibc::VERSION;
    assert_eq!(version, "aiinference-1");
    let mut host = Host::new(vec![]);
    let ack = cosmwasm_std::testing::mock_ibc_packet_ack("channel-0", &"", cosmwasm_std::IbcAcknowledgement::new([]))
        .unwrap();
    entry::ibc_packet_ack(host.deps.as_mut(), mock_env(), ack).unwrap_err();
    let timeout = cosmwasm_std::testing::mock_ibc_packet_timeout("channel-0", &"").unwrap();
    entry::ibc_packet_timeout(host.deps.as_mut(), mock_env(), timeout).unwrap_err();
}
