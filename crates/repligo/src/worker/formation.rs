//! From an opened directory to a running replica: drives forming, then builds the replica.
//!
//! A state of forming is told to others only after the directory has it, so this holds the disk until the
//! cluster has formed and its threads start.

use std::sync::Arc;

use repligo_core::contract::{Boot, Durability, HashSeed, Identity, PeerId, Settings};
use repligo_core::forming::{Forming, FormingOutput, FormingState, Refusal};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;

use super::NodeError;
use super::Worker;
use super::drivers::{Report, Reports};
use crate::disk::{self, Admission, DirectoryLock, Disk, OpenOptions};
use crate::origin::{self, DriverIdentity, OriginConfig};
use crate::telemetry::process;

/// Bytes of log kept in memory for followers that lag; at that size a snapshot is taken.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// A node that is not part of a cluster yet.
pub struct Formation {
    forming: Forming,
    disk: Option<Disk>,
    boot: Boot,
    identity: Identity,
    membership: Membership,
    durability: Durability,
    origin: Arc<OriginMap>,
    origins: Vec<OriginConfig>,
    reports: Reports,
    rejoin: Rejoin,
}

/// How a node may come into a cluster that has formed without it.
#[derive(Default)]
pub struct Rejoin {
    /// To open the directory anew, when it may have forgotten something and is only locked; it takes no part in forming.
    pub set_aside: Option<(OpenOptions, DirectoryLock)>,
    /// There are other nodes to ask.
    pub possible: bool,
    /// The node forms no cluster, however empty its directory is.
    pub forms_none: bool,
    /// Key of the directory.
    pub key: u128,
}

impl Rejoin {
    /// No cluster may form with this node.
    fn waits(&self) -> bool {
        self.set_aside.is_some() || self.forms_none
    }
}

/// What a node starts with.
pub struct Start {
    /// This node's number.
    pub peer: PeerId,
    /// The members as they are known.
    pub membership: Membership,
    /// What acknowledgements wait for.
    pub durability: Durability,
    /// Keyspace policies.
    pub origin: Arc<OriginMap>,
    /// The origins that they name.
    pub origins: Vec<OriginConfig>,
    /// The directory and what it held; `None` with durability `none`.
    pub disk: Option<(Disk, Boot)>,
    /// Where the threads of disk and origin will report.
    pub reports: Reports,
    /// Whether and how it may join.
    pub rejoin: Rejoin,
}

fn state_of(forming: disk::Forming) -> FormingState {
    match forming {
        disk::Forming::Empty => FormingState::Empty,
        disk::Forming::Prepared { cluster_id } => FormingState::Prepared(cluster_id),
        disk::Forming::Formed { cluster_id } => FormingState::Formed(cluster_id),
    }
}

fn for_disk(state: FormingState) -> disk::Forming {
    match state {
        FormingState::Empty => disk::Forming::Empty,
        FormingState::Prepared(cluster_id) => disk::Forming::Prepared { cluster_id },
        FormingState::Formed(cluster_id) => disk::Forming::Formed { cluster_id },
    }
}

impl Formation {
    /// Takes up where the directory says that the node is.
    pub fn new(start: Start) -> Self {
        let (disk, boot) = match start.disk {
            Some((disk, boot)) => (Some(disk), boot),
            None => (None, Boot::default()),
        };
        let meta = disk.as_ref().map(Disk::meta);
        let state = meta.map_or(FormingState::Empty, |meta| state_of(meta.forming));
        let key = meta.map_or(start.rejoin.key, |meta| meta.key);
        let (peer, membership) = match meta {
            Some(meta) if meta.forming.cluster_id().is_some() => (meta.peer, meta.membership.clone()),
            _ => (start.peer, start.membership),
        };
        let identity = Identity {
            cluster_id: 0,
            generation: meta.map_or(1, |meta| meta.generation.max(1)),
            peer,
            // Where nothing persists, a random one: larger than any count, and another one every time.
            incarnation: meta.map_or_else(
                || process::random_u128() as u64 | 1 << 63,
                |meta| meta.incarnation,
            ),
        };
        Self {
            forming: Forming::new(peer, &membership.voters(), state, process::random_u128()),
            disk,
            boot,
            identity,
            membership,
            durability: start.durability,
            origin: start.origin,
            origins: start.origins,
            reports: start.reports,
            rejoin: Rejoin { key, ..start.rejoin },
        }
    }

    /// Who this node is, its cluster apart.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// It may become part of a cluster that forms now.
    pub fn takes_part(&self) -> bool {
        !self.rejoin.waits() && self.forming.formed().is_none()
    }

    /// It can only become a member of a cluster that has formed without it, and is none yet.
    pub fn waits_for_admission(&self) -> bool {
        self.rejoin.waits() && self.forming.formed().is_none()
    }

    /// Key of the directory.
    pub fn key(&self) -> u128 {
        self.rejoin.key
    }

    /// Makes the directory that of a member, and this that member's start.
    pub(super) fn become_member(&mut self, admission: &Admission) -> Result<(), NodeError> {
        let refused = |error: disk::DiskError| NodeError::Disk(error.to_string());
        if let Some((options, lock)) = self.rejoin.set_aside.take() {
            if let Some(folder) = disk::set_aside(&options.dir).map_err(refused)? {
                tracing::warn!("what was in the directory was moved to {}", folder.display());
            }
            // It is locked anew.
            drop(lock);
            let (disk, recovered) = Disk::open(options).map_err(refused)?;
            self.identity.incarnation = recovered.meta.incarnation;
            self.disk = Some(disk);
        }
        if let Some(disk) = &mut self.disk {
            disk.set_member(admission).map_err(refused)?;
        }
        self.identity.generation = admission.generation;
        self.identity.peer = admission.peer;
        self.boot = Boot::default();
        self.membership = admission.membership.clone();
        let formed = FormingState::Formed(admission.cluster_id);
        self.forming = Forming::new(admission.peer, &self.membership.voters(), formed, 0);
        Ok(())
    }

    /// The durable forming state.
    pub fn state(&self) -> FormingState {
        self.forming.state()
    }

    fn store(&mut self, state: FormingState) -> Result<(), NodeError> {
        match &mut self.disk {
            Some(disk) => disk
                .set_forming(for_disk(state))
                .map_err(|error| NodeError::Disk(error.to_string())),
            None => Ok(()),
        }
    }

    fn start_origin(&self, worker: &Worker, cluster: u128) -> Result<origin::Drivers, NodeError> {
        let identity = DriverIdentity {
            cluster,
            node: worker.facts.name.clone(),
        };
        let reports = self.reports.clone();
        let on_event = Arc::new(move |event| {
            // The worker is gone only when the process ends.
            let _ = reports.send(Report::Origin(event));
        });
        origin::Drivers::start(self.origin.clone(), &self.origins, &identity, on_event)
            .map_err(NodeError::Origin)
    }

    /// Starts the threads of disk and origin, and builds the replica.
    pub(super) fn finish(self, worker: &mut Worker, cluster_id: u128) -> Result<(), NodeError> {
        let identity = Identity {
            cluster_id,
            ..self.identity
        };
        if !self.origin.is_empty() {
            worker.drivers.origin = Some(self.start_origin(worker, cluster_id)?);
        }
        if let Some(disk) = self.disk {
            let reports = self.reports;
            let handle = disk.start(move |done| {
                // The worker is gone only when the process ends.
                let _ = reports.send(Report::Disk(done));
            });
            worker.drivers.disk = Some(handle.map_err(|error| NodeError::Disk(error.to_string()))?);
        }
        let settings = Settings {
            identity,
            membership: self.membership,
            durability: self.durability,
            seed: process::random_u128() as u64,
            hash_seed: HashSeed::from_bytes(&process::random()),
            origin: self.origin,
            log_bytes_max: LOG_BYTES_MAX,
        };
        let replica = Replica::new(settings, self.boot, worker.clock.now());
        worker.start_replica(identity, replica);
        Ok(())
    }
}

impl Worker {
    /// A peer has told its forming state; also called once at start, with the own number.
    pub fn forming_announced(&mut self, from: PeerId, state: FormingState) {
        let Some(mut formation) = self.formation.take() else {
            return;
        };
        if formation.waits_for_admission() {
            self.set_refusal("LOADING the node waits to be admitted to the cluster; retry".to_owned());
            self.phase = crate::telemetry::Phase::Joining;
            self.formation = Some(formation);
            return;
        }
        let was_formed = formation.forming.formed().is_some();
        let mut output = formation.forming.announced(from, state);
        loop {
            match output {
                FormingOutput::Wait => break,
                FormingOutput::Refuse(Refusal::Wiped { .. }) if formation.rejoin.possible => break,
                FormingOutput::Refuse(refusal) => {
                    let text = refusal.explain(self.node_name(refusal.peer()));
                    self.verdict = Some(Err(NodeError::Forming(text)));
                    return;
                }
                FormingOutput::Persist(state) => {
                    if let Err(error) = formation.store(state) {
                        self.verdict = Some(Err(error));
                        return;
                    }
                    output = formation.forming.persisted(state);
                    self.links.set_forming(state);
                    self.turn.request();
                }
            }
        }
        match formation.forming.formed() {
            Some(cluster_id) => {
                let what = match was_formed {
                    true => "part of the cluster",
                    false => "the cluster has formed",
                };
                tracing::info!(cluster = %format_args!("{cluster_id:032x}"), "{what}");
                if let Err(error) = formation.finish(self, cluster_id) {
                    self.verdict = Some(Err(error));
                }
            }
            None => {
                self.note_missing(&formation);
                self.formation = Some(formation);
            }
        }
    }

    /// The link to a peer is gone while the cluster forms.
    pub fn forming_lost(&mut self, peer: PeerId) {
        if let Some(mut formation) = self
            .formation
            .take_if(|formation| !formation.waits_for_admission())
        {
            formation.forming.peer_lost(peer);
            self.note_missing(&formation);
            self.formation = Some(formation);
        }
    }

    fn note_missing(&mut self, formation: &Formation) {
        let missing = formation.forming.missing();
        let waiting_for: Vec<String> = missing
            .iter()
            .map(|peer| self.links.name(*peer).to_owned())
            .collect();
        let whom = match waiting_for.as_slice() {
            [] => "for the others to agree".to_owned(),
            names => format!("for {}", names.join(", ")),
        };
        self.set_refusal(format!("LOADING the cluster is forming, waiting {whom}; retry"));
        self.phase = crate::telemetry::Phase::Forming { waiting_for };
    }
}
