//! The format: what goes in comes out, and no changed byte goes unnoticed.

use super::{BLOCK_BYTES, Batch, Entry, Reader, Writer};
use crate::cli::failure::Failure;
use crate::cli::transfer::content::{Content, Kind};

fn entry(key: &[u8], value: &[u8], deadline_ms: Option<u64>) -> Entry {
    Entry {
        key: key.to_vec(),
        content: Content::string(value.to_vec()),
        deadline_ms,
    }
}

fn write(entries: &[(u32, Entry)]) -> Vec<u8> {
    write_with(&[], entries)
}

fn write_with(libraries: &[Vec<u8>], entries: &[(u32, Entry)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), 1_700_000_000_000, libraries).expect("memory");
    for (db, entry) in entries {
        writer.add(*db, entry).expect("memory");
    }
    let (bytes, count) = writer.finish().expect("memory");
    assert_eq!(bytes.len() as u64, count);
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Batch>, Failure> {
    let mut reader = Reader::new(bytes);
    let mut batches = Vec::new();
    while let Some(batch) = reader.next()? {
        batches.push(batch);
    }
    Ok(batches)
}

fn flat(batches: Vec<Batch>) -> Vec<(u32, Entry)> {
    batches
        .into_iter()
        .flat_map(|batch| batch.entries.into_iter().map(move |entry| (batch.db, entry)))
        .collect()
}

fn collection(key: &[u8], kind: Kind, parts: &[&[u8]], deadline_ms: Option<u64>) -> Entry {
    Entry {
        key: key.to_vec(),
        content: Content {
            kind,
            parts: parts.iter().map(|part| part.to_vec()).collect(),
        },
        deadline_ms,
    }
}

fn few() -> Vec<(u32, Entry)> {
    vec![
        (0, entry(b"a", b"1", None)),
        (0, entry(b"\r\n*\0$", b"\xff\r\n", Some(1_800_000_000_123))),
        (3, entry(b"", b"", Some(i64::MAX as u64))),
        (3, collection(b"h", Kind::Hash, &[b"f", b"", b"", b"\r\n"], None)),
        (3, collection(b"l", Kind::List, &[b"1", b"", b"1"], Some(1))),
        (3, collection(b"", Kind::Set, &[b"PEXPIREAT"], Some(2))),
        (15, collection(b"a", Kind::List, &[b"x"], None)),
        (15, entry(b"a", b"3", None)),
    ]
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(flat(read(&write(&few())).expect("whole")), few());
    assert_eq!(read(&write(&[])).expect("whole"), []);
    let many: Vec<_> = (0..10_000u32)
        .map(|number| {
            let key = number.to_be_bytes();
            (number / 4000, entry(&key, &key.repeat(100), None))
        })
        .collect();
    let batches = read(&write(&many)).expect("whole");
    assert!(batches.len() > 4, "{} blocks", batches.len());
    assert!(
        batches
            .iter()
            .all(|batch| batch.entries.iter().map(Entry::bytes).sum::<usize>() <= BLOCK_BYTES + 404)
    );
    assert_eq!(flat(batches), many);
}

#[test]
fn libraries_of_functions_stand_in_front_and_no_changed_byte_of_them_goes_unnoticed() {
    let libraries = [b"#!lua name=l\nreturn 1".to_vec(), b"#!lua name=\0\r\n".to_vec()];
    let bytes = write_with(&libraries, &few());
    let mut reader = Reader::new(bytes.as_slice());
    assert_eq!(reader.libraries().expect("whole"), libraries);
    assert_eq!(reader.libraries().expect("read once"), libraries);
    assert_eq!(flat(read(&bytes).expect("whole")), few());
    assert_eq!(read(&write_with(&libraries, &[])).expect("whole"), []);
    let is_without = |bytes: &[u8]| Reader::new(bytes).libraries().map(<[Vec<u8>]>::len).ok() == Some(0);
    assert!(is_without(&write(&few())), "a file without libraries has none");
    let end = bytes
        .windows(6)
        .position(|six| six == b"block=")
        .expect("a block");
    for at in 0..end {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(read(&changed).is_err(), "byte {at}");
        assert!(read(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_collection_of_any_size_is_one_entry() {
    for kind in [Kind::Hash, Kind::List, Kind::Set, Kind::SortedSet] {
        let parts: Vec<Vec<u8>> = (0..20_000u32)
            .map(|number| number.to_be_bytes().repeat(1 + number as usize % 50))
            .collect();
        let long = vec![b'x'; 3 * BLOCK_BYTES];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).chain([&long[..], b""]).collect();
        let all = [
            (0, collection(b"large", kind, &parts, Some(5))),
            (0, collection(b"large", kind, &parts, None)),
        ];
        assert_eq!(flat(read(&write(&all)).expect("whole")), all);
    }
}

#[test]
fn a_file_of_version_1_is_read() {
    let bytes = b"*2\r\n$4\r\nECHO\r\n$65\r\nrepligo-export version=1 created-ms=1700000000000 crc32c=\
        976c5364\r\n*2\r\n$4\r\nECHO\r\n$48\r\nblock=1 db=0 entries=2 bytes=113 crc32c=45fc5252\r\n\
        *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n\
        *5\r\n$3\r\nSET\r\n$5\r\n\r\n*\0$\r\n$3\r\n\xff\r\n\r\n$4\r\nPXAT\r\n$13\r\n1800000000123\r\n\
        *2\r\n$4\r\nECHO\r\n$38\r\nend blocks=1 entries=2 crc32c=bd0da4e2\r\n";
    assert_eq!(flat(read(bytes).expect("whole")), few()[..2]);
}

/// A file of three entries with this first line.
fn golden(header: &str) -> Vec<u8> {
    let header = repligo_proto::resp::request(&["ECHO", header]);
    let rest = b"*2\r\n$4\r\nECHO\r\n$48\r\nblock=1 db=0 entries=3 bytes=211 crc32c=76a9b6c9\r\n\
        *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n\
        *5\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n$4\r\nPXAT\r\n$1\r\n7\r\n\
        *2\r\n$3\r\nDEL\r\n$1\r\nl\r\n*4\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$1\r\nx\r\n$1\r\ny\r\n\
        *3\r\n$9\r\nPEXPIREAT\r\n$1\r\nl\r\n$1\r\n8\r\n\
        *2\r\n$3\r\nDEL\r\n$1\r\nh\r\n*4\r\n$4\r\nHSET\r\n$1\r\nh\r\n$1\r\nf\r\n$1\r\nv\r\n\
        *2\r\n$4\r\nECHO\r\n$38\r\nend blocks=1 entries=3 crc32c=493372aa\r\n";
    [header.as_slice(), rest].concat()
}

#[test]
fn the_bytes_of_a_file_stay_as_they_are_and_version_2_is_read() {
    let entries = [
        (0, entry(b"a", b"1", Some(7))),
        (0, collection(b"l", Kind::List, &[b"x", b"y"], Some(8))),
        (0, collection(b"h", Kind::Hash, &[b"f", b"v"], None)),
    ];
    let bytes = write(&entries);
    let expected = golden("repligo-export version=3 created-ms=1700000000000 crc32c=6a8544c6");
    assert_eq!(
        bytes.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    let earlier = golden("repligo-export version=2 created-ms=1700000000000 crc32c=1471cf17");
    assert_eq!(flat(read(&earlier).expect("whole")), entries);
}

#[test]
fn a_stream_is_one_entry_and_is_whole_or_refused() {
    let words: [&[u8]; 16] = [
        b"4",
        b"XADD",
        b"1-1",
        b"f",
        b"XSETID",
        b"7",
        b"XGROUP",
        b"CREATE",
        b"g",
        b"0",
        b"MKSTREAM",
        b"ENTRIESREAD",
        b"0",
        b"2",
        b"XSETID",
        b"1-1",
    ];
    let stream = |count| [(0, collection(b"s", Kind::Stream, &words[..count], Some(9)))];
    assert_eq!(flat(read(&write(&stream(16))).expect("whole")), stream(16));
    let error = read(&write(&stream(13))).expect_err("it has no end").to_string();
    assert!(error.contains("something else than it says"), "{error}");
    // A field that is XSETID is no end.
    assert!(read(&write(&stream(5))).is_err());
}

#[test]
fn a_file_that_was_cut_is_refused_wherever_it_was_cut() {
    let bytes = write(&few());
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).expect_err("cut").to_string();
        assert!(error.contains("do:"), "{length}: {error}");
    }
}

#[test]
fn no_changed_byte_goes_unnoticed() {
    let bytes = write(&few());
    for position in 0..bytes.len() {
        for change in [1u8, 0x20, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[position] ^= change;
            let read = read(&changed);
            assert!(
                read.is_err(),
                "byte {position} ^ {change:#x} is accepted: {read:?}"
            );
        }
    }
}

#[test]
fn blocks_cannot_be_left_out_swapped_or_added() {
    let two = |values: [&[u8]; 2]| {
        write(&[
            (0, entry(b"a", values[0], None)),
            (1, entry(b"b", values[1], None)),
        ])
    };
    let bytes = two([b"1", b"2"]);
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(b"*2\r\n$4\r\nECHO"))
        .collect();
    let [_, first, second, end] = starts[..] else {
        panic!("{starts:?}")
    };
    let joined = |parts: &[&[u8]]| read(&parts.concat()).map_err(|error| error.to_string());
    let (header, one, other, end) = (
        &bytes[..first],
        &bytes[first..second],
        &bytes[second..end],
        &bytes[end..],
    );
    assert!(joined(&[header, one, other, end]).is_ok());
    for parts in [
        &[header, other, end][..],
        &[header, one, end],
        &[header, other, one, end],
        &[header, one, one, other, end],
        &[header, one, other, end, end],
        &[header, one, other, end, b"\n"],
        &[header, one, other],
        &[one, other, end],
    ] {
        let error = joined(parts).expect_err("refused");
        assert!(error.contains("block") || error.contains("no export"), "{error}");
    }
}

/// A file with one block that says and holds what is given, all checksums right.
fn forged(text: &str, body: &[u8]) -> Vec<u8> {
    forged_as(super::VERSION, text, body)
}

fn forged_as(version: u32, text: &str, body: &[u8]) -> Vec<u8> {
    let header = super::line(&format!("repligo-export version={version} created-ms=1"), &[]);
    let end = super::line("end blocks=1 entries=1", &[]);
    [header, super::line(text, body), body.to_vec(), end].concat()
}

#[test]
fn a_block_holds_entries_of_its_database_and_nothing_else() {
    let select = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".as_slice();
    let set = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".as_slice();
    let check = |parts: &[&[u8]]| {
        let body = parts.concat();
        let text = format!("block=1 db=0 entries=1 bytes={}", body.len());
        read(&forged(&text, &body)).map_err(|error| error.to_string())
    };
    assert_eq!(
        check(&[select, set]).expect("as written")[0].entries,
        [entry(b"a", b"1", None)]
    );
    let others: [&[&[u8]]; 12] = [
        &[set],
        &[select, select, set],
        &[b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n", set],
        &[select, set, b"*1\r\n$8\r\nFLUSHALL\r\n"],
        &[select, set, b"FLUSHALL\r\n"],
        &[select, set, set],
        &[select, b"*4\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nNX\r\n"],
        &[
            select,
            b"*5\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n$4\r\nPXAT\r\n$1\r\n0\r\n",
        ],
        &[
            select,
            b"*5\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n$4\r\nPXAT\r\n$20\r\n18446744073709551615\r\n",
        ],
        &[select, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1"],
        &[select, set, b"*0\r\n"],
        &[select, b"*-1\r\n", set],
    ];
    for parts in others {
        let error = check(parts).expect_err("refused");
        assert!(error.contains("something else than it says"), "{error}");
    }
}

#[test]
fn a_collection_is_whole_and_of_one_type() {
    let request = |words: &[&str]| repligo_proto::resp::request(words);
    let check = |version: u32, requests: &[&[&str]]| {
        let parts = requests.iter().map(|words| request(words));
        let body = [vec![request(&["SELECT", "0"])], parts.collect()]
            .concat()
            .concat();
        let text = format!("block=1 db=0 entries=1 bytes={}", body.len());
        read(&forged_as(version, &text, &body)).map(flat)
    };
    let list: &[&[&str]] = &[&["DEL", "k"], &["RPUSH", "k", "a"], &["RPUSH", "k", "b"]];
    let expected = collection(b"k", Kind::List, &[b"a", b"b"], None);
    assert_eq!(check(2, list).expect("as written"), [(0, expected)]);
    assert!(check(1, list).is_err(), "version 1 has strings only");
    let refused: [&[&[&str]]; 14] = [
        &[&["DEL", "k"]],
        &[&["RPUSH", "k", "a"]],
        &[&["DEL", "k"], &["RPUSH", "other", "a"]],
        &[&["DEL", "k"], &["RPUSH", "k"]],
        &[&["DEL", "k"], &["HSET", "k", "f"]],
        &[&["DEL", "k"], &["RPUSH", "k", "a"], &["SADD", "k", "b"]],
        &[&["DEL", "k"], &["PEXPIREAT", "k", "5"]],
        &[&["DEL", "k"], &["DEL", "k"], &["RPUSH", "k", "a"]],
        &[&["DEL", "k"], &["LPUSH", "k", "a"]],
        &[&["DEL", "k"], &["SET", "k", "a"]],
        &[&["SET", "k", "a"], &["PEXPIREAT", "k", "5"]],
        &[&["DEL", "k"], &["RPUSH", "k", "a"], &["PEXPIREAT", "k", "0"]],
        &[&["DEL", "k"], &["RPUSH", "k", "a"], &["PEXPIREAT", "other", "5"]],
        &[
            &["DEL", "k"],
            &["RPUSH", "k", "a"],
            &["PEXPIREAT", "k", "5"],
            &["RPUSH", "k", "b"],
        ],
    ];
    for requests in refused {
        let error = check(2, requests).expect_err("refused").to_string();
        assert!(
            error.contains("something else than it says"),
            "{requests:?}: {error}"
        );
    }
}

#[test]
fn claimed_sizes_take_no_memory() {
    for text in [
        "block=1 db=0 entries=1 bytes=1073741824",
        "block=1 db=0 entries=18446744073709551615 bytes=64",
        "block=1 db=0 entries=1 bytes=18446744073709551615",
        "block=1 db=4294967296 entries=1 bytes=64",
        "block=1 db=0 entries=0 bytes=0",
        "block=1 db=0 bytes=64",
        "block=-1 db=0 entries=1 bytes=64",
        "block=1 db=0 entries=1 bytes=99999999999999999999999",
    ] {
        let error = read(&forged(text, &[b'x'; 64])).expect_err("refused").to_string();
        assert!(error.contains("block 1, at offset 74"), "{text}: {error}");
    }
}

#[test]
fn other_files_and_other_versions_are_told_apart() {
    let check = |bytes: &[u8], part: &str| {
        let error = read(bytes).expect_err("refused").to_string();
        assert!(error.contains(part), "{error}");
    };
    check(b"", "it is empty");
    check(b"REDIS0011\xfa", "no export of repligo");
    check(b"RPLGBKUP\x01\0\0\0", "repligo restore");
    check(
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n",
        "no export of repligo",
    );
    check(&[b'*'; 5000], "no export of repligo");
    check(
        &super::line("repligo-export version=5 created-ms=1", &[]),
        "version 5",
    );
    check(&super::line("repligo-export created-ms=1", &[]), "no version");
}
