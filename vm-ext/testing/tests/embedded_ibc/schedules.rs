//! Many packets under a relayer that fails at random.

use std::time::Duration;

use aiinference_multi_test::{Faults, IbcError, Random, RunReport, Schedule, Task};
use cosmwasm_std::SubMsg;

use super::*;

/// Sends packets, up to a few in each block, and runs until all have ended. How many timed out, and the report.
fn simulate(world: &mut World, link: &Link, packets: u64, schedule: &mut Schedule) -> (u64, RunReport) {
    let mut choice = Random::seeded(schedule.random.next_u64());
    let mut sent = 0;
    let (a, b) = (world.a, world.b);
    let probe = world.probe_a.clone();
    world.net.set_block_time(a, Duration::from_secs(2));
    world.net.set_block_time(b, Duration::from_secs(5));
    let report = world
        .net
        .run(schedule, |net| {
            let now = net.now();
            let mut burst = Vec::new();
            while sent < packets && choice.chance(900) {
                sent += 1;
                let mut script = answer("answer");
                script.steps.push(set(&format!("received/{sent}"), "x"));
                if choice.chance(50) {
                    script.fail = Some("refused".into());
                }
                // Some have little time.
                let seconds = if choice.chance(100) { 4 } else { 10 + choice.below(600) };
                let timeout = IbcTimeout::with_timestamp(now.plus_seconds(seconds));
                burst.push(SubMsg::new(packet(link, &script, timeout)));
            }
            if !burst.is_empty() {
                let chain = net.chain_mut(a);
                let owner = chain.account("owner");
                chain
                    .execute_contract(owner, probe.clone(), &messages(burst), &[])
                    .unwrap();
            }
            sent == packets && net.chain(a).ibc().commitments(&link.a_end).unwrap().is_empty()
        })
        .unwrap();
    let mut timed_out = 0;
    for sequence in 1..=packets {
        assert_eq!(world.ended(link, sequence), 1, "packet {sequence}");
        let ibc = world.net.chain(b).ibc();
        let received = ibc.received(&link.b_end, sequence);
        let acknowledgement = ibc.acknowledgement(&link.b_end, sequence).unwrap();
        assert_eq!(acknowledgement.is_some(), received, "packet {sequence}");
        let kept = world.get(b, &format!("received/{sequence}")).is_some();
        let answered = acknowledgement.is_some_and(|bytes| bytes.as_slice() == b"answer");
        assert_eq!(kept, answered, "packet {sequence}");
        timed_out += u64::from(!received);
    }
    assert_eq!(world.pending(), []);
    (timed_out, report)
}

#[test]
fn without_faults_every_task_is_done_once() {
    let mut world = world();
    let link = world.link();
    let mut schedule = Schedule::with_faults(1, Faults::none());
    let (timed_out, report) = simulate(&mut world, &link, 100, &mut schedule);
    assert_eq!(report.relayed, 2 * (100 - timed_out) + timed_out);
    assert_eq!((report.repeated, report.out_of_gas, report.failed), (0, 0, 0));
}

#[test]
fn every_packet_ends_once_whatever_the_relayer_does() {
    let mut world = world();
    let link = world.link();
    let mut schedule = Schedule::seeded(2);
    let (timed_out, report) = simulate(&mut world, &link, 10_000, &mut schedule);
    // All of it happened.
    assert!(timed_out > 0);
    for count in [
        report.repeated,
        report.refused,
        report.out_of_gas,
        report.dropped,
        report.duplicated,
        report.delayed,
        report.crashes,
    ] {
        assert!(count > 0, "{report:?}");
    }
    assert_eq!(report.last_failure, None);
}

#[test]
fn a_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = world();
        let link = world.link();
        let (timed_out, report) = simulate(&mut world, &link, 200, &mut Schedule::seeded(seed));
        (timed_out, report, world.net.now())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn a_relayer_that_begins_anew_finds_what_is_pending() {
    let mut world = world();
    let link = world.link();
    for _ in 0..5 {
        world.send(&link, &answer("x"));
    }
    let blind = Faults {
        drop: 1_000,
        look_every: u64::MAX,
        ..Faults::none()
    };
    // It sees no event, and so relays only what it found when it began: no acknowledgement.
    let mut schedule = Schedule::with_faults(1, blind.clone());
    schedule.most_blocks = 50;
    let error = world.net.run(&mut schedule, |_| false).unwrap_err();
    assert_eq!(error, IbcError::Stalled { blocks: 50 });
    assert!(world
        .pending()
        .iter()
        .all(|task| matches!(task, Task::Acknowledge { .. })));
    assert_eq!(world.pending().len(), 5);
    // A crash is a new beginning.
    let crashing = Faults { crash: 200, ..blind };
    let mut schedule = Schedule::with_faults(1, crashing);
    let end = link.a_end.clone();
    let a = world.a;
    world
        .net
        .run(&mut schedule, |net| {
            net.chain(a).ibc().commitments(&end).unwrap().is_empty()
        })
        .unwrap();
    assert_eq!(world.pending(), []);
}

#[test]
fn a_failure_that_is_no_fault_is_told_and_tried_again() {
    let mut world = world();
    let link = world.link();
    world.send(&link, &answer("x"));
    world.on(world.a, "ibc_packet_ack", &fail("never"));
    let mut schedule = Schedule::with_faults(1, Faults::none());
    schedule.most_blocks = 100;
    let mut blocks = 0;
    let report = world
        .net
        .run(&mut schedule, |_| {
            blocks += 1;
            blocks > 90
        })
        .unwrap();
    assert!(report.failed > 1);
    let (task, error) = report.last_failure.unwrap();
    assert!(matches!(task, Task::Acknowledge { .. }));
    assert!(matches!(error, IbcError::Contract(_)), "{error}");
}
