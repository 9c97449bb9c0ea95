//! A snapshot as a backup: what it holds, and what it becomes when a new cluster begins with it.
//!
//! The chunks are those of any snapshot: the replica's header, then the keyspace's. A new cluster takes over the
//! keyspace as it is (values, deadlines, versions, scripts, the hash seed) and the users, and nothing that belongs to
//! the nodes of the old one: its members, what is known of their batches, and the lanes of its origins.

use std::fmt;

use bytes::Bytes;

use crate::acl::Users;
use crate::keyspace::{Keyspace, Outline, RestoreError, outline};
use crate::membership::Membership;
use crate::replica::SnapshotHeader;
use crate::table::HashSeed;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Time and number of its keys.
    pub outline: Outline,
    /// Names of the members of the cluster that it is of.
    pub members: Vec<String>,
    /// Users beside the default one.
    pub user_count: usize,
}

/// Why a chunk is none of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The replica's own chunk.
    Header,
    /// One of the keyspace, or a section that a later release wrote.
    Keyspace(RestoreError),
    /// They end too early.
    Incomplete,
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => formatter.write_str(
                "the first chunk does not decode: it was written by another release, or by no node",
            ),
            Self::Keyspace(error) => error.fmt(formatter),
            Self::Incomplete => formatter.write_str("chunks are missing at the end"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Unfit {
    /// The first chunk was not read.
    fn of_first(error: RestoreError) -> Self {
        match error {
            RestoreError::Unknown(_) => Self::Keyspace(error),
            _ => Self::Header,
        }
    }
}

impl From<RestoreError> for Unfit {
    fn from(error: RestoreError) -> Self {
        Self::Keyspace(error)
    }
}

/// Takes the chunks of a backup in, as a node would that starts with it, and so finds whether it could.
#[derive(Debug)]
pub struct Inspection {
    header: Option<SnapshotHeader>,
    outline: Option<Outline>,
    keyspace: Keyspace,
}

impl Inspection {
    /// Nothing was taken in; keys are hashed with this seed if the backup names none.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            header: None,
            outline: None,
            keyspace: Keyspace::new(seed),
        }
    }

    /// Takes the next chunk in.
    ///
    /// # Errors
    /// No node could start with it. The inspection is of no use afterwards.
    pub fn take(&mut self, chunk: &Bytes) -> Result<(), Unfit> {
        if self.header.is_none() {
            let header = SnapshotHeader::decode(chunk.clone()).map_err(Unfit::of_first)?;
            if Users::decode(&header.users).is_err() {
                return Err(Unfit::Header);
            }
            self.header = Some(header);
            return Ok(());
        }
        if self.outline.is_none() {
            self.outline = Some(outline(chunk)?);
        }
        Ok(self.keyspace.restore_chunk(chunk)?)
    }

    /// What it holds, when all chunks were taken in.
    ///
    /// # Errors
    /// Chunks are missing.
    pub fn finish(self) -> Result<Contents, Unfit> {
        let (Some(header), Some(outline)) = (self.header, self.outline) else {
            return Err(Unfit::Incomplete);
        };
        if self.keyspace.is_restoring() {
            return Err(Unfit::Incomplete);
        }
        let users = Users::decode(&header.users).map_err(|_| Unfit::Header)?;
        let members = header.membership.iter().map(|(_, member)| member.name.clone());
        Ok(Contents {
            outline,
            members: members.collect(),
            user_count: users.iter().len() - 1,
        })
    }
}

/// The first chunk with which a new cluster begins, made of that of a backup.
///
/// The members are new. Nothing is known of batches, since no node of the new cluster has sent one; what nodes of
/// the old one send is not of this cluster. The lanes of the origins begin anew: writes that were undecided when the
/// backup was taken were decided since or given up, and must not reach a database now.
///
/// # Errors
/// It is no first chunk.
pub fn founding(first: Bytes, membership: &Membership) -> Result<Bytes, Unfit> {
    let header = SnapshotHeader::decode(first).map_err(Unfit::of_first)?;
    Ok(SnapshotHeader {
        membership: membership.clone(),
        users: header.users,
        ..SnapshotHeader::default()
    }
    .encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Forwarder;

    fn header(membership: Membership) -> SnapshotHeader {
        let forwarder = Forwarder {
            incarnation: 3,
            sequence: 9,
        };
        SnapshotHeader {
            membership,
            forwarders: [(2, forwarder)].into(),
            lanes: Bytes::from_static(b"lanes"),
            users: Bytes::new(),
        }
    }

    fn chunks() -> Vec<Bytes> {
        let mut keyspace = Keyspace::new(HashSeed::from_number(1));
        keyspace.snapshot_begin();
        let mut chunks = vec![header(Membership::of_count(3)).encode()];
        loop {
            let mut chunk = Vec::new();
            let done = keyspace.snapshot_next(&mut chunk, 100);
            chunks.push(Bytes::from(chunk));
            if done {
                return chunks;
            }
        }
    }

    fn inspect(chunks: &[Bytes]) -> Result<Contents, Unfit> {
        let mut inspection = Inspection::new(HashSeed::from_number(2));
        chunks.iter().try_for_each(|chunk| inspection.take(chunk))?;
        inspection.finish()
    }

    #[test]
    fn a_whole_backup_tells_what_it_holds_and_a_cut_one_that_it_is_cut() {
        let chunks = chunks();
        let contents = inspect(&chunks).expect("whole");
        assert_eq!(contents.members, ["n1", "n2", "n3"]);
        assert_eq!((contents.outline.entry_count, contents.user_count), (0, 0));
        for count in 0..chunks.len() {
            assert_eq!(inspect(&chunks[..count]), Err(Unfit::Incomplete), "{count}");
        }
        let exchanged: Vec<Bytes> = chunks.iter().rev().cloned().collect();
        assert_eq!(inspect(&exchanged), Err(Unfit::Header));
    }

    #[test]
    fn a_new_cluster_knows_nothing_of_the_nodes_of_the_old_one() {
        let first = founding(chunks()[0].clone(), &Membership::of_count(1)).expect("a first chunk");
        let founded = SnapshotHeader::decode(first).expect("it decodes");
        assert_eq!(founded.membership.voters(), [1]);
        assert!(founded.forwarders.is_empty() && founded.lanes.is_empty());
        assert!(founding(Bytes::from_static(b"x"), &Membership::of_count(1)).is_err());
    }
}
