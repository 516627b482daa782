//! A relayer that fails at random, and the chance that it works with: the same seed, the same run.

use std::collections::BTreeSet;

use crate::{
    ibc::{state, IbcError},
    network::{ChainId, Network, Task},
};

/// Numbers that look random and follow from a seed alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn seeded(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: even enough for tests, and never out of range.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something happens that does so many times of a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// Puts things into another order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            things.swap(last, other);
        }
    }
}

/// What goes wrong, and how often: times of a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The relayer does not see that a packet was sent, or acknowledged.
    pub drop: u32,
    /// It relays something twice.
    pub duplicate: u32,
    /// It relays something later, by up to `max_delay` blocks of any chain.
    pub delay: u32,
    pub max_delay: u64,
    /// It relays what it holds in another order than it came, in a block.
    pub reorder: u32,
    /// It crashes, in a block: forgets what it held, and finds in the chains' states what is pending.
    pub crash: u32,
    /// Its transaction has too little gas: less than `poor_gas` SDK gas.
    pub poor: u32,
    pub poor_gas: u64,
    /// A block comes late or early, by up to this many percent of the chain's block time.
    pub jitter: u64,
    /// The relayer looks into the chains' states for what it missed every so many blocks of any chain. Timeouts are only
    /// found so.
    pub look_every: u64,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Faults {
            drop: 0,
            duplicate: 0,
            delay: 0,
            max_delay: 0,
            reorder: 0,
            crash: 0,
            poor: 0,
            poor_gas: 0,
            jitter: 0,
            look_every: 20,
        }
    }
}

impl Default for Faults {
    /// All of it, now and then.
    fn default() -> Self {
        Faults {
            drop: 50,
            duplicate: 50,
            delay: 200,
            max_delay: 20,
            reorder: 500,
            crash: 20,
            poor: 50,
            poor_gas: 150_000,
            jitter: 60,
            look_every: 20,
        }
    }
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub random: Random,
    pub faults: Faults,
    /// A run ends with an error after so many blocks.
    pub most_blocks: u64,
}

impl Schedule {
    /// The schedule of a seed, with the default faults.
    pub fn seeded(seed: u64) -> Self {
        Schedule::with_faults(seed, Faults::default())
    }

    /// The schedule of a seed, with these faults.
    pub fn with_faults(seed: u64, faults: Faults) -> Self {
        Schedule {
            random: Random::seeded(seed),
            faults,
            most_blocks: 1_000_000,
        }
    }
}

/// What happened in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Blocks of all chains.
    pub blocks: u64,
    /// Tasks that were done.
    pub relayed: u64,
    /// Tasks that had been done before.
    pub repeated: u64,
    /// Tasks that came too late, or for a closed channel.
    pub refused: u64,
    /// Transactions that had too little gas.
    pub out_of_gas: u64,
    /// Events that were not seen.
    pub dropped: u64,
    /// Tasks that were taken twice.
    pub duplicated: u64,
    /// Tasks that were put off.
    pub delayed: u64,
    /// Crashes of the relayer.
    pub crashes: u64,
    /// Failures that are none of the faults: a contract refused an acknowledgement, a call trapped. Tried again.
    pub failed: u64,
    /// The last of them.
    pub last_failure: Option<(Task, IbcError)>,
}

/// A relayer: what it holds, and how far it has read each chain's events.
struct Relayer {
    read: Vec<u64>,
    held: Vec<Held>,
}

struct Held {
    task: Task,
    not_before: u64,
}

impl Relayer {
    /// A relayer that has just begun.
    fn begin(net: &Network) -> Result<Self, IbcError> {
        let mut read = Vec::new();
        for id in net.chains() {
            read.push(state::journal(net.chain(id).storage(), u64::MAX)?.1);
        }
        let mut relayer = Relayer { read, held: Vec::new() };
        relayer.look(net)?;
        Ok(relayer)
    }

    /// Takes up everything that is pending and not held.
    fn look(&mut self, net: &Network) -> Result<(), IbcError> {
        let known: BTreeSet<_> = self.held.iter().map(|held| name(&held.task)).collect();
        let missed = net.pending()?.into_iter().filter(|task| !known.contains(&name(task)));
        self.held.extend(missed.map(|task| Held { task, not_before: 0 }));
        Ok(())
    }

    /// Reads the events of a chain's finished blocks.
    fn watch(
        &mut self,
        net: &Network,
        id: ChainId,
        schedule: &mut Schedule,
        report: &mut RunReport,
    ) -> Result<(), IbcError> {
        let Some(read) = self.read.get_mut(id.index()) else {
            return Ok(());
        };
        let (entries, next) = state::journal(net.chain(id).storage(), *read)?;
        *read = next;
        let Schedule { random, faults, .. } = schedule;
        for entry in entries {
            if random.chance(faults.drop) {
                report.dropped += 1;
                continue;
            }
            let Some(task) = net.task_of(id, entry.event)? else {
                continue;
            };
            let mut times = 1;
            if random.chance(faults.duplicate) {
                report.duplicated += 1;
                times = 2;
            }
            for _ in 0..times {
                let mut not_before = 0;
                if random.chance(faults.delay) {
                    report.delayed += 1;
                    not_before = report.blocks + random.below(faults.max_delay.saturating_add(1));
                }
                let task = task.clone();
                self.held.push(Held { task, not_before });
            }
        }
        Ok(())
    }

    /// Relays what is due.
    fn work(&mut self, net: &mut Network, schedule: &mut Schedule, report: &mut RunReport) {
        let Schedule { random, faults, .. } = schedule;
        if random.chance(faults.reorder) {
            random.shuffle(&mut self.held);
        }
        for mut held in std::mem::take(&mut self.held) {
            if held.not_before > report.blocks || !net.is_proven(&held.task) {
                self.held.push(held);
                continue;
            }
            let gas = random.chance(faults.poor).then(|| random.below(faults.poor_gas));
            match net.relay_under(&held.task, gas) {
                Ok(relayed) if relayed.repeated => report.repeated += 1,
                Ok(_) => report.relayed += 1,
                Err(IbcError::OutOfGas(_)) => {
                    report.out_of_gas += 1;
                    held.not_before = report.blocks + 1;
                    self.held.push(held);
                }
                Err(
                    IbcError::TimeoutElapsed { .. }
                    | IbcError::TimeoutNotReached { .. }
                    | IbcError::NotProven { .. }
                    | IbcError::ChannelState { .. }
                    | IbcError::OutOfOrder { .. },
                ) => report.refused += 1,
                Err(error) => {
                    report.failed += 1;
                    report.last_failure = Some((held.task, error));
                }
            }
        }
    }
}

/// What a task is about, whatever it holds.
fn name(task: &Task) -> (ChainId, u8, String, String, u64) {
    let (kind, end, sequence) = match task {
        Task::Receive { packet, .. } => (0, &packet.dest, packet.sequence),
        Task::Acknowledge { packet, .. } => (1, &packet.src, packet.sequence),
        Task::Timeout { packet, .. } => (2, &packet.src, packet.sequence),
        Task::Close { end, .. } => (3, end, 0),
    };
    (task.to(), kind, end.port_id.clone(), end.channel_id.clone(), sequence)
}

impl Network {
    /// Lets chains make blocks and the relayer work, with the faults of the schedule, until `until` says so. It is asked
    /// after every block, and may use the chains.
    ///
    /// The relayer begins anew with every run.
    pub fn run(
        &mut self,
        schedule: &mut Schedule,
        mut until: impl FnMut(&mut Network) -> bool,
    ) -> Result<RunReport, IbcError> {
        let mut report = RunReport::default();
        let mut relayer = Relayer::begin(self)?;
        while !until(self) {
            let due = self.next_due().filter(|_| report.blocks < schedule.most_blocks);
            let Some(id) = due else {
                return Err(IbcError::Stalled { blocks: report.blocks });
            };
            let jitter = schedule.faults.jitter.min(100);
            let percent = 100 - jitter + schedule.random.below(2 * jitter + 1);
            self.make_block(id, percent);
            report.blocks += 1;
            if schedule.random.chance(schedule.faults.crash) {
                report.crashes += 1;
                relayer = Relayer::begin(self)?;
            } else {
                relayer.watch(self, id, schedule, &mut report)?;
                if report.blocks % schedule.faults.look_every.max(1) == 0 {
                    relayer.look(self)?;
                }
            }
            relayer.work(self, schedule, &mut report);
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_seed_others() {
        let numbers = |seed| {
            let mut random = Random::seeded(seed);
            [random.next_u64(), random.next_u64(), random.next_u64()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        // The generator's published first value of seed 0.
        assert_eq!(numbers(0)[0], 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::seeded(1);
        let seen: BTreeSet<u64> = (0..1_000).map(|_| random.below(7)).collect();
        assert_eq!(seen, (0..7).collect());
        assert_eq!(random.below(0), 0);
        assert!((0..1_000).all(|_| !random.chance(0) && random.chance(1_000)));
    }

    #[test]
    fn shuffling_keeps_everything() {
        let mut things: Vec<u32> = (0..100).collect();
        Random::seeded(3).shuffle(&mut things);
        assert_ne!(things, (0..100).collect::<Vec<_>>());
        things.sort_unstable();
        assert_eq!(things, (0..100).collect::<Vec<_>>());
    }
}
