//! A machine: disk and clock that outlive processes, and the process that runs on it now; and what
//! the world does to it: waking, delivering, crashing, starting.

use std::sync::Arc;

use bytes::Bytes;
use repligo_core::contract::{Durability, PeerId};
use repligo_core::membership::Membership;
use repligo_core::origin::{OriginEvent, OriginMap};

use repligo_core::limits::TICK_US;

use super::arrival::Arrival;
use super::clock::Clock;
use super::disk::{Disk, Done};
use super::faults::Relief;
use super::network::Frame;
use super::plan::Plan;
use super::process::Process;
use super::queue::Micros;
use super::{Event, Starter, World};
use crate::random::Random;

/// Time that a process takes for a turn, microseconds.
const TURN_US: Micros = 20;
/// A write that found no room is tried again after this, microseconds.
const ROOM_US: Micros = 100_000;
/// Distance between two attempts to get a stream, microseconds.
const DIAL_US: (Micros, Micros) = (5_000, 120_000);

/// Longest time from the loss of a stream to the attempt to get another, microseconds.
const PROBE_US_MAX: Micros = 30_000;

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Number of its node.
    pub id: PeerId,
    /// Its disk.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// What runs on it.
    pub process: Option<Process>,
    /// Processes started on it so far.
    pub lives: u32,
    /// The process is stopped until then.
    pub paused_until: Micros,
    /// The process will be stopped before its so-and-so-many-th action, for so long.
    pub pause_after: Option<(u32, Micros)>,
    /// Nobody until it is admitted.
    pub spare: bool,
    /// An older copy of its disk.
    pub copy: Option<Disk>,
    map: Arc<OriginMap>,
    drawn_id: u128,
    seed: u64,
}

impl Machine {
    /// A machine with an empty disk and its own idea of time.
    pub fn new(id: PeerId, plan: &Plan, map: Arc<OriginMap>, random: &mut Random) -> Self {
        let drift = random.below(2 * plan.drift_ppm_max + 1) as i64 - plan.drift_ppm_max as i64;
        let error = random.below(2 * plan.wall_error_ms_max + 1) as i64 - plan.wall_error_ms_max as i64;
        let mut clock = Clock::new(random.below(1 << 40), drift, error);
        if plan
            .wrong_clocks
            .as_ref()
            .is_some_and(|wrong| wrong.contains(&id))
        {
            let signed = |size: u64, random: &mut Random| match random.chance(500) {
                true => size as i64,
                false => -(size as i64),
            };
            let error_ms = random.between(2_000, 7_200_000);
            clock.jump_ms(signed(error_ms, random));
            clock.set_wall_drift_ppm(signed(*random.pick(&[0, 1_000, 100_000]), random));
        }
        Self {
            id,
            disk: Disk::default(),
            clock,
            process: None,
            lives: 0,
            paused_until: 0,
            pause_after: None,
            spare: id > plan.nodes as PeerId,
            copy: None,
            map,
            drawn_id: u128::from(random.bits()) << 64 | u128::from(random.bits()),
            seed: random.bits(),
        }
    }

    /// The members that its process starts with.
    fn members(&self, plan: &Plan) -> Membership {
        let formed = || Membership::of_count(plan.nodes as u64);
        self.disk.members.clone().unwrap_or_else(formed)
    }

    /// False for a spare machine that was not admitted, and for one whose node was removed.
    fn is_member_of_its_own(&self) -> bool {
        let kept = self.disk.members.as_ref();
        kept.map_or(!self.spare, |members| members.get(self.id).is_some())
    }

    /// True if a process runs and is not stopped.
    pub fn is_awake(&self, now: Micros) -> bool {
        self.process.is_some() && self.paused_until <= now
    }

    /// Counts one action down; true if the process is stopped instead of doing it.
    fn stops_now(&mut self, now: Micros) -> bool {
        match &mut self.pause_after {
            Some((0, length)) => {
                self.paused_until = now + *length;
                self.pause_after = None;
                true
            }
            Some((actions, _)) => {
                *actions -= 1;
                false
            }
            None => false,
        }
    }
}

impl World {
    pub(super) fn machine(&mut self, node: PeerId) -> &mut Machine {
        &mut self.machines[node as usize - 1]
    }

    /// Schedules the process's next look at what there is to do, not before `at`.
    pub(super) fn wake(&mut self, node: PeerId, at: Micros) {
        let machine = &mut self.machines[node as usize - 1];
        let at = at.max(machine.paused_until);
        let Some(process) = &mut machine.process else {
            return;
        };
        if process.wake_at.is_none_or(|planned| at < planned) {
            process.wake_at = Some(at);
            let life = process.life();
            self.context.queue.at(at, Event::Run { node, life });
        }
    }

    pub(super) fn arrive(&mut self, node: PeerId, arrival: Arrival) {
        let now = self.context.queue.now();
        if let Some(process) = &mut self.machines[node as usize - 1].process
            && process.arrive(arrival, &mut self.context)
        {
            self.wake(node, now);
        }
    }

    pub(super) fn on_io_thread(&mut self, node: PeerId, life: u32, thread: usize) {
        let now = self.context.queue.now();
        let machine = &mut self.machines[node as usize - 1];
        let Some(process) = machine.process.as_mut().filter(|process| process.life() == life) else {
            return;
        };
        if machine.paused_until > now {
            // All of a process stops.
            let event = Event::IoThread { node, life, thread };
            return self.context.queue.at(machine.paused_until, event);
        }
        if let Some(delay) = process.run_thread(thread, &mut self.context) {
            self.wake(node, now + delay);
        }
    }

    pub(super) fn on_run(&mut self, node: PeerId, life: u32) {
        self.run_process(node, life);
        self.judge_leases(node);
        if !self.context.promoted.is_empty() {
            self.judge_promotions();
            self.split_joint();
        }
        for node in std::mem::take(&mut self.context.ended) {
            let relief = Event::Relief(Relief::End(node));
            self.context.queue.after(TICK_US, relief);
        }
    }

    fn run_process(&mut self, node: PeerId, life: u32) {
        let now = self.context.queue.now();
        let machine = &mut self.machines[node as usize - 1];
        let Some(process) = &mut machine.process else {
            return;
        };
        if process.life() != life || process.wake_at != Some(now) {
            return;
        }
        process.wake_at = None;
        if machine.paused_until > now {
            let until = machine.paused_until;
            self.wake(node, until);
            return;
        }
        // One turn at most: a process takes time, and others act meanwhile.
        loop {
            if machine.stops_now(now) {
                let until = machine.paused_until;
                self.context.say(|| {
                    format!(
                        "n{node} stops until {}.{:06}",
                        until / 1_000_000,
                        until % 1_000_000
                    )
                });
                self.wake(node, until);
                return;
            }
            let process = machine.process.as_mut().expect("it runs");
            if !process.act(&mut machine.disk, &mut self.context, &machine.clock) {
                let next_tick = machine.clock.when(process.next_tick_mono_us());
                self.wake(node, next_tick.max(now + 1));
                return;
            }
            if process.is_between_turns() {
                self.wake(node, now + TURN_US);
                return;
            }
        }
    }

    pub(super) fn on_deliver(&mut self, from: PeerId, to: PeerId, stream: u64) {
        match self.context.network.deliver(from, to, stream) {
            Some(Frame::End) => {
                self.context.network.tear(from, to);
                self.on_stream_down(to, from, stream);
            }
            Some(frame) => self.arrive(to, Arrival::Frame { from, stream, frame }),
            None => {}
        }
    }

    pub(super) fn on_stream_up(&mut self, at: PeerId, peer: PeerId, stream: u64) {
        if self.context.network.believes(at, peer, stream) {
            self.arrive(at, Arrival::StreamUp { peer, stream });
        }
    }

    pub(super) fn on_stream_down(&mut self, at: PeerId, peer: PeerId, stream: u64) {
        if self.context.network.notice(at, peer, stream) {
            self.arrive(at, Arrival::StreamDown { peer, stream });
            let delay = self.context.random.skewed(100, PROBE_US_MAX);
            self.context.queue.after(delay, Event::Probe { at, peer });
        }
    }

    /// A machine that runs and is reached says that nobody listens.
    pub(super) fn on_probe(&mut self, at: PeerId, peer: PeerId) {
        let network = &mut self.context.network;
        let is_reached = !network.is_blocked(at, peer) && !network.is_blocked(peer, at);
        if is_reached && self.machine(peer).process.is_none() {
            self.arrive(at, Arrival::Refused { peer });
        }
    }

    pub(super) fn on_patience(&mut self, one: PeerId, other: PeerId, stream: u64) {
        let network = &mut self.context.network;
        let stuck = network.is_blocked(one, other) || network.is_blocked(other, one);
        if stuck && network.stream(one, other) == Some(stream) {
            self.context.tear(one, other, (1_000, 10_000_000));
        }
    }

    pub(super) fn on_dial(&mut self, one: PeerId, other: PeerId) {
        let now = self.context.queue.now();
        let delay = self.context.random.between(DIAL_US.0, DIAL_US.1);
        self.context.queue.after(delay, Event::Dial { one, other });
        let awake = self.machine(one).is_awake(now) && self.machine(other).is_awake(now);
        let context = &mut self.context;
        let reachable = !context.network.is_blocked(one, other) && !context.network.is_blocked(other, one);
        if !awake || !reachable || context.network.is_whole(one, other) {
            return;
        }
        // A fresh stream tells both ends that the old one is gone.
        context.network.tear(one, other);
        for (at, peer) in [(one, other), (other, one)] {
            if let Some(stream) = self.context.network.stale_belief(at, peer) {
                self.on_stream_down(at, peer, stream);
            }
        }
        let context = &mut self.context;
        let (stream, learn) = context.network.connect(one, other, now, &mut context.random);
        for (at, peer, when) in [(one, other, learn[0]), (other, one, learn[1])] {
            context.queue.at(when, Event::StreamUp { at, peer, stream });
        }
    }

    pub(super) fn on_disk_done(&mut self, node: PeerId, life: u32) {
        if !self.is_life(node, life) {
            return;
        }
        let machine = &mut self.machines[node as usize - 1];
        let done = machine.disk.finish_batch();
        if machine.disk.waits_for_room() {
            self.context.queue.after(ROOM_US, Event::DiskDone { node, life });
        } else {
            self.context.start_disk(node, life, &mut machine.disk);
        }
        for done in done {
            self.arrive(node, Arrival::Disk(done));
        }
    }

    pub(super) fn on_start(&mut self, node: PeerId) {
        let now = self.context.queue.now();
        let plan = &self.context.plan;
        let machine = &mut self.machines[node as usize - 1];
        if machine.process.is_some() || machine.disk.unclean || !machine.is_member_of_its_own() {
            return;
        }
        machine.lives += 1;
        let (boot, state, incarnation) = machine.disk.boot();
        let starter = Starter {
            me: node,
            life: machine.lives,
            membership: machine.members(plan),
            drawn_id: machine.drawn_id,
            cluster_id: 0,
            incarnation,
            durability: plan.durability,
            seed: machine.seed ^ u64::from(machine.lives),
            origin: machine.map.clone(),
            log_bytes_max: plan.log_bytes_max,
            memory: plan.memory,
            boot: Some(boot),
        };
        machine.process = Some(Process::new(starter, machine.clock.read(now), state));
        let full = machine.disk.room.is_some_and(|room| room.full);
        self.context.say(|| format!("n{node} starts"));
        self.wake(node, now);
        if full {
            self.arrive(node, Arrival::Disk(Done::Full(true)));
        }
    }

    /// Somebody frees space on a disk.
    pub(super) fn make_room(&mut self, node: PeerId) {
        if self.machine(node).disk.regain_room() {
            self.arrive(node, Arrival::Disk(Done::Full(false)));
        }
    }

    /// The process ends at once, between whatever it was doing.
    pub(super) fn crash(&mut self, node: PeerId, power_loss: bool) {
        let durability = self.context.plan.durability;
        let machine = &mut self.machines[node as usize - 1];
        let Some(process) = machine.process.take() else {
            return;
        };
        machine.paused_until = 0;
        machine.pause_after = None;
        machine.disk.crash(&mut self.context.random);
        if power_loss && durability != Durability::Fsync {
            machine.disk.unclean = true;
        }
        if power_loss {
            machine.clock = machine.clock.rebooted(self.context.random.below(1 << 40));
        }
        self.context
            .say(|| format!("n{node} {}", if power_loss { "loses power" } else { "is killed" }));
        for connection in process.connections() {
            let delay = self.context.random.skewed(100, 20_000);
            self.context
                .queue
                .after(delay, Event::Disconnected { connection });
        }
        self.context.observed.remove(&node);
        for peer in 1..=self.context.plan.machines() as PeerId {
            if peer == node {
                continue;
            }
            if power_loss {
                self.context.network.tear(node, peer);
                if let Some(stream) = self.context.network.stale_belief(peer, node) {
                    let delay = self.context.random.skewed(1_000, 15_000_000);
                    let event = Event::StreamDown {
                        at: peer,
                        peer: node,
                        stream,
                    };
                    self.context.queue.after(delay, event);
                }
            } else {
                self.context.send(node, peer, Frame::End);
            }
            self.context.network.end_sender(node, peer);
        }
    }

    pub(super) fn on_requests(&mut self, node: PeerId, connection: (u32, u64), sent: (bool, Bytes)) {
        if self.machine(node).process.is_none() {
            let delay = self.context.random.skewed(10, 1_000);
            self.context
                .queue
                .after(delay, Event::Disconnected { connection });
            return;
        }
        let (opens, bytes) = sent;
        let arrival = Arrival::Requests {
            connection,
            opens,
            bytes,
        };
        self.arrive(node, arrival);
    }

    pub(super) fn on_origin_answer(&mut self, node: PeerId, life: u32, event: OriginEvent) {
        if self.is_life(node, life) {
            self.arrive(node, Arrival::Origin(event));
        }
    }

    /// True if this process still runs.
    pub(super) fn is_life(&mut self, node: PeerId, life: u32) -> bool {
        self.machine(node)
            .process
            .as_ref()
            .is_some_and(|process| process.life() == life)
    }

    pub(super) fn on_hangup(&mut self, node: PeerId, connection: (u32, u64)) {
        self.arrive(node, Arrival::Closed(connection));
    }
}
