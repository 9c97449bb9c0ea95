//! Published messages between two nodes: the payload of a `PUBLISHED` frame.
//!
//! One message behind the other: a byte that is 1 for a shard channel and 0 for another one, then the channel and
//! the message, each behind its length.

use bytes::Bytes;
use repligo_core::packed::{Corrupt, put_bytes, take_bytes, take_u8};

use super::MESSAGE_BYTES_MAX;

/// A frame with more than this takes no further message.
const FULL_BYTES: usize = 1 << 20;
/// What stands around a channel and its message, at most.
const AROUND_BYTES: usize = 16;

const _: () =
    assert!(FULL_BYTES + MESSAGE_BYTES_MAX + AROUND_BYTES <= repligo_proto::frame::PAYLOAD_BYTES_MAX);

/// The frames for these messages.
pub(super) fn encode<'a>(messages: impl Iterator<Item = (bool, &'a Bytes, &'a Bytes)>) -> Vec<Bytes> {
    let (mut frames, mut out) = (Vec::new(), Vec::new());
    for (is_sharded, channel, message) in messages {
        out.push(u8::from(is_sharded));
        put_bytes(&mut out, channel);
        put_bytes(&mut out, message);
        if out.len() > FULL_BYTES {
            frames.push(Bytes::from(std::mem::take(&mut out)));
        }
    }
    if !out.is_empty() {
        frames.push(Bytes::from(out));
    }
    frames
}

/// The messages of a frame; they share its bytes.
///
/// # Errors
/// If it is none, or has a message that no node lets through.
pub(super) fn decode(frame: &Bytes) -> Result<Vec<(bool, Bytes, Bytes)>, Corrupt> {
    let mut input = &frame[..];
    let mut messages = Vec::new();
    while !input.is_empty() {
        let is_sharded = match take_u8(&mut input)? {
            0 => false,
            1 => true,
            _ => {
                return Err(Corrupt {
                    expected: "the kind of a channel",
                });
            }
        };
        let (channel, message) = (take_bytes(&mut input)?, take_bytes(&mut input)?);
        if channel.len() + message.len() > MESSAGE_BYTES_MAX {
            return Err(Corrupt {
                expected: "a shorter message",
            });
        }
        messages.push((is_sharded, frame.slice_ref(channel), frame.slice_ref(message)));
    }
    Ok(messages)
}
