//! What a process is started with.

use std::sync::Arc;

use repligo_core::contract::{Boot, Durability, HashSeed, Identity, PeerId, Settings};
use repligo_core::eviction::MemoryLimit;
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;

/// What a process is started with.
#[derive(Debug)]
pub struct Starter {
    pub(super) me: PeerId,
    pub(super) life: u32,
    pub(super) membership: Membership,
    pub(super) drawn_id: u128,
    pub(super) cluster_id: u128,
    pub(super) incarnation: u64,
    pub(super) durability: Durability,
    pub(super) seed: u64,
    pub(super) origin: Arc<OriginMap>,
    pub(super) log_bytes_max: u64,
    pub(super) memory: MemoryLimit,
    pub(super) boot: Option<Boot>,
}

impl Starter {
    /// Settings and boot of the replica. Called once, when the cluster has formed.
    pub(super) fn replica(&mut self) -> (Settings, Boot) {
        let settings = Settings {
            identity: Identity {
                cluster_id: self.cluster_id,
                generation: 1,
                peer: self.me,
                incarnation: self.incarnation,
            },
            membership: self.membership.clone(),
            durability: self.durability,
            seed: self.seed,
            // Each process draws its own, as real ones do; the cluster agrees on one.
            hash_seed: HashSeed::from_number(!self.seed),
            origin: self.origin.clone(),
            log_bytes_max: self.log_bytes_max,
        };
        (settings, self.boot.take().unwrap_or_default())
    }
}
