//! Messages' contents at random: numbers near and far from what is plausible, and ops of every kind.

use std::borrow::Cow;

use bytes::Bytes;
use repligo_core::acl::{Actor, UserChange};
use repligo_core::codec::{put_bytes, put_varint};
use repligo_core::command::Command;
use repligo_core::contract::HashSeed;
use repligo_core::limits::POSITION_MAX;
use repligo_core::op::{Op, TransactionBuffer, Victim, VictimsBuffer, Watched, put_actor};
use repligo_core::origin::{
    Fill, Health, Intent, IntentEffect, IntentKind, Invalidate, LaneId, OriginOp, Raise, Resolved,
};

use super::{LAST, TERM};

/// First byte of the op that names a row of the command table.
const CALL: u8 = 0x7f;
/// No row has this number or a higher one.
const CALLS_END: u64 = 512;
/// First bytes of commands in the log. The ops of other kinds follow.
const COMMANDS: [u8; 31] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11,
    0x12, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, CALL,
];
/// First bytes of all ops.
pub const TAGS: [u8; 43] = {
    let mut tags = [0; 43];
    let mut at = 0;
    while at < 31 {
        tags[at] = COMMANDS[at];
        at += 1;
    }
    let others = [
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95,
    ];
    while at < 43 {
        tags[at] = others[at - 31];
        at += 1;
    }
    tags
};

/// The bytes of an op in the log.
pub fn logged(op: Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    op.encode(&mut bytes);
    bytes
}

/// The bytes of an op of the origin in the log.
pub fn logged_by_origin(op: &OriginOp<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    op.encode(&mut bytes);
    bytes
}

/// A small generator: the same messages on every run.
pub struct Chance(pub u64);

impl Chance {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    pub fn number(&mut self) -> u64 {
        let near = [
            0,
            1,
            2,
            3,
            4,
            TERM,
            TERM + 1,
            7,
            8,
            9,
            LAST,
            LAST + 1,
            LAST + 2,
            20,
        ];
        let far = [1 << 33, POSITION_MAX, POSITION_MAX + 1, u64::MAX - 1, u64::MAX];
        match self.below(8) {
            0 => far[self.below(far.len() as u64) as usize],
            1 => self.draw() >> self.below(64),
            _ => near[self.below(near.len() as u64) as usize],
        }
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn key(&mut self) -> &'static [u8] {
        self.one_of(&[b"k", b"l", b"7", b"", b"row:1", b"row:2", b"row:3", b"row:"])
    }

    /// Any op that decodes, of the kind with this first byte: fields are drawn until they are one.
    fn command(&mut self, tag: u8) -> Vec<u8> {
        for _ in 0..2_000 {
            let mut bytes = vec![tag];
            bytes.push(self.one_of(&[0, 0, 0, 1, 15]));
            if tag == CALL {
                put_varint(&mut bytes, self.below(CALLS_END));
            }
            for _ in 0..self.below(6) {
                match self.below(4) {
                    0 => bytes.push(self.below(9) as u8),
                    1 => put_varint(&mut bytes, self.number()),
                    2 => {
                        let words = self.below(4);
                        put_varint(&mut bytes, words);
                        (0..words).for_each(|_| put_bytes(&mut bytes, self.key()));
                    }
                    _ => put_bytes(&mut bytes, self.key()),
                }
            }
            let mut rest = &bytes[..];
            if Op::decode(&mut rest).is_ok() {
                let used = bytes.len() - rest.len();
                bytes.truncate(used);
                return bytes;
            }
        }
        logged(Op::Time)
    }

    fn lane(&mut self) -> LaneId {
        LaneId {
            keyspace: self.one_of(&[0, 0, 0, 1, u16::MAX]),
            lane: self.one_of(&[0, 0, 1, 1, 2, u16::MAX]),
        }
    }

    fn row(&mut self) -> Option<Bytes> {
        self.one_of(&[None, Some(&b"v"[..]), Some(b"")])
            .map(Bytes::from_static)
    }

    fn of_origin(&mut self, kind: u8) -> Vec<u8> {
        let (lane, keyspace) = (self.lane(), self.one_of(&[0, 0, 0, 1, u16::MAX]));
        let (generation, upto) = (self.number(), self.number());
        let key = self.key();
        logged_by_origin(&match kind {
            0x90 => OriginOp::Intent(Intent {
                lane,
                kind: self.one_of(&[IntentKind::Store, IntentKind::Delete]),
                effects: (0..1 + self.below(3))
                    .map(|_| IntentEffect {
                        key: self.key(),
                        value: self.row().map(|row| Cow::Owned(row.to_vec())),
                    })
                    .collect(),
            }),
            0x91 => OriginOp::Resolved(Resolved {
                lane,
                generation: self.one_of(&[0, 1, generation]),
                upto,
                rejects: (1..1 + self.below(3))
                    .map(|sequence| (sequence, Bytes::from_static(b"ERR no")))
                    .collect(),
                canonical: (0..self.below(3))
                    .map(|_| (Bytes::from_static(self.key()), self.row()))
                    .collect(),
                forget: self.below(2) == 0,
            }),
            0x92 => OriginOp::Fill(Fill {
                keyspace,
                key: Bytes::from_static(key),
                value: self.row(),
                invalidations: self.number(),
            }),
            0x93 => OriginOp::Health(Health {
                keyspace,
                down: self.one_of(&[None, Some("ORIGINDOWN")]).map(str::to_owned),
            }),
            0x94 => OriginOp::Raise(Raise {
                lane,
                generation,
                applied: upto,
            }),
            _ => OriginOp::Invalidate(Invalidate {
                rows: (0..self.below(3)).map(|_| (keyspace, self.key())).collect(),
            }),
        })
    }

    /// An op of the kind with this first byte.
    fn op(&mut self, tag: u8) -> Vec<u8> {
        match tag {
            ..0x80 => self.command(tag),
            0x80 => logged(Op::Time),
            0x81 => {
                let mut buffer = TransactionBuffer::default();
                for _ in 0..self.below(3) {
                    buffer.watch(Watched {
                        db: 0,
                        key: self.key(),
                        version: self.one_of(&[0, 0, 1]),
                    });
                }
                for _ in 0..self.below(5) {
                    let tag = self.one_of(&COMMANDS);
                    let bytes = self.command(tag);
                    match Command::decode(&mut &bytes[..]) {
                        Ok(command) => buffer.push(&command),
                        Err(_) => buffer.push_local(),
                    }
                }
                logged(Op::Transaction(buffer.transaction()))
            }
            0x82 => {
                let mut buffer = VictimsBuffer::default();
                for _ in 0..self.below(4) {
                    buffer.push(Victim {
                        db: self.one_of(&[0, 0, 15]),
                        key: self.key(),
                        version: self.number(),
                    });
                }
                logged(Op::Evict(buffer.victims()))
            }
            0x83 => logged(Op::MemoryFull),
            0x84 => logged(Op::HashSeed(HashSeed::from_number(self.below(3)))),
            0x85 => self.of_users(),
            _ => self.of_origin(tag),
        }
    }

    fn of_users(&mut self) -> Vec<u8> {
        let names: [&[u8]; 4] = [b"default", b"u", b"", b"a b"];
        let rules: [&[u8]; 8] = [
            b"on",
            b"-@all",
            b"+get",
            b"~k",
            b"(+set ~k)",
            b"reset",
            b"#0",
            b"\xff",
        ];
        let change = if self.below(4) == 0 {
            let names = (0..self.below(3)).map(|_| self.one_of(&names)).collect();
            UserChange::Delete { names }
        } else {
            let name = self.one_of(&names);
            let rules = (0..self.below(5)).map(|_| self.one_of(&rules)).collect();
            UserChange::Set { name, rules }
        };
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        logged(Op::Users(&bytes))
    }

    /// Any op, one in sixteen of them damaged.
    pub fn any_op(&mut self) -> Vec<u8> {
        let tag = self.one_of(&TAGS);
        let mut op = Vec::new();
        if self.below(8) == 0 {
            let numbers = [self.below(4) as u32, self.below(8) as u32];
            put_actor(&mut op, Actor::of_numbers(numbers));
        }
        op.extend(self.op(tag));
        if self.below(16) == 0 {
            let place = self.below(op.len() as u64) as usize;
            op[place] = self.draw() as u8;
        }
        op
    }
}
