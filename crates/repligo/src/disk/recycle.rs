//! Which segments wait to be used again once the log does not need them, and which go.
//!
//! A file that has its bytes already is faster to write than a new one, but each is room that the data does
//! not need: no more are kept than were given back at once, and none that a large write made longer.

use super::error::DiskError;
use super::storage::Storage;
use super::wal::{free_name, segment_name};

/// Segments kept at most.
const FREE_SEGMENTS_MAX: usize = 4;

/// Gives back the segments with these sequences; `free` are the files kept.
pub(super) fn give_back(
    storage: &dyn Storage,
    sequences: impl ExactSizeIterator<Item = u64>,
    free: &mut Vec<String>,
    segment_bytes: u64,
) -> Result<(), DiskError> {
    // The log needed so many between two snapshots, and will again.
    let free_max = sequences.len().min(FREE_SEGMENTS_MAX);
    let failed = |name: &str, error| DiskError::io("give back the log segment", &storage.path(name), error);
    for surplus in free.drain(free_max.min(free.len())..) {
        storage
            .remove(&surplus)
            .map_err(|error| failed(&surplus, error))?;
    }
    for sequence in sequences {
        let (name, kept) = (segment_name(sequence), free_name(sequence));
        let length = storage.open(&name).and_then(|file| file.len());
        let length = length.map_err(|error| failed(&name, error))?;
        let done = if length <= segment_bytes && free.len() < free_max {
            free.push(kept.clone());
            storage.rename(&name, &kept)
        } else {
            storage.remove(&name)
        };
        done.map_err(|error| failed(&name, error))?;
    }
    Ok(())
}
