//! Makes a log that was read fit for writing: what replay called the log becomes durable, what it did not
//! becomes unreadable. Runs after everything was judged and before `meta` says that a new run has begun.

use std::io::{self, IoSlice};

use super::error::DiskError;
use super::record::RECORD_HEADER_BYTES;
use super::replay::Log;
use super::storage::{Storage, StorageFile};
use super::wal::segment_name;

const STEP_BYTES: u64 = 1 << 20;

/// Repairs the last segment. Harmless when interrupted and begun again.
pub(super) fn repair(storage: &dyn Storage, log: &Log) -> Result<(), DiskError> {
    let name = segment_name(log.tail.header.sequence);
    let repair = || {
        let file = storage.open(&name)?;
        wipe(&*file, &log.stale)?;
        rewrite(&*file, log.synced_end, log.tail.end)?;
        file.sync()
    };
    repair().map_err(|error| DiskError::io("repair the end of", &storage.path(&name), error))
}

/// Zeros the record headers at these offsets, the last one first: stopped in the middle, the rest still
/// looks like one torn write and not like a hole before good records.
fn wipe(file: &dyn StorageFile, offsets: &[u64]) -> io::Result<()> {
    for offset in offsets.iter().rev() {
        file.write_at(&mut [IoSlice::new(&[0; RECORD_HEADER_BYTES])], *offset)?;
    }
    Ok(())
}

/// Writes a range again. After a sync that failed, the kernel takes the pages for clean though the disk does
/// not have them: another sync would succeed and do nothing.
fn rewrite(file: &dyn StorageFile, mut from: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; STEP_BYTES.min(end.saturating_sub(from)) as usize];
    while from < end {
        let step = buffer.len().min((end - from) as usize);
        let count = file.read_at(&mut buffer[..step], from)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&mut [IoSlice::new(&buffer[..count])], from)?;
        from += count as u64;
    }
    Ok(())
}
