//! Frames: their layout, what is no frame, and the golden file, which holds one of each kind.

use proptest::prelude::*;

use super::*;

const HEADER: Header = Header {
    cluster_id: 0x0102,
    generation: 3,
    peer: 4,
    incarnation: 5,
    kind: Kind::CORE,
};

fn encoded(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, &HEADER, payload);
    out
}

#[test]
fn the_layout_is_fixed() {
    let bytes = encoded(b"hi");
    assert_eq!(bytes.len(), HEADER_BYTES + 2);
    assert_eq!(bytes[..12], *b"RPL\x02\x02\0\0\0\x02\0\0\0");
    assert_eq!(bytes[12..16], 0x410f_c86a_u32.to_le_bytes());
    assert_eq!(bytes[16..20], [2, 1, 0, 0]);
    assert_eq!([bytes[32], bytes[40], bytes[48]], [3, 4, 5]);
    assert_eq!(bytes[HEADER_BYTES..], *b"hi");
}

#[test]
fn a_frame_arrives_whole_or_not_at_all() {
    let mut bytes = encoded(b"payload");
    let end = bytes.len();
    for cut in 0..end {
        assert_eq!(decode(&bytes[..cut]), Ok(None));
        let missing = bytes_missing(&bytes[..cut]);
        assert_eq!(
            missing,
            if cut < HEADER_BYTES {
                HEADER_BYTES - cut
            } else {
                end - cut
            }
        );
    }
    bytes.extend_from_slice(&encoded(b""));
    let first = decode(&bytes).expect("valid").expect("complete");
    assert_eq!(first.header, HEADER);
    assert_eq!(&bytes[first.payload.clone()], b"payload");
    let second = decode(&bytes[first.encoded_bytes()..])
        .expect("valid")
        .expect("complete");
    assert!(second.payload.is_empty());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = encoded(b"payload");
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(decode(&wrong), Ok(Some(_))), "bit {bit}");
    }
}

/// Gives a frame the number of another shard, with a checksum that fits.
fn for_shard(mut bytes: Vec<u8>, shard: u16) -> Vec<u8> {
    bytes[SHARD_FIELD].copy_from_slice(&shard.to_le_bytes());
    let (header, payload) = bytes.split_at(HEADER_BYTES);
    let checksum = checksum(header.try_into().expect("a header"), payload);
    bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_frame_for_another_shard_is_refused_with_its_number() {
    assert!(matches!(decode(&for_shard(encoded(b"hi"), SHARD)), Ok(Some(_))));
    for shard in [1, 256, u16::MAX] {
        let refused = decode(&for_shard(encoded(b"hi"), shard)).expect_err("there is one shard");
        assert_eq!(refused, FrameError::OtherShard(shard));
        assert!(
            refused.to_string().contains(&format!("shard {shard},")),
            "{refused}"
        );
    }
}

/// Every kind of frame with its name, and what the golden file has it carry.
const GOLDEN: [(&str, Kind, &[u8]); 13] = [
    ("hello", Kind::HELLO, b"who speaks"),
    ("core", Kind::CORE, b""),
    ("refused", Kind::REFUSED, b"a sentence"),
    ("ping", Kind::PING, b"12345678"),
    ("pong", Kind::PONG, b"12345678"),
    ("forming", Kind::FORMING, b"0"),
    ("status", Kind::STATUS, b""),
    ("status-reply", Kind::STATUS_REPLY, b"{}"),
    ("goodbye", Kind::GOODBYE, b""),
    ("join", Kind::JOIN, b"n4"),
    ("join-reply", Kind::JOIN_REPLY, b"1"),
    ("published", Kind::PUBLISHED, b"messages"),
    ("subscribed", Kind::SUBSCRIBED, b"channels"),
];

#[test]
fn frames_are_those_of_the_golden_file() {
    let header_of = |kind| Header { kind, ..HEADER };
    let mut text = String::new();
    for (name, kind, payload) in GOLDEN {
        let mut bytes = Vec::new();
        encode(&mut bytes, &header_of(kind), payload);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{name} {hex}\n");
    }
    let golden = include_str!("../../tests/golden/frames.txt");
    assert!(
        golden == text,
        "tests/golden/frames.txt is not what is written now:\n{text}"
    );
    for (line, (_, kind, payload)) in golden.lines().zip(GOLDEN) {
        let (_, hex) = line.split_once(' ').expect("a name and bytes");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let frame = decode(&bytes).expect("valid").expect("complete");
        assert_eq!((frame.header, &bytes[frame.payload]), (header_of(kind), payload));
    }
}

#[test]
fn foreign_bytes_are_refused_as_soon_as_they_can_be_told() {
    assert_eq!(decode(b"*1\r\n"), Err(FrameError::NotAPeer));
    assert_eq!(decode(b"G"), Err(FrameError::NotAPeer));
    assert_eq!(decode(b"RPL\x01"), Err(FrameError::Version(1)));
    assert_eq!(
        decode(b"RPL\x02\x01\0\0\x04"),
        Err(FrameError::TooLarge((64 << 20) + 1))
    );
    assert_eq!(bytes_missing(b"*1\r\n"), 0);
}

proptest! {
    #[test]
    fn any_header_and_payload_survive(
        (cluster_id, generation, peer, incarnation, kind) in any::<(u128, u64, u64, u64, u8)>(),
        payload in any::<Vec<u8>>(),
    ) {
        let header = Header { cluster_id, generation, peer, incarnation, kind: Kind(kind) };
        let mut bytes = Vec::new();
        encode(&mut bytes, &header, &payload);
        let frame = decode(&bytes).expect("valid").expect("complete");
        prop_assert_eq!(frame.header, header);
        prop_assert_eq!(&bytes[frame.payload.clone()], &payload[..]);
        prop_assert_eq!(frame.encoded_bytes(), bytes.len());
    }

    #[test]
    fn any_bytes_are_no_frame(bytes in any::<Vec<u8>>()) {
        prop_assert!(!matches!(decode(&bytes), Ok(Some(_))));
        let _ = bytes_missing(&bytes);
    }
}
