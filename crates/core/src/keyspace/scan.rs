//! Walking over the keys of a database: KEYS, SCAN, RANDOMKEY. Negative rows are passed over.

use repligo_proto::glob;
use repligo_proto::reply::ReplyWriter;

use super::Keyspace;
use crate::table::EntryRef;

/// SCAN looks at no more than this many table cursors per entry that was asked for, so that a sparse
/// table cannot make one call long (Redis has the same bound).
const STEPS_PER_ENTRY: u64 = 10;
/// SCAN gives no more entries than about this in one call, whatever COUNT says: it is a hint, and the
/// client calls again.
const SCANNED_MAX: u64 = 4096;
/// RANDOMKEY draws this often before it takes the first key there is.
const DRAWS_MAX: usize = 64;

/// The arguments of SCAN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub cursor: u64,
    pub count: u64,
    pub pattern: Option<&'a [u8]>,
    pub kind: Option<&'a [u8]>,
}

impl Keyspace {
    pub(super) fn keys_matching(&self, db: u8, pattern: &[u8], reply: &mut ReplyWriter<'_>) {
        let mut found: Vec<&[u8]> = Vec::new();
        if let Some(database) = self.database(db) {
            for entry in database.table().iter() {
                if self.is_key(&entry) && matches(pattern, entry.key) {
                    found.push(entry.key);
                }
            }
        }
        reply.array(found.len());
        found.iter().for_each(|key| reply.bulk(key));
    }

    pub(super) fn scan(&self, db: u8, scan: Scan<'_>, reply: &mut ReplyWriter<'_>) {
        let mut found: Vec<&[u8]> = Vec::new();
        let mut cursor = scan.cursor;
        match self.database(db) {
            None => cursor = 0,
            Some(database) => {
                let mut seen = 0;
                let count = scan.count.min(SCANNED_MAX);
                for _ in 0..count.saturating_mul(STEPS_PER_ENTRY) {
                    cursor = database.table().scan(cursor, &mut |entry| {
                        seen += 1;
                        if self.is_key(&entry) && scan.accepts(&entry) {
                            found.push(entry.key);
                        }
                    });
                    if cursor == 0 || seen >= count {
                        break;
                    }
                }
            }
        }
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(cursor).as_bytes());
        reply.array(found.len());
        found.iter().for_each(|key| reply.bulk(key));
    }

    pub(super) fn random_key(&self, db: u8, reply: &mut ReplyWriter<'_>) {
        let Some(database) = self.database(db) else {
            return reply.null();
        };
        for _ in 0..DRAWS_MAX {
            let draw = next_draw(self.draws.get());
            self.draws.set(draw);
            if let Some(entry) = database.table().random(draw)
                && self.is_key(&entry)
            {
                return reply.bulk(entry.key);
            }
        }
        // There is none, or nearly everything is a negative row or has expired.
        match database.table().iter().find(|entry| self.is_key(entry)) {
            Some(entry) => reply.bulk(entry.key),
            None => reply.null(),
        }
    }
}

impl Scan<'_> {
    fn accepts(&self, entry: &EntryRef<'_>) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, entry.key))
            && self.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(b"string"))
    }
}

/// KEYS and SCAN take `*` for everything before they match, and Redis' matcher itself finds that an empty
/// text matches an empty pattern only.
pub(super) fn matches(pattern: &[u8], key: &[u8]) -> bool {
    match (pattern, key) {
        (b"*", _) => true,
        (_, []) => pattern.is_empty(),
        _ => glob::matches(pattern, key),
    }
}

/// SplitMix64's step: enough to spread draws.
fn next_draw(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27))
        .wrapping_mul(0x94d0_49bb_1331_11eb)
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
}
