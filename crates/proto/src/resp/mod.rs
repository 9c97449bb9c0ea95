//! RESP2 and RESP3 on the wire: requests in, replies out of a stream, requests out.
//!
//! [`RequestDecoder`] is what servers run on every byte that arrives; [`decode_reply`] and [`request`]
//! are the other side of the conversation, for clients and tools. Replies are written by
//! [`crate::reply::ReplyWriter`].
//!
//! Nothing here reads a socket or keeps bytes: the caller owns the buffer, and decoded requests are
//! ranges into it. Nothing here allocates by a number that the peer merely claims.

mod args;
mod encode;
mod error;
mod inline;
mod request;
mod value;

pub use args::{ArgSlice, Args, OwnedRequest};
pub use encode::{encode_request, request};
pub use error::{ProtocolError, ReplyError};
pub use request::{ARGUMENT_OVERHEAD_BYTES, Limits, RequestDecoder};
pub use value::{REPLY_DEPTH_MAX, ReplyDecoder, Value, decode_reply, reply_length};
