//! Theorem: the bytes on disk are the ones that `docs/storage-format.md` describes, and directories written
//! by the first release of this format can still be read. `UPDATE=1` writes the golden files anew.
//!
//! The golden files are dumps with a field per line; the document contains them literally.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use repligo_core::contract::{Durability, HardState, LogEntry, Persist, SnapshotIo};

use super::fake::FakeDisk;
use super::{CLUSTER, append, entry, open, options, vote};

const BOOT: &str = "boot-1";

/// (bytes, meaning) of each field, in order.
type Layout = &'static [(usize, &'static str)];

const META: Layout = &[
    (8, "magic"),
    (4, "format"),
    (4, "CRC32C of everything from the payload length on"),
    (4, "payload length"),
    (1, "forming: 0 empty, 1 prepared, 2 formed"),
    (1, "durability: 1 os, 2 fsync"),
    (1, "clean mark: 1 set"),
    (1, "reserved, 0"),
    (16, "cluster id, 0 if empty"),
    (8, "generation"),
    (8, "peer"),
    (8, "incarnation"),
    (
        8,
        "position of the log's end at the clean stop, 0 without the mark",
    ),
    (2, "boot id: length"),
    (6, "boot id"),
    (2, "node name: length"),
    (2, "node name"),
    (16, "key of the directory"),
    (8, "number of this file in its file system"),
    (8, "when this file was made, nanoseconds since the epoch"),
    (4, "members: length"),
    (4, "members: version, index, next number, count"),
    (26, "member 1: number, name, address, key, flags"),
    (26, "member 2"),
    (26, "member 3"),
    (
        3,
        "pending, whom it replaces, voters of the outgoing configuration",
    ),
];

const SEGMENT_HEADER: Layout = &[
    (8, "magic"),
    (4, "format"),
    (4, "CRC32C of the rest of this header"),
    (8, "sequence"),
    (8, "start: log position of the first record"),
    (8, "size: bytes that the file may use"),
    (16, "cluster id"),
    (8, "index of the next entry where the segment begins"),
    (8, "term where the segment begins"),
    (8, "vote where the segment begins"),
    (8, "commit where the segment begins"),
    (8, "feature level that its records need"),
];

const RECORD: [(usize, &str); 7] = [
    (4, "CRC32C of sequence, offset and the rest of this header"),
    (4, "CRC32C of the payload"),
    (4, "payload length"),
    (
        1,
        "kind: 1 entries, 2 hard state, 3 truncate, 4 install, 5 synced",
    ),
    (1, "flags (1: the persist ends here)"),
    (2, "shard (0)"),
    (8, "position known to be synced"),
];

const RECORDS: &[Layout] = &[
    // Hard state.
    &RECORD,
    &[(8, "term"), (8, "vote"), (8, "commit")],
    // Two entries and a hard state in one persist.
    &RECORD,
    &[
        (8, "index of the first entry"),
        (4, "number of entries"),
        (4, "reserved, 0"),
    ],
    &[
        (8, "entry 1: term"),
        (4, "entry 1: length"),
        (1, "entry 1: kind"),
        (3, "reserved, 0"),
    ],
    &[
        (8, "entry 2: term"),
        (4, "entry 2: length"),
        (1, "entry 2: kind"),
        (3, "reserved, 0"),
    ],
    &[(5, "entry 2: data"), (3, "padding to a multiple of 8")],
    &RECORD,
    &[(8, "term"), (8, "vote"), (8, "commit")],
    // Entry 2 replaced.
    &RECORD,
    &[(8, "index from which on entries are removed")],
    &RECORD,
    &[
        (8, "index of the first entry"),
        (4, "number of entries"),
        (4, "reserved, 0"),
    ],
    &[
        (8, "entry 1: term"),
        (4, "entry 1: length"),
        (1, "entry 1: kind"),
        (3, "reserved, 0"),
    ],
    &[(3, "entry 1: data"), (5, "padding to a multiple of 8")],
    // Snapshot 9 installed.
    &RECORD,
    &[(8, "index of the snapshot after which the log restarts")],
    // What is synced.
    &RECORD,
];

const SNAPSHOT: Layout = &[
    (8, "magic"),
    (4, "format"),
    (4, "CRC32C of the rest of this header"),
    (16, "cluster id"),
    (8, "index of the last entry in it"),
    (8, "term of that entry"),
    (8, "feature level that its chunks need"),
    (4, "chunk 1: length"),
    (
        4,
        "chunk 1: CRC32C of the chunk's number (u64 from 0) and the chunk",
    ),
    (5, "chunk 1"),
    (4, "chunk 2: length"),
    (4, "chunk 2: CRC32C"),
    (3, "chunk 2"),
    (4, "footer mark in place of a length"),
    (4, "CRC32C of the rest of the footer"),
    (8, "number of chunks"),
    (8, "bytes of all chunks"),
    (4, "CRC32C of all chunks together"),
    (4, "reserved, 0"),
];

fn render(bytes: &[u8], mut offset: usize, layout: impl Iterator<Item = (usize, &'static str)>) -> String {
    let mut text = String::new();
    for (length, meaning) in layout {
        let field = &bytes[offset..offset + length];
        let hex: Vec<String> = field.iter().map(|byte| format!("{byte:02x}")).collect();
        for (line, hex) in hex.chunks(8).enumerate() {
            let meaning = if line == 0 { meaning } else { "" };
            let line = format!("{:04x}  {:23}  {meaning}", offset + 8 * line, hex.join(" "));
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
        offset += length;
    }
    text
}

/// The bytes of a dump, from the first line's offset on.
fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let offset = usize::from_str_radix(&line[..4], 16).unwrap();
        let hex = line[6..].get(..23).unwrap_or(&line[6..]);
        let field: Vec<u8> = hex
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        bytes.resize(offset, 0);
        bytes.extend(field);
    }
    bytes
}

/// A directory with one of everything.
fn write_directory() -> FakeDisk {
    let disk = FakeDisk::default();
    let (opened, _) = open(&disk, &options(Durability::Os, &["n1", "n2", "n3"]), BOOT).unwrap();
    let mut parts = opened.into_parts();
    let mut writer = parts.snapshot_writer();
    parts.wal.append(&[vote(7, 2, 0)]).unwrap();
    parts.wal.sync().unwrap();
    let entries = vec![
        entry(1, 7, ""),
        LogEntry {
            kind: 1,
            ..entry(2, 7, "hello")
        },
    ];
    let hard_state = Some(HardState {
        term: 7,
        vote: 2,
        commit: 1,
    });
    parts
        .wal
        .append(&[Persist {
            hard_state,
            ..append(entries)
        }])
        .unwrap();
    parts.wal.append(&[append(vec![entry(2, 8, "two")])]).unwrap();
    for piece in [
        SnapshotIo::Begin { index: 9, term: 8 },
        SnapshotIo::Chunk(Bytes::from_static(b"first")),
        SnapshotIo::Chunk(Bytes::from_static(b"end")),
        SnapshotIo::End {
            index: 9,
            drop_log_to: 9,
        },
    ] {
        writer.execute(piece).unwrap();
    }
    parts
        .wal
        .append(&[Persist {
            install: Some(9),
            ..Persist::default()
        }])
        .unwrap();
    parts.wal.sync().unwrap();
    parts.wal.mark_synced().unwrap();
    parts.wal.sync().unwrap();
    crate::disk::open::close(&*parts.storage, parts.meta, Some(parts.wal), None).unwrap();
    disk
}

fn dumps() -> [(&'static str, String); 4] {
    let disk = write_directory();
    let log = disk.read("wal-0000000000000001");
    let records = RECORDS.iter().flat_map(|layout| layout.iter().copied());
    let used = 4096
        + RECORDS
            .iter()
            .flat_map(|layout| layout.iter())
            .map(|(length, _)| length)
            .sum::<usize>();
    assert!(log[used..].iter().all(|byte| *byte == 0) && log.len() == super::SEGMENT as usize);
    let lengths = |layout: Layout| layout.iter().map(|(length, _)| length).sum::<usize>();
    assert_eq!(disk.read("meta").len(), lengths(META));
    assert_eq!(disk.read("snapshot").len(), lengths(SNAPSHOT));
    [
        ("meta", render(&disk.read("meta"), 0, META.iter().copied())),
        ("segment-header", render(&log, 0, SEGMENT_HEADER.iter().copied())),
        ("records", render(&log, 4096, records)),
        (
            "snapshot",
            render(&disk.read("snapshot"), 0, SNAPSHOT.iter().copied()),
        ),
    ]
}

fn golden_path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/disk/tests/golden")
        .join(format!("{name}.txt"))
}

fn golden(name: &str) -> String {
    std::fs::read_to_string(golden_path(name)).unwrap_or_default()
}

#[test]
fn the_bytes_are_those_of_the_golden_files() {
    for (name, dump) in dumps() {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(golden_path(name), &dump).unwrap();
        }
        assert!(
            golden(name) == dump,
            "golden/{name}.txt is not what is written now:\n{dump}"
        );
    }
}

#[test]
fn the_document_shows_the_golden_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/storage-format.md");
    let document = std::fs::read_to_string(path).unwrap();
    for (name, _) in dumps() {
        assert!(
            document.contains(&golden(name)),
            "docs/storage-format.md does not contain golden/{name}.txt"
        );
    }
}

#[test]
fn a_directory_of_golden_files_can_be_read() {
    let disk = golden_directory("");
    let (opened, recovered) = open(&disk, &options(Durability::Os, &["n1", "n2", "n3"]), BOOT).unwrap();
    let identity = opened.meta().identity().unwrap();
    assert_eq!((identity.cluster_id, identity.generation), (CLUSTER, 1));
    assert_eq!((identity.peer, identity.incarnation), (1, 2));
    assert_eq!(
        recovered.boot.hard_state,
        HardState {
            term: 8,
            vote: 0,
            commit: 9
        }
    );
    assert_eq!(
        recovered.boot.snapshot,
        Some((
            9,
            8,
            vec![Bytes::from_static(b"first"), Bytes::from_static(b"end")]
        ))
    );
    assert_eq!(recovered.boot.entries, []);
    assert_eq!(recovered.notes, Vec::<String>::new());
}

/// The files of a directory of golden files, of this format or, with a folder, of an earlier one.
fn golden_directory(folder: &str) -> FakeDisk {
    let disk = FakeDisk::default();
    let of = |name: &str| parse(&golden(&format!("{folder}{name}")));
    let mut log = of("segment-header");
    log.resize(4096, 0);
    log.extend_from_slice(&of("records")[4096..]);
    log.resize(super::SEGMENT as usize, 0);
    disk.replace("wal-0000000000000001", log);
    disk.replace("meta", of("meta"));
    disk.replace("snapshot", of("snapshot"));
    disk
}

/// What is refused with this text leaves the directory as it is.
fn refused(disk: &FakeDisk, words: &[&str]) {
    let names = disk.names();
    let refused = open(disk, &options(Durability::Os, &["n1", "n2", "n3"]), BOOT).err();
    let text = refused.expect("it is refused").to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
    assert_eq!(disk.names(), names);
}

#[test]
fn a_directory_of_an_earlier_format_is_refused_as_it_was_written() {
    for format in [2, 3] {
        let disk = golden_directory(&format!("format-{format}/"));
        let found = format!("storage format {format}");
        refused(&disk, &[&found, "reads format 4", "empty directories"]);
    }
}

#[test]
fn files_that_need_a_later_release_are_refused_with_its_feature_level() {
    let files = [("wal-0000000000000001", 88, 96), ("snapshot", 48, 56)];
    for (name, at, end) in files {
        let disk = write_directory();
        let mut bytes = disk.read(name);
        bytes[at..end].copy_from_slice(&99_u64.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[16..end]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        disk.replace(name, bytes);
        refused(&disk, &[name, "feature level 99", "the release that wrote it"]);
    }
}

#[test]
fn a_record_of_another_shard_is_refused_with_its_number() {
    let disk = write_directory();
    let name = "wal-0000000000000001";
    let mut bytes = disk.read(name);
    bytes[4096 + 14..4096 + 16].copy_from_slice(&3_u16.to_le_bytes());
    let place = [1_u64.to_le_bytes(), 4096_u64.to_le_bytes()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&place), &bytes[4096 + 4..4096 + 24]);
    bytes[4096..4096 + 4].copy_from_slice(&crc.to_le_bytes());
    disk.replace(name, bytes);
    refused(
        &disk,
        &[name, "shard 3", "byte 4096", "the release that wrote it"],
    );
}

#[test]
fn a_file_of_an_earlier_format_is_refused_with_what_to_do() {
    let files = ["meta", "wal-0000000000000001", "snapshot"];
    for (name, format) in files
        .into_iter()
        .flat_map(|name| [(name, 1_u32), (name, 2), (name, 3)])
    {
        let disk = write_directory();
        let mut bytes = disk.read(name);
        bytes[8..12].copy_from_slice(&format.to_le_bytes());
        disk.replace(name, bytes);
        let found = format!("storage format {format}");
        refused(
            &disk,
            &[name, &found, "reads format 4", "empty directories", "--data-dir"],
        );
    }
}
