//! Segment files of the log in the making: names, zero-filling ahead of the writer.

use std::io::IoSlice;
use std::sync::Arc;

use super::error::DiskError;
use super::record::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::storage::{Storage, StorageFile};
use super::wal::segment_name;

/// New files are zero-filled this far ahead at a time.
pub(super) const FILL_BYTES: u64 = 1 << 20;
static ZEROS: [u8; FILL_BYTES as usize] = [0; FILL_BYTES as usize];
/// A segment in the making.
pub(super) const NEW_SEGMENT_FILE: &str = "wal.new";

/// Makes a segment file, out of a free one if there is one; returns it with its length.
pub(super) fn make_segment(
    storage: &dyn Storage,
    header: &SegmentHeader,
    free: Option<String>,
) -> Result<(Arc<dyn StorageFile>, u64), DiskError> {
    let name = segment_name(header.sequence);
    let make = || {
        let (file, draft) = match &free {
            Some(free) => (storage.open(free)?, free.as_str()),
            None => (storage.create(NEW_SEGMENT_FILE)?, NEW_SEGMENT_FILE),
        };
        let filled = fill(&*file, file.len()?, SEGMENT_HEADER_BYTES, header.size)?;
        file.write_at(&mut [IoSlice::new(&header.encode())], 0)?;
        file.sync()?;
        storage.rename(draft, &name)?;
        storage.sync_dir()?;
        Ok((file, filled))
    };
    make().map_err(|error| DiskError::io("make the log segment", &storage.path(&name), error))
}

/// Extends a file with zeros to at least `end`, in large steps but not beyond `size`; returns its length.
pub(super) fn fill(file: &dyn StorageFile, mut filled: u64, end: u64, size: u64) -> std::io::Result<u64> {
    while filled < end {
        let step = FILL_BYTES.min(size.saturating_sub(filled)).max(1);
        file.write_at(&mut [IoSlice::new(&ZEROS[..step as usize])], filled)?;
        filled += step;
    }
    Ok(filled)
}
