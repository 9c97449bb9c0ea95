//! The audit log: who logged in, failed to, or changed something, one JSON object per line.
//!
//! No line has a value, a password or a hash. A thread of its own writes, so that the worker never waits for a disk;
//! what does not fit between them is counted, and the count is written when there is room again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::{Map, Value};

/// Lines that may wait to be written.
const WAITING_MAX: usize = 4096;
/// Characters of a text of a client.
const CHARS_MAX: usize = 256;

/// Where audit lines go; without a file, nowhere.
#[derive(Debug, Default)]
pub struct Audit {
    lines: Option<SyncSender<String>>,
    reopen: Arc<AtomicBool>,
    node: String,
    dropped: u64,
}

/// Something that is told.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What kind it is: `login`, `acl`, `config`, `members`.
    pub kind: &'static str,
    /// How it ended: `ok`, `refused`, `requested`.
    pub outcome: &'static str,
    /// As whom the client is logged in, or wanted to be.
    pub user: &'a [u8],
    /// The client's address.
    pub address: &'a str,
    /// The wall clock, microseconds since the epoch.
    pub wall_us: u64,
}

impl Audit {
    /// Appends to a file, made for its owner alone if there is none.
    ///
    /// # Errors
    /// The file cannot be opened, or the system gives no thread.
    pub fn open(path: &Path, node: &str) -> io::Result<Self> {
        let file = append(path)?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let reopen = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            path: path.to_owned(),
            file,
            reopen: Arc::clone(&reopen),
        };
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self {
            lines: Some(lines),
            reopen,
            node: node.to_owned(),
            dropped: 0,
        })
    }

    /// True if lines go somewhere.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Opens the file anew before the next line: whoever rotates it has moved it away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Writes a line, with more fields.
    pub fn tell(&mut self, event: Event<'_>, more: &[(&str, Value)]) {
        let Some(lines) = &self.lines else { return };
        let mut fields = Map::new();
        fields.insert("time".into(), time(event.wall_us).into());
        fields.insert("node".into(), self.node.as_str().into());
        fields.insert("event".into(), event.kind.into());
        fields.insert("outcome".into(), event.outcome.into());
        fields.insert("user".into(), shown(event.user));
        fields.insert("address".into(), event.address.into());
        for (name, value) in more {
            fields.insert((*name).to_owned(), value.clone());
        }
        if self.dropped > 0 {
            fields.insert("lines_dropped_before".into(), self.dropped.into());
        }
        match lines.try_send(Value::Object(fields).to_string()) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += 1,
        }
    }
}

/// A text of a client as a value, cut to a length that nobody needs more of.
pub fn shown(text: &[u8]) -> Value {
    let text = String::from_utf8_lossy(&text[..text.len().min(CHARS_MAX * 4)]);
    Value::String(text.chars().take(CHARS_MAX).collect())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

struct Writer {
    path: PathBuf,
    file: File,
    reopen: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<String>) {
        let mut failing = false;
        while let Ok(first) = waiting.recv() {
            let mut text = first;
            text.push('\n');
            while let Ok(next) = waiting.try_recv() {
                text.push_str(&next);
                text.push('\n');
            }
            if self.reopen.swap(false, Ordering::AcqRel) {
                match append(&self.path) {
                    Ok(file) => self.file = file,
                    Err(error) => tracing::error!(%error, "the audit log cannot be opened anew"),
                }
            }
            match self.file.write_all(text.as_bytes()) {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "the audit log cannot be written");
                }
                Err(_) => {}
            }
        }
    }
}

/// A time as RFC 3339 has it, to the millisecond.
pub fn time(wall_us: u64) -> String {
    let seconds = wall_us / 1_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, by eras of 400 years that begin in March (Hinnant).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        wall_us / 1000 % 1000
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn times_are_civil() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(time(seconds * 1_000_000), text);
        }
        assert_eq!(time(1_234_567), "1970-01-01T00:00:01.234Z");
    }

    fn until(path: &Path, lines: usize) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= lines {
                return text;
            }
            assert!(Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_line_is_an_object_in_a_file_of_its_owner_and_rotation_loses_none() {
        let path = std::env::temp_dir().join(format!("repligo-audit-{}", std::process::id()));
        let moved = path.with_extension("1");
        let mut audit = Audit::open(&path, "n1").expect("opened");
        let event = Event {
            kind: "login",
            outcome: "refused",
            user: b"a\"\n\xff",
            address: "10.0.0.1:5",
            wall_us: 1,
        };
        audit.tell(event, &[("client", 7.into())]);
        let text = until(&path, 1);
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&line["user"], &line["client"], &line["node"]),
            (&"a\"\n\u{fffd}".into(), &7.into(), &"n1".into())
        );
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::rename(&path, &moved).expect("moved");
        audit.reopen();
        audit.tell(event, &[]);
        assert_eq!(until(&path, 1).lines().count(), 1);
        for path in [path, moved] {
            std::fs::remove_file(path).expect("removed");
        }
    }
}
