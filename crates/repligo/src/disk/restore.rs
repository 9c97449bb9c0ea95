//! A data directory made of a backup: the first one of a new cluster.
//!
//! A mark, then snapshot, log and `meta`: until the last one is there, the directory is none that a node would start with.
//! What was made is removed if it cannot be finished.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use repligo_core::backup::founding;
use repligo_core::contract::{Durability, HardState, Persist, SnapshotIo};
use repligo_core::membership::Membership;

use super::backup::{BackupFlaw, BackupReader};
use super::error::DiskError;
use super::lock::{DirectoryLock, LOCK_FILE};
use super::meta::{self, Forming, Meta};
use super::metrics::Counters;
use super::open::{self, SEGMENT_BYTES};
use super::snapshot::SnapshotWriter;
use super::storage::{Directory, Storage};
use super::wal::Wal;

/// Is there while a directory is being made and has no `meta`, so that what a killed process leaves is told from an empty
/// directory, in which a node would found an empty cluster.
pub(super) const RESTORING_FILE: &str = "restoring";

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
    let existed = refuse_used(founder, &["lost+found"])?;
    let lock = DirectoryLock::acquire(&founder.dir)?;
    // Somebody may have been faster.
    refuse_used(founder, &["lost+found", LOCK_FILE])?;
    let storage: Arc<dyn Storage> = Arc::new(Directory::new(founder.dir.clone()));
    let made = fill(&storage, backup, founder, goes_on);
    if made.is_err() {
        let mut names = storage.list().unwrap_or_default();
        names.retain(|name| name != "lost+found");
        // Whatever cannot be removed has the mark beside it.
        names.sort_by_key(|name| name == RESTORING_FILE);
        let _ = names.iter().try_for_each(|name| storage.remove(name));
        drop(lock);
        if !existed {
            let _ = fs::remove_dir(&founder.dir);
        }
    }
    made
}

/// True if the directory is there, and empty but for these names.
fn refuse_used(founder: &Founder, harmless: &[&str]) -> Result<bool, DiskError> {
    let dir = &founder.dir;
    let failed = |error| DiskError::io("read the directory", dir, error);
    if !dir.try_exists().map_err(failed)? {
        return Ok(false);
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !harmless.iter().any(|harmless| name == *harmless) {
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
    let failed = |error| DiskError::io("mark the directory", storage.dir(), error);
    let mark = storage.create(RESTORING_FILE).map_err(failed)?;
    mark.sync().and_then(|()| storage.sync_dir()).map_err(failed)?;
    let mut writer = SnapshotWriter::new(storage.clone(), counters.clone(), founder.cluster_id);
    writer.execute(SnapshotIo::Begin { index, term })?;
    let mut is_first = true;
    while let Some(mut chunk) = backup.next_chunk()? {
        if std::mem::take(&mut is_first) {
            chunk = founding(chunk, &membership).map_err(|unfit| BackupFlaw::Damaged {
                offset: backup.offset(),
                why: unfit.to_string(),
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
        // Those of the first start.
        keyspaces: None,
        clean: Some(wal.written()),
    };
    meta::write(&**storage, &meta)?;
    let removed = storage.remove(RESTORING_FILE);
    removed.and_then(|()| storage.sync_dir()).map_err(failed)?;
    Ok(generation)
}
