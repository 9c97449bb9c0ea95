//! A data directory made of a backup: the first one of a new cluster.
//!
//! Snapshot, then log, then `meta`: until the last one is there, the directory is none that a node would start with. What
//! was made is removed if it cannot be finished.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use repligo_core::backup::founding;
use repligo_core::contract::{Durability, HardState, Persist, SnapshotIo};
use repligo_core::membership::Membership;

use super::backup::{BackupFlaw, BackupReader};
use super::error::DiskError;
use super::lock::DirectoryLock;
use super::meta::{self, Forming, Meta};
use super::metrics::Counters;
use super::open::{self, SEGMENT_BYTES};
use super::snapshot::SnapshotWriter;
use super::storage::{Directory, Storage};
use super::wal::Wal;

/// The node with which a new cluster begins.
#[derive(Clone, Debug)]
pub struct Founder {
    /// Its directory, which is empty or not there.
    pub dir: PathBuf,
    /// Its name.
    pub node: String,
    /// Where it will listen for nodes; empty for one that is alone.
    pub address: String,
    /// Drawn for the new cluster.
    pub cluster_id: u128,
    /// Drawn for the directory.
    pub key: u128,
}

/// Why there is no new directory.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup.
    #[error("{0}")]
    Flaw(#[from] BackupFlaw),
    /// The directory.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
}

/// Makes the directory; gives the generation of the new cluster. `goes_on` is told how many bytes of the backup were
/// read, and says whether to go on.
///
/// # Errors
/// Nothing is left of the directory then but what was there.
pub fn restore<R: Read>(
    backup: BackupReader<R>,
    founder: &Founder,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<u64, RestoreError> {
    let existed = refuse_used(founder)?;
    let lock = DirectoryLock::acquire(&founder.dir)?;
    let storage: Arc<dyn Storage> = Arc::new(Directory::new(founder.dir.clone()));
    let made = fill(&storage, backup, founder, goes_on);
    if made.is_err() {
        for name in storage.list().unwrap_or_default() {
            // What cannot be removed has no `meta`, so no node takes it for its own.
            let _ = if name == "lost+found" {
                Ok(())
            } else {
                storage.remove(&name)
            };
        }
        drop(lock);
        if !existed {
            let _ = fs::remove_dir(&founder.dir);
        }
    }
    made
}

/// True if the directory is there, and empty.
fn refuse_used(founder: &Founder) -> Result<bool, DiskError> {
    let dir = &founder.dir;
    let failed = |error| DiskError::io("read the directory", dir, error);
    if !dir.try_exists().map_err(failed)? {
        return Ok(false);
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != "lost+found" {
            return Err(DiskError::Usage(format!(
                "{} is not empty (it holds {}), and nothing is ever overwritten: give a directory that is empty or \
                 not there",
                dir.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(true)
}

fn fill<R: Read>(
    storage: &Arc<dyn Storage>,
    mut backup: BackupReader<R>,
    founder: &Founder,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<u64, RestoreError> {
    let (index, term) = (backup.facts().index, backup.facts().term);
    let generation = backup.facts().generation + 1;
    let membership = Membership::formed([(founder.node.clone(), founder.address.clone())]);
    let counters = Arc::new(Counters::new());
    let mut writer = SnapshotWriter::new(storage.clone(), counters.clone(), founder.cluster_id);
    writer.execute(SnapshotIo::Begin { index, term })?;
    let mut is_first = true;
    while let Some(mut chunk) = backup.next_chunk()? {
        if std::mem::take(&mut is_first) {
            chunk = founding(chunk, &membership).map_err(|_| BackupFlaw::Damaged {
                offset: backup.offset(),
                why: "the first chunk does not decode".to_owned(),
            })?;
        }
        writer.execute(SnapshotIo::Chunk(chunk))?;
        if !goes_on(backup.offset()) {
            return Err(RestoreError::Interrupted);
        }
    }
    let drop_log_to = index;
    writer.execute(SnapshotIo::End { index, drop_log_to })?;
    let mut wal = Wal::create(storage.clone(), counters, founder.cluster_id, SEGMENT_BYTES)?;
    wal.append(&[Persist {
        install: Some(index),
        hard_state: Some(HardState {
            term,
            vote: 0,
            commit: index,
        }),
        ..Persist::default()
    }])?;
    wal.sync()?;
    let meta = Meta {
        forming: Forming::Formed {
            cluster_id: founder.cluster_id,
        },
        generation,
        peer: 1,
        node: founder.node.clone(),
        key: founder.key,
        membership,
        moved: false,
        incarnation: 0,
        boot_id: open::boot_id(),
        durability: Durability::Os,
        clean: Some(wal.written()),
    };
    meta::write(&**storage, &meta)?;
    Ok(generation)
}
