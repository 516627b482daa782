//! What answers cost, who pays and who earns.

use aiinference_types::{
    v1::{self, packet_data::Operation},
    ErrorCode,
};
use cosmwasm_std::{Coin, Decimal, Uint128};
use ibc_model_host::{
    msg::{ExecuteMsg, InstantiateMsg, QueryMsg, RewardResponse},
    ContractError,
};
use proptest::prelude::*;

use crate::host::*;

#[test]
fn a_run_costs_its_query_and_the_gas_of_its_receipt() {
    let mut host = Host::new(vec![price(5, 1_000)]);
    host.deposit("asker", 10_000);
    let answers = host.ask(vec![score(&APPLICANT)]);
    let gas = infer(&answers[0]).receipt.as_ref().unwrap().gas;
    let cost = 5 + u128::from(gas * 1_000).div_ceil(1_000_000_000);
    assert_eq!(answers[0].price, cost.to_string());
    assert_eq!(host.credit("asker"), 10_000 - cost);
    let totals = host.totals(DENOM);
    assert_eq!(totals.rewards.u128(), cost / 10);
    assert_eq!(totals.takings.u128(), cost - cost / 10);
    assert_eq!(
        host.rewards(&address("relayer")),
        if cost < 10 {
            vec![]
        } else {
            vec![Coin::new(cost / 10, DENOM)]
        }
    );
}

#[test]
fn a_read_costs_the_gas_of_its_call_and_what_was_set_aside_goes_back() {
    let mut host = Host::new(vec![price(5, 1_000_000)]);
    host.state
        .borrow_mut()
        .insert("bank".to_string(), format!("{APPLICANT:?}"));
    host.deposit("asker", 100_000_000);
    let answers = host.ask(vec![
        score_of_state("bank", ""),
        score(&APPLICANT),
        score_of_state("bank", ""),
    ]);
    let by_call = 5 + (1_000u128 * 140_000 * 1_000_000).div_ceil(1_000_000_000);
    let by_receipt = answers[1].price.parse::<u128>().unwrap();
    assert_eq!(answers[0].price, by_call.to_string());
    assert_eq!(answers[2].price, by_call.to_string());
    assert_eq!(host.credit("asker"), 100_000_000 - 2 * by_call - by_receipt);
}

#[test]
fn where_the_chain_does_not_tell_the_gas_of_a_call_its_limit_is_paid() {
    let mut host = Host::new(vec![price(5, 1_000_000)]);
    host.tells_gas = false;
    host.state
        .borrow_mut()
        .insert("bank".to_string(), format!("{APPLICANT:?}"));
    host.deposit("asker", 100_000_000);
    let query = v1::Query {
        gas_limit: 1_000_000_000,
        max_price: "2000000".to_string(),
        ..score_of_state("bank", "")
    };
    let answers = host.ask(vec![query.clone()]);
    infer(&answers[0]);
    assert_eq!(answers[0].price, (5 + 1_000_000).to_string());
    host.stop = Some("codespace: wasm, code: 5".to_string());
    let answers = host.ask(vec![query]);
    assert_eq!(
        (code(&answers[0]), answers[0].price.as_str()),
        (ErrorCode::ReadFailed, "1000005")
    );
    assert_eq!(host.credit("asker"), 100_000_000 - 2 * 1_000_005);
}

#[test]
fn the_least_of_three_limits_tells_the_error() {
    let mut host = Host::new(vec![price(100, 1_000_000_000)]);
    host.state
        .borrow_mut()
        .insert("bank".to_string(), format!("{APPLICANT:?}"));
    let with = |query: v1::Query, gas_limit, max_price: u128| v1::Query {
        gas_limit,
        max_price: max_price.to_string(),
        ..query
    };
    host.call_gas = 1_000;
    for query in [score(&APPLICANT), score_of_state("bank", "")] {
        // One coin for one gas: nothing is enough for the work.
        let asked = |host: &mut Host, gas_limit, max_price| {
            let answers = host.ask(vec![with(query.clone(), gas_limit, max_price)]);
            (code(&answers[0]), answers[0].price.parse::<u128>().unwrap_or_default())
        };
        assert_eq!(asked(&mut host, 50, 99), (ErrorCode::PriceExceeded, 0));
        assert_eq!(asked(&mut host, 50, 1_000), (ErrorCode::InsufficientCredit, 0));
        host.deposit("asker", 1_000);
        let (code, _) = asked(&mut host, 50, 1_000);
        assert_eq!(code, ErrorCode::GasLimitExceeded);
        let (code, _) = asked(&mut host, 5_000, 120);
        assert_eq!(code, ErrorCode::PriceExceeded);
        let (code, _) = asked(&mut host, 5_000, 5_000);
        assert_eq!(code, ErrorCode::InsufficientCredit);
        // What failed once it ran is paid, up to all of the credit.
        assert!(host.credit("asker") < 1_000);
        let left = host.credit("asker");
        if left > 0 {
            let withdraw = Operation::Withdraw(v1::Withdraw {
                asker: "asker".to_string(),
                denom: DENOM.to_string(),
                amount: String::new(),
                receiver: address("receiver").into(),
                ..Default::default()
            });
            host.send(withdraw);
        }
        assert_eq!(host.credit("asker"), 0);
    }
}

#[test]
fn what_is_set_aside_is_not_spent_twice() {
    let mut host = Host::new(vec![price(100, 0)]);
    host.state
        .borrow_mut()
        .insert("bank".to_string(), format!("{APPLICANT:?}"));
    host.deposit("asker", 250);
    let answers = host.ask(vec![
        score_of_state("bank", ""),
        score(&APPLICANT),
        score(&APPLICANT),
        score_of_state("bank", ""),
    ]);
    assert_eq!((answers[0].price.as_str(), answers[1].price.as_str()), ("100", "100"));
    assert_eq!(code(&answers[2]), ErrorCode::InsufficientCredit);
    assert_eq!(code(&answers[3]), ErrorCode::InsufficientCredit);
    assert_eq!(host.credit("asker"), 50);
}

#[test]
fn packets_that_are_refused_cost_nothing() {
    let mut host = Host::new(vec![price(100, 0)]);
    host.deposit("asker", 250);
    let Operation::Ask(mut expired) = ask(vec![score(&APPLICANT)]) else {
        panic!()
    };
    expired.valid_until = 1;
    assert_eq!(host.refused(Operation::Ask(expired)), ErrorCode::Expired);
    let large = score(&[0; 9_000]);
    assert_eq!(code(&host.ask(vec![large])[0]), ErrorCode::RequestTooLarge);
    assert_eq!(host.credit("asker"), 250);
}

#[test]
fn where_nothing_is_asked_denom_and_price_are_not_looked_at() {
    let mut host = Host::new(vec![]);
    let Operation::Ask(mut packet) = ask(vec![score(&APPLICANT)]) else {
        panic!()
    };
    packet.denom = "whatever".to_string();
    packet.queries[0].max_price = "no number".to_string();
    let v1::acknowledgement::Result::Answers(answers) = host.send(Operation::Ask(packet)) else {
        panic!()
    };
    infer(&answers.answers[0]);
    assert_eq!(answers.answers[0].price, "");
}

#[test]
fn relayers_claim_their_rewards_and_owners_their_takings() {
    let mut host = Host::new(vec![price(100, 0)]);
    host.deposit("asker", 1_000);
    host.ask(vec![score(&APPLICANT), score(&APPLICANT)]);
    let relayer = address("relayer");
    assert_eq!(host.rewards(&relayer), vec![Coin::new(20u128, DENOM)]);
    let takings = |receiver: &str| ExecuteMsg::WithdrawTakings {
        denom: DENOM.to_string(),
        receiver: address(receiver).into(),
    };
    host.execute(&relayer, takings("relayer"), &[]).unwrap_err();
    host.execute(&address("owner"), takings("treasury"), &[]).unwrap();
    host.execute(&address("owner"), takings("treasury"), &[]).unwrap_err();
    host.execute(&relayer, claim(None), &[]).unwrap();
    host.execute(&relayer, claim(None), &[]).unwrap_err();
    assert_eq!(host.held[DENOM], 800);
    assert_eq!(host.totals(DENOM).credits, Uint128::new(800));
}

fn claim(denoms: Option<&[&str]>) -> ExecuteMsg {
    let denoms = denoms.map(|denoms| denoms.iter().map(|denom| denom.to_string()).collect());
    ExecuteMsg::ClaimRewards { denoms }
}

#[test]
fn one_denom_that_cannot_be_paid_does_not_hold_the_others() {
    let named = |denom: &str| ibc_model_host::msg::Price {
        denom: denom.to_string(),
        ..price(100, 0)
    };
    let denoms: Vec<String> = (0..32).map(|number| format!("u{number:02}")).collect();
    let mut host = Host::new(denoms.iter().map(|denom| named(denom)).collect());
    let earn = |host: &mut Host, denom: &str| {
        let deposit = ExecuteMsg::Deposit {
            account: key("asker"),
            recovery: address("recovery").into(),
        };
        host.execute(&address("anyone"), deposit, &[Coin::new(100u128, denom)])
            .unwrap();
        let Operation::Ask(packet) = ask(vec![score(&APPLICANT)]) else {
            panic!()
        };
        let denom = denom.to_string();
        host.send(Operation::Ask(v1::Ask { denom, ..packet }));
    };
    denoms.iter().for_each(|denom| earn(&mut host, denom));
    // The owner takes another coin, so that there are more than one claim pays.
    let update = ExecuteMsg::UpdateConfig {
        owner: None,
        prices: Some(vec![named("u99")]),
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    host.execute(&address("owner"), update, &[]).unwrap();
    earn(&mut host, "u99");
    let relayer = address("relayer");
    assert_eq!(host.rewards(&relayer).len(), 32);
    let rest: RewardResponse = host.query(QueryMsg::Rewards {
        relayer: relayer.to_string(),
        start_after: Some("u31".to_string()),
    });
    assert_eq!(rest.reward, vec![Coin::new(10u128, "u99")]);

    // Named twice, it is paid once; what is not owed is passed over.
    let claimed = host
        .execute(&relayer, claim(Some(&["u99", "u05", "u05", "uother"])), &[])
        .unwrap();
    let paid = claimed.attributes.iter().find(|attribute| attribute.key == "paid");
    assert_eq!(paid.unwrap().value, "10u05,10u99");
    assert_eq!((host.held["u05"], host.held["u99"], host.held["u06"]), (90, 90, 100));
    for nothing in [&["u05"][..], &["uother"], &[]] {
        host.execute(&relayer, claim(Some(nothing)), &[]).unwrap_err();
    }
    let many: Vec<&str> = denoms.iter().map(String::as_str).chain(["u99"]).collect();
    let error = host.execute(&relayer, claim(Some(&many)), &[]).unwrap_err();
    assert!(matches!(error, ContractError::ManyDenoms(33)), "{error}");
    host.execute(&relayer, claim(None), &[]).unwrap();
    assert_eq!(host.rewards(&relayer), vec![]);
}

#[test]
fn a_relayer_knows_beforehand_what_a_packet_pays_at_least() {
    let mut host = Host::new(vec![price(100, 1_000_000)]);
    host.state
        .borrow_mut()
        .insert("bank".to_string(), format!("{APPLICANT:?}"));
    let packet = || ask(vec![score(&APPLICANT), score_of_state("bank", ""), score(&[0; 9_000])]);
    assert_eq!(host.reward(packet()), vec![]);
    host.deposit("asker", 100_000_000);
    let told = host.reward(packet());
    assert_eq!(told, vec![Coin::new(20u128, DENOM)]);
    host.send(packet());
    assert!(host.rewards(&address("relayer"))[0].amount >= told[0].amount);
    let Operation::Ask(mut expired) = packet() else {
        panic!()
    };
    expired.valid_until = 1;
    assert_eq!(host.reward(Operation::Ask(expired)), vec![]);
    let withdraw = |asker: &str| {
        Operation::Withdraw(v1::Withdraw {
            asker: asker.to_string(),
            denom: DENOM.to_string(),
            ..withdrawal()
        })
    };
    assert_eq!(host.reward(withdraw("asker")), vec![Coin::new(10u128, DENOM)]);
    assert_eq!(host.reward(withdraw("stranger")), vec![]);
}

fn withdrawal() -> v1::Withdraw {
    v1::Withdraw {
        asker: "asker".to_string(),
        denom: DENOM.to_string(),
        amount: String::new(),
        receiver: address("receiver").into(),
        max_price: "1000".to_string(),
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Deposit(u8, u16),
    Ask(u8, Vec<(bool, u32, u16)>, u16),
    Withdraw(u8, u16, bool),
    Claim,
    Takings,
}

fn deeds() -> impl Strategy<Value = Deed> {
    let query = (any::<bool>(), 0u32..3_000_000, 0u16..400);
    prop_oneof![
        (0u8..3, 1u16..2_000).prop_map(|(asker, amount)| Deed::Deposit(asker, amount)),
        (0u8..3, prop::collection::vec(query, 1..6), 0u16..40)
            .prop_map(|(asker, queries, gas)| Deed::Ask(asker, queries, gas)),
        (0u8..3, 0u16..500, any::<bool>()).prop_map(|(asker, amount, fails)| Deed::Withdraw(asker, amount, fails)),
        Just(Deed::Claim),
        Just(Deed::Takings),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// `deliver` and `execute` hold what is owed against what is held, each time.
    #[test]
    fn coins_are_conserved_whatever_is_done(
        per_query in 0u128..50, per_gigagas in 0u128..200_000, share in 0u64..=100, list in prop::collection::vec(deeds(), 1..24),
    ) {
        let price = ibc_model_host::msg::Price { reward: Decimal::percent(share), ..price(per_query, per_gigagas) };
        let mut host = Host::with(InstantiateMsg {
            owner: Some(address("owner").into()),
            prices: vec![price],
            allowed: None,
            max_packet_gas: None,
            gas_multiplier: None,
            recovery_delay: None,
            transfers: None,
        });
        host.state.borrow_mut().insert("bank".to_string(), format!("{APPLICANT:?}"));
        for deed in list {
            match deed {
                Deed::Deposit(asker, amount) => host.deposit(&format!("asker{asker}"), amount.into()),
                Deed::Ask(asker, queries, gas) => {
                    host.call_gas = gas.into();
                    let queries = queries.into_iter().map(|(reads, gas_limit, max_price)| v1::Query {
                        gas_limit: gas_limit.into(),
                        max_price: max_price.to_string(),
                        ..if reads { score_of_state("bank", "") } else { score(&APPLICANT) }
                    });
                    let asker = format!("asker{asker}");
                    let before = host.credit(&asker);
                    let packet = v1::Ask { asker: asker.clone(), valid_until: 0, denom: DENOM.to_string(), queries: queries.collect() };
                    let limits: Vec<u128> = packet.queries.iter().map(|query| query.max_price.parse().unwrap()).collect();
                    let v1::acknowledgement::Result::Answers(answers) = host.send(Operation::Ask(packet)) else { panic!() };
                    let prices: Vec<u128> = answers.answers.iter().map(|answer| answer.price.parse().unwrap_or_default()).collect();
                    prop_assert!(prices.iter().zip(&limits).all(|(price, most)| price <= most));
                    prop_assert_eq!(host.credit(&asker) + prices.iter().sum::<u128>(), before);
                }
                Deed::Withdraw(asker, amount, fails) => {
                    host.bank_refuses = fails;
                    host.send(Operation::Withdraw(v1::Withdraw { asker: format!("asker{asker}"), amount: amount.to_string(), ..withdrawal() }));
                    host.bank_refuses = false;
                }
                Deed::Claim => drop(host.execute(&address("relayer"), claim(None), &[])),
                Deed::Takings => {
                    let msg = ExecuteMsg::WithdrawTakings { denom: DENOM.to_string(), receiver: address("treasury").into() };
                    let _ = host.execute(&address("owner"), msg, &[]);
                }
            }
        }
    }
}
