//! The `meta` file: whose data directory this is, and how its last run ended.
//!
//! Written whole and atomically (temporary file, sync, rename, directory sync). It is the first file a
//! directory gets, and it is written before anything else in every run, which also removes the clean mark.
//! The layout is in `docs/storage-format.md`.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use repligo_core::contract::{Durability, Identity, PeerId};
use repligo_core::membership::Membership;

use super::codec::{Fields, put_text};
use super::error::DiskError;
use super::keyspaces::Keyspaces;
use super::storage::{Birth, Storage, StorageFile};

/// Storage format of this release, in `meta`, log segments and snapshots alike.
pub const FORMAT: u32 = 4;
/// Name of the file.
pub const META_FILE: &str = "meta";
const META_TEMPORARY: &str = "meta.tmp";
const MAGIC: &[u8; 8] = b"RPLGMETA";
/// Magic, format, CRC and payload length.
const HEAD_BYTES: usize = 20;
/// Longest node name in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// How far the node has come in forming its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forming {
    /// Belongs to no cluster.
    Empty,
    /// Has promised to become part of this cluster, and of no other, but does not know yet that the
    /// others have.
    Prepared {
        /// The cluster.
        cluster_id: u128,
    },
    /// Part of this cluster.
    Formed {
        /// The cluster.
        cluster_id: u128,
    },
}

impl Forming {
    /// The cluster, if there is one.
    pub fn cluster_id(self) -> Option<u128> {
        match self {
            Forming::Empty => None,
            Forming::Prepared { cluster_id } | Forming::Formed { cluster_id } => Some(cluster_id),
        }
    }
}

/// Content of the `meta` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Where the node is in forming its cluster.
    pub forming: Forming,
    /// Generation of the cluster; 1 until a restore or a majority-loss recovery raises it.
    pub generation: u64,
    /// This node's number in the membership, 0 while it has none.
    pub peer: PeerId,
    /// This node's name.
    pub node: String,
    /// Drawn for this directory when it was made; by it the others know that it is still the same one.
    pub key: u128,
    /// The members as they were known last; nobody while the node waits to be admitted.
    pub membership: Membership,
    /// The file is not where it was written: the directory is a copy. Not stored, but found when it is read.
    pub moved: bool,
    /// Counts the opens of this directory, from 1.
    pub incarnation: u64,
    /// Boot of the machine in which the last run was.
    pub boot_id: String,
    /// Durability of the last run.
    pub durability: Durability,
    /// What is mapped to databases; `None` where no node has started with the directory yet.
    pub keyspaces: Option<Keyspaces>,
    /// The clean mark: the end of the log, all of it synced, at the last stop. `None` while a run lasts
    /// and after a crash.
    pub clean: Option<u64>,
}

impl Meta {
    /// The node's identity, once it has a cluster.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity {
            cluster_id: self.forming.cluster_id()?,
            generation: self.generation,
            peer: self.peer,
            incarnation: self.incarnation,
        })
    }

    /// True for a cluster of one.
    pub fn single_node(&self) -> bool {
        self.membership.is_alone()
    }

    /// The only member of a cluster, and one that has not joined it: then the cluster would have written down its key.
    pub fn is_founder_alone(&self) -> bool {
        let own = self.membership.get(self.peer);
        let formed = matches!(self.forming, Forming::Formed { .. });
        formed && self.single_node() && own.is_some_and(|own| own.key != self.key)
    }

    /// The only member of a cluster that was made without an address: no other node can become a member, whatever the
    /// line of a start says.
    pub fn is_unreachable(&self) -> bool {
        let own = self.membership.get(self.peer);
        self.is_founder_alone() && own.is_some_and(|own| own.address.is_empty())
    }

    pub(super) fn encode(&self, birth: Birth) -> Vec<u8> {
        let (state, cluster_id) = match self.forming {
            Forming::Empty => (0, 0),
            Forming::Prepared { cluster_id } => (1, cluster_id),
            Forming::Formed { cluster_id } => (2, cluster_id),
        };
        let durability = match self.durability {
            Durability::None => 0,
            Durability::Os => 1,
            Durability::Fsync => 2,
        };
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&[state, durability, u8::from(self.clean.is_some()), 0]);
        out.extend_from_slice(&cluster_id.to_le_bytes());
        for number in [
            self.generation,
            self.peer,
            self.incarnation,
            self.clean.unwrap_or(0),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_text(&mut out, &self.boot_id);
        put_text(&mut out, &self.node);
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&birth.number.to_le_bytes());
        out.extend_from_slice(&birth.born_ns.to_le_bytes());
        let members = match self.membership.voters().is_empty() {
            true => Vec::new(),
            false => self.membership.to_bytes(),
        };
        out.extend_from_slice(&(members.len() as u32).to_le_bytes());
        out.extend_from_slice(&members);
        if let Some(keyspaces) = &self.keyspaces {
            out.extend_from_slice(&keyspaces.fingerprint.to_le_bytes());
            put_text(&mut out, &keyspaces.names);
        }
        let length = (out.len() - HEAD_BYTES) as u32;
        out[16..20].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode_payload(payload: &[u8], birth: Birth) -> Option<Meta> {
        let mut fields = Fields(payload);
        let (state, durability, clean, _) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
        let cluster_id = fields.u128()?;
        let (generation, peer, incarnation, log_end) =
            (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
        let (boot_id, node) = (fields.text()?, fields.text()?);
        let key = fields.u128()?;
        let written = Birth {
            number: fields.u64()?,
            born_ns: fields.u64()?,
        };
        let length = fields.u32()? as usize;
        let members = fields.bytes(length)?;
        let membership = match members.is_empty() {
            true => Membership::default(),
            false => Membership::from_bytes(Bytes::copy_from_slice(members)).ok()?,
        };
        let meta = Meta {
            forming: match state {
                0 => Forming::Empty,
                1 => Forming::Prepared { cluster_id },
                2 => Forming::Formed { cluster_id },
                _ => return None,
            },
            generation,
            peer,
            node,
            key,
            membership,
            moved: written != birth,
            incarnation,
            boot_id,
            keyspaces: match fields.0.is_empty() {
                true => None,
                false => Some(Keyspaces {
                    fingerprint: fields.u128()?,
                    names: fields.text()?,
                }),
            },
            durability: match durability {
                0 => Durability::None,
                1 => Durability::Os,
                2 => Durability::Fsync,
                _ => return None,
            },
            clean: (clean == 1).then_some(log_end),
        };
        fields.0.is_empty().then_some(meta)
    }
}

/// Reads the file; `None` if there is none.
pub(super) fn read(storage: &dyn Storage) -> Result<Option<Meta>, DiskError> {
    let path = storage.path(META_FILE);
    let read = |file: Arc<dyn StorageFile>| Ok((file.read_all()?, file.birth()?));
    let (bytes, birth) = match storage.open(META_FILE).and_then(read) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::io("read", &path, error)),
    };
    let damaged = |offset, why: &str| DiskError::corrupt(&path, offset, why);
    let mut fields = Fields(&bytes);
    if fields.bytes(8) != Some(MAGIC) {
        return Err(damaged(0, "it does not begin as a meta file"));
    }
    let format = fields.u32().ok_or_else(|| damaged(8, "it is too short"))?;
    // Judged before the checksum: another format may check itself in another way.
    if format != FORMAT {
        return Err(DiskError::other_format(path, format));
    }
    let crc = fields.u32();
    if crc != Some(crc32c::crc32c(fields.0)) {
        return Err(damaged(12, "the checksum does not match"));
    }
    let length = fields.u32().ok_or_else(|| damaged(16, "it is too short"))?;
    if length as usize != fields.0.len() {
        return Err(damaged(16, "the length does not match"));
    }
    let meta = Meta::decode_payload(fields.0, birth);
    meta.map(Some)
        .ok_or_else(|| damaged(HEAD_BYTES as u64, "a field has an impossible value"))
}

/// Replaces the file, durably.
pub(super) fn write(storage: &dyn Storage, meta: &Meta) -> Result<(), DiskError> {
    let store = || {
        let file = storage.create(META_TEMPORARY)?;
        let bytes = meta.encode(file.birth()?);
        file.write_at(&mut [IoSlice::new(&bytes)], 0)?;
        file.sync()?;
        storage.rename(META_TEMPORARY, META_FILE)?;
        storage.sync_dir()
    };
    store().map_err(|error| DiskError::io("write", &storage.path(META_FILE), error))
}
