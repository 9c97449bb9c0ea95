//! The nemesis: what goes wrong, where and for how long.
//!
//! It prefers the leader, because most promises are broken there. It keeps to what we promise to survive
//! only where surviving is needed for the second phase: a machine that never comes back must be one of
//! a minority.

use repligo_core::contract::{Durability, PeerId, Role};

use super::network::Delays;
use super::plan::Fault;
use super::queue::Micros;
use super::room::Room;
use super::{Event, Phase, World};

/// How a lasting fault ends.
#[derive(Clone, Debug)]
pub enum Relief {
    /// Directions are freed.
    Unblock(Vec<(PeerId, PeerId)>),
    /// The network is as fast as before.
    FastNetwork,
    /// A wall clock is as it was before it jumped.
    JumpBack(PeerId, i64),
    /// Not an end but a sequel: these processes are killed and started again at once.
    Restart(Vec<PeerId>),
    /// Another sequel: these directions are blocked for a while.
    Cut(Vec<(PeerId, PeerId)>),
    /// The same for so long, and no stream is given up meanwhile.
    Silence(Vec<(PeerId, PeerId)>, Micros),
    /// The process of a node that was removed ends, as its driver ends it at its next tick.
    End(PeerId),
    /// What goes in these directions takes so much longer from now on.
    Lag(Vec<(PeerId, PeerId)>, Micros),
    /// There is room on these disks.
    Room(Vec<PeerId>),
}

impl World {
    pub(super) fn nodes_alive(&self) -> Vec<PeerId> {
        let members = &self.context.members;
        let is_alive =
            |machine: &&super::machine::Machine| !machine.disk.unclean && members.get(machine.id).is_some();
        self.machines
            .iter()
            .filter(is_alive)
            .map(|machine| machine.id)
            .collect()
    }

    /// The node that leads as far as anyone can see from outside.
    pub(super) fn leader(&self) -> Option<PeerId> {
        let observed = self.context.observed.iter();
        let leaders = observed.filter(|(_, status)| status.role == Role::Leader);
        leaders
            .max_by_key(|(_, status)| status.term)
            .map(|(node, _)| *node)
    }

    pub(super) fn victim(&mut self) -> PeerId {
        if self.context.random.chance(500)
            && let Some(leader) = self.leader()
        {
            return leader;
        }
        let members: Vec<PeerId> = self.context.members.iter().map(|(number, _)| number).collect();
        *self.context.random.pick(&members)
    }

    pub(super) fn on_fault(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        let every = self.context.plan.fault_every_us;
        let delay = self.context.random.between(every / 4, every * 2);
        self.context.queue.after(delay, Event::Fault);
        let fault = *self.context.random.pick(&self.context.plan.faults);
        self.context.counts.faults += 1;
        self.context.trace.number(fault as u64);
        self.context.say(|| format!("fault {fault:?}"));
        self.inflict(fault);
    }

    fn inflict(&mut self, fault: Fault) {
        let now = self.context.queue.now();
        match fault {
            Fault::Pause => self.pause(1_000_000),
            Fault::LongPause => self.pause(10_000_000),
            Fault::Crash => {
                let node = self.victim();
                self.crash_and_restart(node, false, 2_000_000);
            }
            Fault::CrashAll => self.stop_all(false),
            Fault::PowerLoss => self.power_loss(),
            Fault::PowerLossAll => {
                if self.context.plan.durability == Durability::Fsync {
                    self.stop_all(true);
                }
            }
            Fault::Partition => self.partition(),
            Fault::OneWay => {
                let (from, to) = self.some_pair();
                self.block(vec![(from, to)]);
            }
            Fault::IsolateLeader => self.isolate_leader(),
            Fault::ForgetfulVoters => self.forgetful_voters(),
            Fault::ForgottenVotes => self.forgotten_votes(),
            Fault::LateAcknowledgements => self.late_acknowledgements(),
            Fault::Reset => {
                let (one, other) = self.some_pair();
                self.context.tear(one, other, (10, 5_000));
            }
            Fault::HalfOpen => self.half_open(),
            Fault::SlowNetwork => {
                let high_us = self.context.random.between(50_000, 800_000);
                self.context.network.delays.high_us = high_us;
                let length = self.context.random.between(100_000, 2_000_000);
                self.context
                    .queue
                    .after(length, Event::Relief(Relief::FastNetwork));
            }
            Fault::SlowDisk => {
                let node = self.victim();
                let length = self.context.random.skewed(10_000, 3_000_000);
                self.context.slow_disk_until[node as usize - 1] = now + length;
            }
            Fault::DiskStall => {
                let node = self.victim();
                let length = self.context.random.between(2_000_000, 40_000_000);
                let until = (now + length).min(self.context.plan.faults_us);
                self.context.slow_disk_until[node as usize - 1] = until;
            }
            Fault::DiskFull => self.fill_disks(),
            Fault::SeeminglyGone => self.seemingly_gone(),
            Fault::ClockJump => self.clock_jump(),
            Fault::ClientReset => {
                if let Some(connection) = self.some_connection() {
                    self.hang_up(connection);
                }
            }
            Fault::OriginDown => {
                self.origin.set_down(true);
                let length = self.context.random.skewed(10_000, 5_000_000);
                self.context.queue.after(length, Event::OriginUp);
            }
            Fault::Join | Fault::Remove | Fault::Replace | Fault::Wipe | Fault::Restore | Fault::Transfer => {
                self.change_members(fault);
            }
            Fault::Tenant => self.let_tenant_in(),
            Fault::OriginUnknown => {
                let length = self.context.random.skewed(100_000, 4_000_000);
                self.origin.doubtful_until = now + length;
            }
        }
    }

    /// One disk is full, or all of them, which is how disks of one size get full. Some have little in reserve.
    fn fill_disks(&mut self) {
        let nodes = match self.context.random.chance(300) {
            true => (1..=self.context.plan.machines() as PeerId).collect(),
            false => vec![self.victim()],
        };
        let reserve = *self.context.random.pick(&[0, 200, 4_000, 100_000]);
        for node in &nodes {
            let left = self.context.random.skewed(1, 20_000);
            let disk = &mut self.machine(*node).disk;
            if disk.is_formed() && disk.room.is_none() {
                disk.room = Some(Room {
                    left,
                    reserve,
                    full: false,
                });
            }
        }
        let length = self.context.random.skewed(100_000, 8_000_000);
        self.context
            .queue
            .after(length, Event::Relief(Relief::Room(nodes)));
    }

    /// Clocks that are to be right jump far for a moment at most, and one at a time.
    fn clock_jump(&mut self) {
        let now = self.context.queue.now();
        let node = self.victim();
        let wrong = self.context.plan.wrong_clocks.clone();
        let is_far = |machine: &super::Machine| machine.clock.wall_ahead_ms(now).abs() > 500;
        let moment = wrong.as_ref().is_some_and(Vec::is_empty) && !self.machines.iter().any(is_far);
        let far = moment || wrong.is_none_or(|wrong| wrong.contains(&node));
        let size = self.context.random.skewed(1, if far { 3_600_000 } else { 100 }) as i64;
        let by = if self.context.random.chance(500) {
            size
        } else {
            -size
        };
        self.machine(node).clock.jump_ms(by);
        if moment {
            let length = self.context.random.between(50_000, 2_000_000);
            let relief = Event::Relief(Relief::JumpBack(node, by));
            self.context.queue.after(length, relief);
        }
    }

    /// The process stops at one of its next actions, wherever that is.
    fn pause(&mut self, longest: Micros) {
        let now = self.context.queue.now();
        let node = self.victim();
        let length = self.context.random.skewed(1_000, longest).max(longest / 20);
        let actions = self.context.random.skewed(0, 400) as u32;
        let machine = self.machine(node);
        if machine.paused_until <= now && machine.process.is_some() {
            machine.pause_after = Some((actions, length));
        }
    }

    fn crash_and_restart(&mut self, node: PeerId, power_loss: bool, longest: Micros) {
        self.crash(node, power_loss);
        let delay = self.context.random.skewed(5_000, longest);
        self.context.queue.after(delay, Event::Start { node });
    }

    fn stop_all(&mut self, power_loss: bool) {
        for node in 1..=self.context.plan.machines() as PeerId {
            self.crash_and_restart(node, power_loss, 1_000_000);
        }
    }

    /// In a mode that does not survive it the machine stays down, so only a minority may be hit, and only
    /// once the cluster has formed (an unformed cluster needs everybody).
    fn power_loss(&mut self) {
        let node = self.victim();
        if self.context.plan.durability != Durability::Fsync && !self.may_lose(node) {
            return;
        }
        self.crash_and_restart(node, true, 2_000_000);
    }

    fn some_pair(&mut self) -> (PeerId, PeerId) {
        let one = self.victim();
        let machines = self.context.plan.machines() as u64;
        let step = self.context.random.between(1, machines - 1);
        (one, (one - 1 + step) % machines + 1)
    }

    fn partition(&mut self) {
        let nodes = self.context.plan.machines() as PeerId;
        let side: Vec<bool> = (0..nodes).map(|_| self.context.random.chance(500)).collect();
        let apart = |one: PeerId, other: PeerId| side[one as usize - 1] != side[other as usize - 1];
        let pairs = (1..=nodes).flat_map(|one| (1..=nodes).map(move |other| (one, other)));
        self.block(pairs.filter(|(one, other)| apart(*one, *other)).collect());
    }

    /// Wholly, outbound only or inbound only.
    fn isolate_leader(&mut self) {
        let Some(leader) = self.leader() else {
            return;
        };
        let kind = self.context.random.below(3);
        let mut blocked = Vec::new();
        for other in (1..=self.context.plan.machines() as PeerId).filter(|other| *other != leader) {
            if kind != 1 {
                blocked.push((leader, other));
            }
            if kind != 2 {
                blocked.push((other, leader));
            }
        }
        self.block(blocked);
    }

    pub(super) fn block(&mut self, directions: Vec<(PeerId, PeerId)>) {
        for (from, to) in &directions {
            self.context.network.set_blocked(*from, *to, true);
            if let Some(stream) = self.context.network.stream(*from, *to) {
                let patience = self.context.random.skewed(50_000, 15_000_000);
                let event = Event::Patience {
                    one: *from,
                    other: *to,
                    stream,
                };
                self.context.queue.after(patience, event);
            }
        }
        let length = self.context.random.between(50_000, 4_000_000);
        self.context
            .queue
            .after(length, Event::Relief(Relief::Unblock(directions)));
    }

    /// Something between the nodes resets the leader's streams and refuses new ones: to most of the others, or to all,
    /// the leader seems to be gone, and it leads on. Whoever succeeds is elected inside its lease. Half of the time
    /// it does not hear of its successor for a while.
    fn seemingly_gone(&mut self) {
        let Some((leader, others)) = self.leader_and_others() else {
            return;
        };
        let is_deaf = self.context.random.chance(500);
        for at in &others {
            if self.context.random.chance(150) {
                continue;
            }
            self.context.tear(leader, *at, (1, 2_000));
            let delay = self.context.random.skewed(2_000, 10_000);
            let refuse = Event::Refuse {
                at: *at,
                peer: leader,
            };
            self.context.queue.after(delay, refuse);
        }
        if is_deaf {
            self.block(others.iter().map(|other| (*other, leader)).collect());
        }
    }

    /// Half of the time the leader soon hears of nobody for a while, and not of its successor either.
    pub(super) fn deafen_leader(&mut self) {
        let Some((leader, others)) = self.leader_and_others() else {
            return;
        };
        if self.context.random.chance(500) {
            let delay = self.context.random.skewed(1, 50_000);
            let deaf = others.into_iter().map(|other| (other, leader)).collect();
            self.context.queue.after(delay, Event::Relief(Relief::Cut(deaf)));
        }
    }

    fn half_open(&mut self) {
        let (late, soon) = self.some_pair();
        if let Some(stream) = self.context.network.tear(late, soon) {
            for (at, peer, longest) in [(soon, late, 1_000), (late, soon, 10_000_000)] {
                let delay = self.context.random.skewed(1, longest);
                self.context
                    .queue
                    .after(delay, Event::StreamDown { at, peer, stream });
            }
        }
    }

    pub(super) fn on_relief(&mut self, relief: Relief) {
        match relief {
            Relief::Restart(nodes) if self.phase == Phase::Faults => {
                for node in nodes {
                    self.crash_and_restart(node, false, 30_000);
                }
            }
            Relief::Cut(directions) if self.phase == Phase::Faults => self.block(directions),
            Relief::Silence(directions, length) if self.phase == Phase::Faults => {
                self.cut(directions, length)
            }
            Relief::Restart(_) | Relief::Cut(_) | Relief::Silence(..) => {}
            Relief::End(node) => self.crash(node, false),
            Relief::Room(nodes) => nodes.into_iter().for_each(|node| self.make_room(node)),
            Relief::Lag(directions, lag_us) => {
                let lag_us = if self.phase == Phase::Faults { lag_us } else { 0 };
                for (from, to) in directions {
                    self.context.network.set_lag(from, to, lag_us);
                }
            }
            Relief::JumpBack(node, by) if self.phase == Phase::Faults => {
                self.machine(node).clock.jump_ms(-by)
            }
            Relief::JumpBack(..) => {}
            Relief::FastNetwork => self.context.network.delays = self.context.plan.network,
            Relief::Unblock(directions) => {
                for (from, to) in directions {
                    self.unblock(from, to);
                }
            }
        }
    }

    fn unblock(&mut self, from: PeerId, to: PeerId) {
        let held = self.context.network.set_blocked(from, to, false);
        let Some(stream) = self.context.network.stream(from, to) else {
            return;
        };
        let Delays { low_us, high_us } = self.context.network.delays;
        let delay = self.context.random.skewed(low_us, high_us);
        for _ in 0..held {
            self.context
                .queue
                .after(delay, Event::Deliver { from, to, stream });
        }
    }

    /// Ends every fault at once.
    pub(super) fn heal_all(&mut self) {
        let now = self.context.queue.now();
        self.context.network.delays = self.context.plan.network;
        self.context.slow_disk_until.fill(0);
        self.origin.set_down(false);
        self.origin.doubtful_until = 0;
        let nodes = self.context.plan.machines() as PeerId;
        for node in 1..=nodes {
            let wrong = self.context.plan.wrong_clocks.as_ref();
            let stays = wrong.is_some_and(|wrong| wrong.contains(&node));
            let corrects = self.context.plan.corrects_clocks || !stays;
            let machine = self.machine(node);
            if corrects {
                machine.clock.correct();
            }
            machine.pause_after = None;
            machine.paused_until = machine.paused_until.min(now);
            self.make_room(node);
            self.context.queue.at(now, Event::Start { node });
            self.wake(node, now);
            for other in (1..=nodes).filter(|other| *other != node) {
                self.context.network.set_lag(node, other, 0);
                self.unblock(node, other);
            }
        }
    }
}
