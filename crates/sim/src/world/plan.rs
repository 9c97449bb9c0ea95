//! What a seed decides before the world begins: sizes, modes, and which faults are enabled (swarm testing:
//! a random subset per seed finds more than all of them at once, because some faults hide others).

use repligo_core::contract::Durability;
use repligo_core::eviction::{EvictionPolicy, MemoryLimit};

use super::network::Delays;
use super::queue::Micros;
use crate::random::Random;

/// Something that the nemesis does now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process stops between two actions for up to a second.
    Pause,
    /// The same for up to ten seconds.
    LongPause,
    /// A process is killed and started again.
    Crash,
    /// All processes are killed at once.
    CrashAll,
    /// A machine loses power (for good in a mode that does not survive it, and then a minority only).
    PowerLoss,
    /// All machines lose power; only where the mode promises to survive it.
    PowerLossAll,
    /// The nodes are split in two.
    Partition,
    /// One direction of one pair is blocked.
    OneWay,
    /// The leader is cut off, wholly or in one direction.
    IsolateLeader,
    /// A node is cut off from the leader only; then all others forget that they follow it, by a restart.
    ForgetfulVoters,
    /// What the others send to the leader takes long, then nothing of the leader reaches them any more.
    LateAcknowledgements,
    /// A stream is torn down and both ends learn it soon.
    Reset,
    /// A stream is torn down and one end learns it late.
    HalfOpen,
    /// Everything on the network takes long.
    SlowNetwork,
    /// A disk takes long.
    SlowDisk,
    /// A disk finishes nothing for a long time.
    DiskStall,
    /// A disk has no room, or all disks have none.
    DiskFull,
    /// A wall clock jumps.
    ClockJump,
    /// A client's connection breaks.
    ClientReset,
    /// The origin cannot be reached.
    OriginDown,
    /// Transactions take long, and their answers may be lost.
    OriginUnknown,
    /// A new node joins.
    Join,
    /// A member is taken out.
    Remove,
    /// A new node takes the place of a member that runs; most of the time the change is cut in two.
    Replace,
    /// A machine loses its directory and comes back as a new member.
    Wipe,
    /// An older copy of a directory is put in its place, while the node that knows better is cut off.
    Restore,
    /// Another node is to lead.
    Transfer,
    /// The others believe that the leader's process has ended, and it has not.
    SeeminglyGone,
    /// The leader is cut off; the others end when they have voted, before their disks have it.
    ForgottenVotes,
    /// Another cluster gets the origin, changes rows and gives it back.
    Tenant,
}

/// Dice of those seeds in which clients travel: they spare the seeds by which planted bugs are known to be found.
const TRAVELLERS: u64 = 0x5E55_3579;

/// Machines for members that come later.
const SPARES: usize = 3;

const FAULTS: [Fault; 25] = [
    Fault::Pause,
    Fault::LongPause,
    Fault::Crash,
    Fault::CrashAll,
    Fault::PowerLoss,
    Fault::PowerLossAll,
    Fault::Partition,
    Fault::OneWay,
    Fault::IsolateLeader,
    Fault::ForgetfulVoters,
    Fault::LateAcknowledgements,
    Fault::Reset,
    Fault::HalfOpen,
    Fault::SlowNetwork,
    Fault::SlowDisk,
    Fault::DiskStall,
    Fault::ClockJump,
    Fault::ClientReset,
    Fault::OriginDown,
    Fault::OriginUnknown,
    Fault::Join,
    Fault::Remove,
    Fault::Wipe,
    Fault::Restore,
    Fault::Transfer,
];

/// All that a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Nodes, 3 to 5.
    pub nodes: usize,
    /// The cluster's mode.
    pub durability: Durability,
    /// Bytes of log after which a replica takes a snapshot.
    pub log_bytes_max: u64,
    /// Clients that read and write.
    pub clients: usize,
    /// Clients that only read, linearizably, and keep to one node each.
    pub readers: usize,
    /// Clients with READONLY connections.
    pub watchers: usize,
    /// Clients that read at level session and go from node to node.
    pub travellers: usize,
    /// Watchers read at level bounded instead, with so many milliseconds; travellers do both.
    pub bound_ms: Option<u64>,
    /// Mapped keys are in use.
    pub origin: bool,
    /// Enabled faults.
    pub faults: Vec<Fault>,
    /// Mean distance between two faults.
    pub fault_every_us: Micros,
    /// Length of the first phase.
    pub faults_us: Micros,
    /// Delays between nodes.
    pub network: Delays,
    /// Delays of a disk write.
    pub disk: Delays,
    /// Largest drift of a monotonic clock, parts per million.
    pub drift_ppm_max: u64,
    /// Largest error of a wall clock at the start.
    pub wall_error_ms_max: u64,
    /// Where a majority of the wall clocks is right: which nodes have wrong ones, a minority.
    pub wrong_clocks: Option<Vec<u64>>,
    /// Wrong clocks are set right with everything else; otherwise they stay as they are.
    pub corrects_clocks: bool,
    /// Longest pause of a client between two requests.
    pub think_us_max: Micros,
    /// Requests that a client sends at once.
    pub pipeline_max: u64,
    /// Every node's memory limit: none, or one so small that the leader evicts and refuses all the time.
    pub memory: MemoryLimit,
    /// A driver may perform the outputs of each step at once, or those of a turn together.
    pub effects_per_step: bool,
}

impl Plan {
    /// The plan of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let plan = Self::drawn(seed);
        match scene(seed) {
            Some(fault) => plan.quiet_but_for(fault),
            None => plan,
        }
    }

    /// Nothing but one directed fault now and then, in a cluster that is otherwise well and busy: the rules that these
    /// faults are for hold back what lasts some tens of milliseconds.
    fn quiet_but_for(self, fault: Fault) -> Self {
        Self {
            nodes: 3 + 2 * (self.seed % 2) as usize,
            clients: 6,
            readers: 5,
            origin: false,
            faults: vec![fault],
            fault_every_us: 3_000_000,
            faults_us: 9_000_000,
            network: Delays {
                low_us: 50,
                high_us: 500,
            },
            disk: Delays {
                low_us: 50,
                high_us: 500,
            },
            drift_ppm_max: self.drift_ppm_max.min(100),
            wall_error_ms_max: self.wall_error_ms_max.min(200),
            wrong_clocks: None,
            think_us_max: 20_000,
            pipeline_max: 1,
            memory: MemoryLimit::default(),
            ..self
        }
    }

    fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x0050_1A90);
        let durability = if random.chance(500) {
            Durability::Fsync
        } else {
            Durability::Os
        };
        let enabled = *random.pick(&[100, 250, 500, 800]);
        let mut faults: Vec<Fault> = FAULTS.into_iter().filter(|_| random.chance(enabled)).collect();
        faults.extend(full_disks(seed).then_some(Fault::DiskFull));
        faults.extend(seemingly_gone(seed).then_some(Fault::SeeminglyGone));
        faults.extend(replaces(seed).then_some(Fault::Replace));
        let slow = [Fault::SlowNetwork, Fault::SlowDisk].into_iter();
        let slow: Vec<Fault> = slow
            .filter(|slow| bound_ms(seed).is_some() && !faults.contains(slow))
            .collect();
        faults.extend(slow);
        faults.extend(tenant(seed).then_some(Fault::Tenant));
        let nodes = *random.pick(&[3, 3, 3, 4, 5]);
        Self {
            seed,
            nodes,
            durability,
            log_bytes_max: *random.pick(&[2 << 10, 16 << 10, 64 << 10, 64 << 20]),
            clients: random.between(2, 8) as usize,
            readers: *random.pick(&[0, 3, 5]),
            watchers: watchers(seed, random.below(3) as usize),
            travellers: travellers(seed),
            bound_ms: bound_ms(seed),
            origin: random.chance(500),
            faults,
            fault_every_us: *random.pick(&[150_000, 400_000, 1_000_000]),
            faults_us: random.between(4_000_000, 12_000_000),
            network: Delays {
                low_us: random.between(20, 200),
                high_us: *random.pick(&[500, 2_000, 20_000]),
            },
            disk: Delays {
                low_us: random.between(10, 200),
                high_us: *random.pick(&[500, 3_000, 30_000]),
            },
            drift_ppm_max: *random.pick(&[0, 100, 40_000]),
            wall_error_ms_max: wall_error_ms_max(seed, *random.pick(&[0, 20, 5_000])),
            wrong_clocks: wrong_clocks(seed, nodes),
            corrects_clocks: seed.is_multiple_of(2),
            think_us_max: *random.pick(&[20_000, 100_000, 300_000]),
            pipeline_max: *random.pick(&[1, 1, 4]),
            memory: memory(seed),
            effects_per_step: random.chance(500),
        }
    }

    /// Machines: those of the first members, and spare ones.
    pub fn machines(&self) -> usize {
        self.nodes + SPARES
    }

    /// The bound of bounded reads in the time of the world, whatever the clocks of the nodes do.
    pub fn bound_us(&self) -> Option<Micros> {
        // A clock that runs slow by so much, and readings that are cut to whole microseconds.
        let slowest_ppm = 1_000_000 - self.drift_ppm_max;
        self.bound_ms.map(|ms| ms * 1_000 * 1_000_000 / slowest_ppm + 2)
    }

    /// True if a fault is enabled.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// Four plans of five have a majority of clocks that are right, as an operator is told to see to.
fn wrong_clocks(seed: u64, nodes: usize) -> Option<Vec<u64>> {
    let mut random = Random::new(seed ^ 0x0C10_C35E);
    if !random.chance(800) {
        return None;
    }
    let count = random.below(nodes.div_ceil(2) as u64);
    let first = random.below(nodes as u64);
    Some((0..count).map(|step| 1 + (first + step) % nodes as u64).collect())
}

/// In one seed of three the replicas are read at level bounded. Chance of its own, so that other runs are what they were.
fn bound_ms(seed: u64) -> Option<u64> {
    let mut random = Random::new(seed ^ 0xB0_04DE_D2EA);
    random.chance(333).then(|| *random.pick(&[1, 5, 20, 100, 500]))
}

/// In one seed of four, unless every key may vanish there. Chance of its own, so that other runs are what they were.
fn travellers(seed: u64) -> usize {
    let is_for_them = Random::new(seed ^ TRAVELLERS).chance(250);
    match is_for_them && !(memory(seed).bytes_max > 0 && memory(seed).policy.takes_all_keys()) {
        true => 3,
        false => 0,
    }
}

/// Some more of them there, since what a node knows of its age is shared by those that read at it.
fn watchers(seed: u64, drawn: usize) -> usize {
    drawn + bound_ms(seed).map_or(0, |_| 3)
}

/// Chance of its own, so that other runs are what they were.
fn full_disks(seed: u64) -> bool {
    Random::new(seed ^ 0xF011_D15C).chance(250)
}

/// As for full disks.
fn seemingly_gone(seed: u64) -> bool {
    Random::new(seed ^ 0x5EE6_601E).chance(250)
}

/// Likewise.
fn replaces(seed: u64) -> bool {
    Random::new(seed ^ 0x2E91_ACED).chance(250)
}

/// Likewise.
fn tenant(seed: u64) -> bool {
    Random::new(seed ^ 0x7E4A_4775).chance(300)
}

/// Likewise; it is about this alone.
fn forgotten_votes(seed: u64) -> bool {
    Random::new(seed ^ 0xF042_707E).chance(40)
}

/// One seed of eight is about a directed fault alone.
fn scene(seed: u64) -> Option<Fault> {
    let mut random = Random::new(seed ^ 0x5CE4_E0F1);
    let alone = [
        Fault::ForgetfulVoters,
        Fault::ForgetfulVoters,
        Fault::LateAcknowledgements,
        Fault::Replace,
        Fault::SeeminglyGone,
    ];
    let drawn = random.chance(125).then(|| *random.pick(&alone));
    drawn.or_else(|| forgotten_votes(seed).then_some(Fault::ForgottenVotes))
}

/// Clocks that are right are so within what counts as agreement.
fn wall_error_ms_max(seed: u64, error_ms: u64) -> u64 {
    wrong_clocks(seed, 1).map_or(error_ms, |_| error_ms.min(200))
}

/// Chance of its own, so that runs without a limit are what they would be if there were no limits.
fn memory(seed: u64) -> MemoryLimit {
    let mut random = Random::new(seed ^ 0xE71C_7001);
    if random.chance(700) {
        return MemoryLimit::default();
    }
    let (_, policy) = *random.pick(&EvictionPolicy::ALL);
    MemoryLimit {
        bytes_max: *random.pick(&[12 << 10, 16 << 10, 24 << 10, 40 << 10]),
        policy,
    }
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, Fault, Plan};

    #[test]
    fn seeds_enable_different_faults_and_every_fault_is_enabled_by_some() {
        let plans: Vec<Plan> = (0..50).map(Plan::of_seed).collect();
        assert!(plans.windows(2).any(|pair| pair[0].faults != pair[1].faults));
        let more = [
            Fault::DiskFull,
            Fault::SeeminglyGone,
            Fault::Replace,
            Fault::Tenant,
            Fault::ForgottenVotes,
        ];
        for fault in FAULTS.into_iter().chain(more) {
            assert!(plans.iter().any(|plan| plan.has(fault)), "{fault:?}");
            assert!(plans.iter().any(|plan| !plan.has(fault)), "{fault:?}");
        }
    }
}
