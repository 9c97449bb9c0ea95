//! Writes an export.

use std::io::Write;

use repligo_proto::resp::encode_request;

use super::{BLOCK_BYTES, BLOCK_ENTRIES, Entry, LIBRARIES_VERSION, MAGIC, VERSION, line};
use crate::cli::transfer::content::{Kind, write_piece};

/// Collects entries into blocks. What was not finished is no export: a reader refuses it.
pub struct Writer<W: Write> {
    out: W,
    body: Vec<u8>,
    db: u32,
    block_entries: usize,
    blocks: u64,
    entries: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header, and the libraries of functions where there are any.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn new(out: W, created_ms: u64, libraries: &[Vec<u8>]) -> std::io::Result<Writer<W>> {
        let mut writer = Writer {
            out,
            body: Vec::new(),
            db: 0,
            block_entries: 0,
            blocks: 0,
            entries: 0,
            bytes: 0,
        };
        let version = if libraries.is_empty() {
            VERSION
        } else {
            LIBRARIES_VERSION
        };
        let header = line(&format!("{MAGIC} version={version} created-ms={created_ms}"), &[]);
        writer.put(&header)?;
        if !libraries.is_empty() {
            writer.put_libraries(libraries)?;
        }
        Ok(writer)
    }

    fn put_libraries(&mut self, libraries: &[Vec<u8>]) -> std::io::Result<()> {
        let mut body = Vec::new();
        for code in libraries {
            encode_request(&mut body, &[b"FUNCTION".as_slice(), b"LOAD", b"REPLACE", code]);
        }
        let text = format!("libraries={} bytes={}", libraries.len(), body.len());
        self.put(&line(&text, &body))?;
        self.put(&body)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn add(&mut self, db: u32, entry: &Entry) -> std::io::Result<()> {
        if self.db != db || self.body.len() >= BLOCK_BYTES || self.block_entries >= BLOCK_ENTRIES {
            self.close_block()?;
        }
        if self.block_entries == 0 {
            self.db = db;
            encode_request(&mut self.body, &["SELECT", &db.to_string()]);
        }
        self.put_entry(entry);
        self.block_entries += 1;
        self.entries += 1;
        Ok(())
    }

    fn put_entry(&mut self, entry: &Entry) {
        let (key, kind, out) = (entry.key.as_slice(), entry.content.kind, &mut self.body);
        let mut digits = itoa::Buffer::new();
        let deadline = entry.deadline_ms.map(|ms| digits.format(ms).as_bytes());
        if kind == Kind::String {
            let mut words = vec![b"SET".as_slice(), key, &entry.content.parts[0]];
            words.extend(
                deadline
                    .iter()
                    .flat_map(|deadline| [b"PXAT".as_slice(), deadline]),
            );
            encode_request(out, &words);
            return;
        }
        encode_request(out, &[b"DEL".as_slice(), key]);
        for piece in entry.content.pieces() {
            for request in write_piece(kind, key, piece) {
                encode_request(out, &request);
            }
        }
        if let Some(deadline) = deadline {
            encode_request(out, &[b"PEXPIREAT".as_slice(), key, deadline]);
        }
    }

    fn close_block(&mut self) -> std::io::Result<()> {
        if self.block_entries == 0 {
            return Ok(());
        }
        self.blocks += 1;
        let text = format!(
            "block={} db={} entries={} bytes={}",
            self.blocks,
            self.db,
            self.block_entries,
            self.body.len()
        );
        let mut body = std::mem::take(&mut self.body);
        self.put(&line(&text, &body))?;
        self.put(&body)?;
        body.clear();
        // A block with a long value leaves a long buffer behind.
        body.shrink_to(4 * BLOCK_BYTES);
        self.body = body;
        self.block_entries = 0;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes the last block and the end, and returns the output and how many bytes it got.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(mut self) -> std::io::Result<(W, u64)> {
        self.close_block()?;
        let end = line(
            &format!("end blocks={} entries={}", self.blocks, self.entries),
            &[],
        );
        self.put(&end)?;
        self.out.flush()?;
        Ok((self.out, self.bytes))
    }
}
