//! Files of all forms, files that were cut or altered, and what a lying number costs.

use std::collections::BTreeMap;

use repligo_proto::rdb::checksum;

use super::{Left, RdbInput};
use crate::cli::transfer::content::{Content, Kind};
use crate::cli::transfer::format::{Batch, Entry};
use crate::cli::transfer::{Halt, Input as _};

/// A file of version 11 with its checksum made right.
fn file(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"REDIS0011\xfa\x09redis-ver\x057.0.0\xfe\x00\xfb\x02\x01".to_vec();
    bytes.extend_from_slice(body);
    bytes.push(0xff);
    let sum = checksum(0, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn read_with(bytes: &[u8], only: Option<u32>) -> Result<(Vec<Batch>, Left), String> {
    read_all(bytes, only).map(|(batches, left, _)| (batches, left))
}

/// Batches, what is not taken, and libraries of functions.
type Whole = (Vec<Batch>, Left, Vec<Vec<u8>>);

fn read_all(bytes: &[u8], only: Option<u32>) -> Result<Whole, String> {
    let mut input = RdbInput::new(bytes, 1, only);
    input.values.now_ms = 1_000_000;
    let mut batches = Vec::new();
    loop {
        match input.next() {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return Ok((batches, input.left, input.libraries)),
            Err(Halt::Failed(failure)) => return Err(failure.to_string()),
            Err(Halt::Interrupted) => unreachable!("nobody interrupts"),
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<(u32, Entry)>, String> {
    let (batches, _) = read_with(bytes, None)?;
    let entries = batches
        .into_iter()
        .flat_map(|batch| batch.entries.into_iter().map(move |entry| (batch.db, entry)));
    Ok(entries.collect())
}

fn string(text: &[u8]) -> Vec<u8> {
    assert!(text.len() < 0x4000, "a length of two bytes");
    let mut out = (0x4000 | text.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(text);
    out
}

/// A listpack of short texts.
fn listpack(elements: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        assert!(element.len() < 64, "a length of six bits");
        body.push(0x80 | element.len() as u8);
        body.extend_from_slice(element.as_bytes());
        body.push(element.len() as u8 + 1);
    }
    let mut out = (body.len() as u32 + 7).to_le_bytes().to_vec();
    out.extend_from_slice(&(elements.len() as u16).to_le_bytes());
    out.extend_from_slice(&body);
    out.push(0xff);
    out
}

/// A ziplist of short texts.
fn ziplist(elements: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut before = 0;
    for element in elements {
        body.extend([before, element.len() as u8]);
        body.extend_from_slice(element.as_bytes());
        before = element.len() as u8 + 2;
    }
    let mut out = (body.len() as u32 + 11).to_le_bytes().to_vec();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(elements.len() as u16).to_le_bytes());
    out.extend_from_slice(&body);
    out.push(0xff);
    out
}

/// A key `k` of this type.
fn key(number: u8, value: &[&[u8]]) -> Vec<u8> {
    [&[number, 1, b'k'], value.concat().as_slice()].concat()
}

fn check(number: u8, value: &[&[u8]], (kind, parts): (Kind, &[&str])) {
    let entries = read(&file(&key(number, value))).unwrap_or_else(|error| panic!("type {number}: {error}"));
    let parts = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
    let content = Content { kind, parts };
    let expected = Entry {
        key: b"k".to_vec(),
        content,
        deadline_ms: None,
    };
    assert_eq!(entries, [(0, expected)], "type {number}");
}

#[test]
fn every_form_of_a_value_is_read() {
    check(0, &[b"\xc1\x00\x80"], (Kind::String, &["-32768"]));
    check(
        0,
        &[b"\xc3\x05\x0a\x00a\xe0\x00\x00"],
        (Kind::String, &["aaaaaaaaaa"]),
    );
    check(1, &[b"\x02", b"\x01a", b"\x00"], (Kind::List, &["a", ""]));
    check(2, &[b"\x02", b"\x01a", b"\xc0\x05"], (Kind::Set, &["a", "5"]));
    let scores = [&b"\x03"[..], b"\x01a\x030.5", b"\x01b\xff", b"\x01c\xfe"];
    check(
        3,
        &scores,
        (Kind::SortedSet, &["0.5", "a", "-inf", "b", "inf", "c"]),
    );
    check(4, &[b"\x01", b"\x01f", b"\x01v"], (Kind::Hash, &["f", "v"]));
    let scores = [
        b"\x02\x01a",
        &1e300f64.to_le_bytes()[..],
        b"\x01b",
        &0.1f64.to_le_bytes(),
    ];
    check(5, &scores, (Kind::SortedSet, &["1e300", "a", "0.1", "b"]));
    let zipmap = b"\x02\x01a\x02\x01xx!\x01b\xfe\x01\0\0\0\x00y\xff";
    check(9, &[&string(zipmap)], (Kind::Hash, &["a", "xx", "b", "y"]));
    let (two, listed) = (ziplist(&["a", "1"]), listpack(&["a", "1"]));
    check(10, &[&string(&two)], (Kind::List, &["a", "1"]));
    check(
        11,
        &[&string(b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0")],
        (Kind::Set, &["-1", "5"]),
    );
    check(12, &[&string(&two)], (Kind::SortedSet, &["1", "a"]));
    check(13, &[&string(&two)], (Kind::Hash, &["a", "1"]));
    check(
        14,
        &[b"\x02", &string(&two), &string(&two)],
        (Kind::List, &["a", "1", "a", "1"]),
    );
    check(16, &[&string(&listed)], (Kind::Hash, &["a", "1"]));
    check(17, &[&string(&listed)], (Kind::SortedSet, &["1", "a"]));
    check(
        18,
        &[b"\x02\x02", &string(&listed), b"\x01", &string(b"long")],
        (Kind::List, &["a", "1", "long"]),
    );
    check(20, &[&string(&listed)], (Kind::Set, &["a", "1"]));
}

#[test]
fn deadlines_of_fields_are_told_and_what_is_over_is_left_out() {
    let first = 2_000_000u64.to_le_bytes();
    let timed = [
        &first[..],
        b"\x03",
        b"\x00\x01a\x011",
        b"\x01\x01b\x012",
        b"\x05\x01c\x013",
    ];
    let (batches, left) = read_with(&file(&key(24, &timed)), None).expect("a hash");
    assert_eq!(batches[0].entries[0].content.parts.concat(), b"a1b2c3");
    assert_eq!(left.parts.values().copied().collect::<Vec<_>>(), [2]);
    let packed = listpack(&["a", "1", "0", "b", "2", "999999", "c", "3", "3000000"]);
    let (batches, left) = read_with(&file(&key(25, &[&first, &string(&packed)])), None).expect("a hash");
    assert_eq!(batches[0].entries[0].content.parts.concat(), b"a1c3");
    assert_eq!(left.parts.values().copied().collect::<Vec<_>>(), [1]);
    let over = string(&listpack(&["b", "2", "999999"]));
    let (batches, left) = read_with(&file(&key(25, &[&first, &over])), None).expect("a hash");
    assert!(
        batches.is_empty() && left.parts.contains_key("keys without elements"),
        "{left:?}"
    );
}

/// A stream with a deleted entry, one that has fields of its own, and a group that waits for two.
fn stream_value() -> Vec<u8> {
    let id = |ms: u64| [ms.to_be_bytes(), 0u64.to_be_bytes()].concat();
    let entries = listpack(&[
        "2", "1", "1", "f", "0", // the first one
        "2", "0", "0", "v", "4", // has its fields
        "3", "1", "0", "gone", "4", // was deleted
        "0", "2", "0", "1", "g", "w", "6",
    ]);
    let waiting = [id(100), 7u64.to_le_bytes().to_vec(), vec![1]].concat();
    let gone = [id(101), 8u64.to_le_bytes().to_vec(), vec![3]].concat();
    let parts: [&[u8]; 15] = [
        b"\x01",
        &string(&id(100)),
        &string(&entries),
        b"\x02",
        b"\x40\x67\x00",
        b"\x40\x64\x00",
        b"\x40\x65\x00\x04",
        b"\x01\x01g\x40\x65\x00\x02",
        b"\x02",
        &waiting,
        &gone,
        b"\x01\x01c",
        &[0; 16],
        b"\x02",
        &[id(100), id(101)].concat(),
    ];
    parts.concat()
}

#[test]
fn a_stream_is_read_with_its_groups() {
    let entries = read(&file(&key(21, &[&stream_value()]))).expect("a stream");
    let requests = crate::cli::transfer::stream::split(&entries[0].1.content.parts);
    let shown: Vec<String> = requests
        .into_iter()
        .map(|request| String::from_utf8_lossy(&request.join(&b' ')).into_owned())
        .collect();
    let expected = [
        "XADD 100-0 f v",
        "XADD 101-0  ",
        "XADD 102-0 g w",
        "XGROUP CREATE g 101-0 MKSTREAM ENTRIESREAD 2",
        "XGROUP CREATECONSUMER g c",
        "XCLAIM g c 0 100-0 TIME 7 RETRYCOUNT 1 FORCE JUSTID",
        "XCLAIM g c 0 101-0 TIME 8 RETRYCOUNT 3 FORCE JUSTID",
        "XTRIM MINID 100-0",
        "XDEL 101-0",
        "XSETID 103-0 ENTRIESADDED 4 MAXDELETEDID 101-0",
    ];
    assert_eq!(shown, expected);
}

/// A file with several of everything.
fn many() -> Vec<u8> {
    let hash = key(16, &[&string(&listpack(&["f", "v", "g", "w"]))]);
    let list = key(18, &[b"\x01\x02", &string(&listpack(&["a", "b"]))]);
    let scores = key(5, &[b"\x01\x01a", &0.1f64.to_le_bytes()]);
    let packed = key(0, &[b"\xc3\x05\x0a\x00a\xe0\x00\x00"]);
    let module = key(
        7,
        &[
            b"\x81",
            &[0x11; 8],
            b"\x02\x05\x05\x01x\x03\0\0\0\0\x04",
            &[0; 8],
            b"\x00",
        ],
    );
    let parts: [&[u8]; 12] = [
        b"\xf5",
        &string(b"#!lua name=l"),
        b"\xfc",
        &3_000_000u64.to_le_bytes(),
        &hash,
        b"\xf8\x05",
        &list,
        b"\xf9\x05",
        &scores,
        b"\xfe\x03",
        &[packed, module, key(21, &[&stream_value()])].concat(),
        b"\xfd\x05\x00\x00\x00\x00\x01s\x01v",
    ];
    file(&parts.concat())
}

#[test]
fn deadlines_databases_and_what_is_not_taken_are_told() {
    let (batches, left, libraries) = read_all(&many(), None).expect("whole");
    assert_eq!(libraries, [b"#!lua name=l"]);
    let shape: Vec<(u32, usize)> = batches
        .iter()
        .map(|batch| (batch.db, batch.entries.len()))
        .collect();
    assert_eq!(shape, [(0, 3), (3, 3)]);
    let deadlines: Vec<Option<u64>> = batches
        .iter()
        .flat_map(|batch| &batch.entries)
        .map(|entry| entry.deadline_ms)
        .collect();
    assert_eq!(deadlines, [Some(3_000_000), None, None, None, None, Some(5000)]);
    assert_eq!(
        left.other_types,
        BTreeMap::from([("module ERERERERE".to_string(), 1)])
    );
    assert_eq!(left.parts, BTreeMap::new());
    let (batches, left) = read_with(&many(), Some(3)).expect("whole");
    assert_eq!((batches.len(), batches[0].db, left.unasked), (1, 3, 3));
}

#[test]
fn a_file_that_was_cut_or_altered_is_refused_with_its_place() {
    let whole = many();
    for length in 0..whole.len() {
        let error = read(&whole[..length]).expect_err("cut");
        assert!(error.contains("at offset"), "{length}: {error}");
    }
    for at in 0..whole.len() - 8 {
        for bit in 0..8 {
            let mut altered = whole.clone();
            altered[at] ^= 1 << bit;
            let error = read(&altered).expect_err("altered");
            assert!(error.contains("at offset"), "{at}: {error}");
        }
    }
    assert!(
        read(&[whole.as_slice(), b"x"].concat())
            .expect_err("more")
            .contains("behind the end")
    );
    let other = read(b"VALKEY080\xff").expect_err("another format");
    assert!(other.contains("Valkey 9"), "{other}");
    let later = [b"REDIS0013".as_slice(), &whole[9..]].concat();
    assert!(read(&later).expect_err("a later version").contains("version 13"));
}

#[test]
fn whatever_is_altered_nothing_panics_and_memory_follows_what_is_there() {
    // A file without a checksum is read to its end whatever it says.
    let mut whole = many();
    let end = whole.len() - 8;
    whole[end..].fill(0);
    assert!(read(&whole).is_ok());
    let mut state = 1u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut taken = 0;
    for _ in 0..10_000 {
        let mut altered = whole.clone();
        for _ in 0..1 + next() % 4 {
            let at = next() % end;
            altered[at] = match next() % 3 {
                0 => next() as u8,
                1 => 0xff,
                _ => altered[at] ^ 1 << (next() % 8),
            };
        }
        if let Ok(entries) = read(&altered) {
            let bytes: usize = entries.iter().map(|(_, entry)| entry.bytes()).sum();
            assert!(bytes < 100 * whole.len(), "{bytes} bytes of {}", whole.len());
            taken += 1;
        }
    }
    assert!(taken > 100, "{taken} were values all the same");
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    use super::bytes::Bytes;
    for count in [1u64 << 20, 1 << 32, u64::MAX / 2] {
        assert!(Bytes::new(&b"abc"[..]).take(count).is_err());
    }
    let long = b"\x80\x20\x00\x00\x01".as_slice();
    for number in [0, 1, 2, 4, 5, 11, 16, 18, 21] {
        let lying = key(number, &[b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff"]);
        assert!(read(&file(&lying)).is_err(), "type {number}");
    }
    let error = read(&file(&key(0, &[long]))).expect_err("longer than a string may be");
    assert!(error.contains("512 MiB"), "{error}");
}

#[test]
fn a_block_has_its_number_whatever_has_expired() {
    // Half of the hashes have one field that expires at 2,000,000, the others one that does not.
    let hash = |number: u16| {
        let time: &[u8] = if number.is_multiple_of(2) {
            b"\x01"
        } else {
            b"\x00"
        };
        let key = [b"\x02", number.to_be_bytes().as_slice()].concat();
        let first_ms = 2_000_000u64.to_le_bytes();
        [b"\x18", key.as_slice(), &first_ms, b"\x01", time, b"\x01f\x01v"].concat()
    };
    let hashes: Vec<u8> = (0..2000).flat_map(hash).collect();
    let blocks = |now_ms| {
        let bytes = file(&hashes);
        let mut input = RdbInput::new(bytes.as_slice(), 1, None);
        input.values.now_ms = now_ms;
        let mut blocks = BTreeMap::new();
        while let Ok(Some(batch)) = input.next() {
            let keys = batch.entries.into_iter().map(|entry| entry.key);
            blocks.extend(keys.map(|key| (key, batch.block)));
        }
        blocks
    };
    let (before, after) = (blocks(1_000_000), blocks(3_000_000));
    assert_eq!((before.len(), after.len()), (2000, 1000));
    for (key, block) in after {
        assert_eq!(before[&key], block, "{key:?}");
    }
}

#[test]
fn the_database_in_which_the_stream_behind_a_file_begins_is_read() {
    for (value, expect) in [(&b"\xc0\x07"[..], 7), (b"\x0213", 13), (b"\xc0\xff", 0)] {
        let aux = [b"\xfa\x0erepl-stream-db", value].concat();
        let bytes = file(&aux);
        let mut input = RdbInput::new(bytes.as_slice(), 1, None);
        while let Ok(Some(_)) = input.next() {}
        assert_eq!(input.stream_db, expect, "{value:?}");
    }
}
