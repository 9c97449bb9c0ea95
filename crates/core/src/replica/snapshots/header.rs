//! The first chunk of a snapshot: what of a replica's state is not in the keyspace.
//!
//! A version byte, then sections ([`crate::section`]) in ascending order of their kinds, each once: kind, the feature
//! level that its layout came with, length, and so many bytes. One whose content is nothing is left out, but for the
//! members.
//!
//! | kind | section |
//! |---|---|
//! | 1 | members |
//! | 2 | number of nodes, then per node: its number, its incarnation, and the sequence number of its last op that was applied |
//! | 3 | lanes of origins |
//! | 4 | users, unless they are as they start |

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::Forwarder;
use crate::acl::Users;
use crate::codec::{Malformed, Reader, put_bytes, put_varint};
use crate::contract::{PeerId, Settings};
use crate::keyspace::RestoreError;
use crate::limits;
use crate::membership::Membership;
use crate::origin::Lanes;
use crate::packed::Corrupt;
use crate::section::{SNAPSHOT_LEVEL, VERSION, Verdict, judge};

const MEMBERS: u8 = 1;
const FORWARDERS: u8 = 2;
const LANES: u8 = 3;
const USERS: u8 = 4;

/// What of a replica's state is not in the keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub membership: Membership,
    pub forwarders: BTreeMap<PeerId, Forwarder>,
    /// Encoded origin lanes; empty in what a new cluster is founded with: they begin anew, see
    /// [`crate::backup::founding`].
    pub lanes: Bytes,
    /// Encoded users; empty while they are as they start.
    pub users: Bytes,
}

impl Header {
    pub fn encode(&self) -> Bytes {
        let mut forwarders = Vec::new();
        if !self.forwarders.is_empty() {
            put_varint(&mut forwarders, self.forwarders.len() as u64);
        }
        for (peer, forwarder) in &self.forwarders {
            put_varint(&mut forwarders, *peer);
            put_varint(&mut forwarders, forwarder.incarnation);
            put_varint(&mut forwarders, forwarder.sequence);
        }
        let members = self.membership.to_bytes();
        let mut out = vec![VERSION];
        let sections: [(u8, &[u8]); 4] = [
            (MEMBERS, &members),
            (FORWARDERS, &forwarders),
            (LANES, &self.lanes),
            (USERS, &self.users),
        ];
        for (kind, content) in sections {
            if !content.is_empty() {
                out.extend_from_slice(&[kind, SNAPSHOT_LEVEL as u8]);
                put_bytes(&mut out, content);
            }
        }
        Bytes::from(out)
    }

    /// Whether a leader can have sent it.
    pub fn is_plausible(&self, settings: &Settings) -> bool {
        let counts = |forwarder: &Forwarder| {
            forwarder.incarnation <= limits::INCARNATION_MAX && forwarder.sequence <= limits::POSITION_MAX
        };
        self.membership.get(settings.identity.peer).is_some()
            && self.forwarders.values().all(counts)
            && Lanes::restore(settings.origin.clone(), &mut &self.lanes[..]).is_ok()
            && Users::decode(&self.users).is_ok()
    }

    /// The header of a snapshot on this node's disk.
    pub fn of_chunks(chunks: &[Bytes]) -> Self {
        let header = chunks.first().expect("a snapshot has a header chunk");
        Self::decode(header.clone()).expect("the driver has checked the snapshot's checksums")
    }

    /// The reverse of [`Header::encode`]; what this release does not know and may skip is skipped.
    ///
    /// # Errors
    /// It is no first chunk, or one of another release.
    pub fn decode(bytes: Bytes) -> Result<Self, RestoreError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8().map_err(malformed)?;
        if version != VERSION {
            return Err(RestoreError::OtherFormat(version));
        }
        let mut header = Self::default();
        let mut last = 0;
        while !reader.is_empty() {
            let kind = reader.u8().map_err(malformed)?;
            let level = reader.varint().map_err(malformed)?;
            let content = reader.bytes().map_err(malformed)?;
            if kind <= last {
                return Err(malformed(Malformed));
            }
            last = kind;
            match judge(kind, level, (MEMBERS..=USERS).contains(&kind))? {
                Verdict::Read => header.take(kind, content).map_err(malformed)?,
                Verdict::Skip => {}
                Verdict::Refuse(unknown) => return Err(RestoreError::Unknown(unknown)),
            }
        }
        match header.membership.voters().is_empty() {
            true => Err(RestoreError::Incomplete("the members are missing")),
            false => Ok(header),
        }
    }

    fn take(&mut self, kind: u8, content: Bytes) -> Result<(), Malformed> {
        match kind {
            MEMBERS => self.membership = Membership::from_bytes(content)?,
            FORWARDERS => self.forwarders = forwarders(Reader::new(content))?,
            LANES => self.lanes = content,
            _ => self.users = content,
        }
        Ok(())
    }
}

fn forwarders(mut reader: Reader) -> Result<BTreeMap<PeerId, Forwarder>, Malformed> {
    let mut forwarders = BTreeMap::new();
    for _ in 0..reader.varint()? {
        let [peer, incarnation, sequence] = reader.varints()?;
        forwarders.insert(
            peer,
            Forwarder {
                incarnation,
                sequence,
            },
        );
    }
    match reader.is_empty() {
        true => Ok(forwarders),
        false => Err(Malformed),
    }
}

fn malformed(_: Malformed) -> RestoreError {
    RestoreError::Corrupt(Corrupt {
        expected: "the sections of a first chunk",
    })
}
