//! Long values that are no longer in use, and are given back to the system in pieces.
//!
//! To free half a gigabyte takes tens of milliseconds, nearly all of them in the system, which has to take back each
//! page. So a long value that goes is cut shorter and shorter.

use std::sync::Arc;

/// Shorter ones are freed at once.
const LONG_BYTES: usize = 1 << 20;

/// The values, and how much memory they still have.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    values: Vec<Vec<u8>>,
    bytes: usize,
}

impl Leaving {
    /// A value is used no more, unless somebody shares it.
    pub fn push(&mut self, value: Arc<Vec<u8>>) {
        if value.capacity() > LONG_BYTES
            && let Some(value) = Arc::into_inner(value)
        {
            self.push_buffer(value);
        }
    }

    /// A buffer is used no more.
    pub fn push_buffer(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > LONG_BYTES {
            self.bytes += buffer.capacity();
            self.values.push(buffer);
        }
    }

    /// Bytes that are still to be freed.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frees about so many bytes.
    pub fn release(&mut self, bytes: usize) {
        let end = self.bytes.saturating_sub(bytes);
        while self.bytes > end
            && let Some(value) = self.values.last_mut()
        {
            let before = value.capacity();
            let kept = before.saturating_sub((self.bytes - end).max(LONG_BYTES));
            // The system takes back the end of a block where it lies.
            value.truncate(kept);
            value.shrink_to(kept);
            let after = value.capacity();
            self.bytes -= before - after;
            if kept < LONG_BYTES || after == before {
                self.values.pop();
                self.bytes -= after;
            }
        }
    }
}
