//! Judges replies: is this what the request must give?
//!
//! The expected replies (`+OK`, a value of the known length, nil) are compared byte by byte where they stand; only
//! something else is decoded. A reply is never skipped unjudged.

use repligo_proto::resp::{ReplyDecoder, ReplyError, Value};

use super::plan::Plan;

/// A request in flight, packed into a word: the queue of a deep pipeline must stay in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(u64);

const IS_SET: u64 = 1;
const IS_KNOWN: u64 = 2;

impl Request {
    /// WAIT behind the SETs of a batch.
    pub const WAIT: Request = Request(u64::MAX);

    /// A GET; `is_known`: a write of this key had been acknowledged when it was sent.
    pub fn get(key: u64, is_known: bool) -> Request {
        Request(key << 2 | if is_known { IS_KNOWN } else { 0 })
    }

    /// A SET.
    pub fn set(key: u64) -> Request {
        Request(key << 2 | IS_SET)
    }

    pub fn is_set(self) -> bool {
        self.0 & IS_SET != 0 && self != Request::WAIT
    }

    pub fn key(self) -> u64 {
        self.0 >> 2
    }

    fn is_known(self) -> bool {
        self.0 & IS_KNOWN != 0
    }
}

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What the request must give.
    Right,
    /// nil where that is allowed.
    Missing,
    /// WAIT's answer.
    Replicas(i64),
    /// An error reply, beginning with its code word.
    Error(String),
    /// Something else, described.
    Wrong(String),
}

const OK: &[u8] = b"+OK\r\n";
const NIL: &[u8] = b"$-1\r\n";

/// Judges the reply at the front of `bytes`, and says how long it is; `None` until it is complete.
///
/// # Errors
/// The bytes are not RESP: nothing behind them can be judged.
pub fn judge(plan: &Plan, request: Request, bytes: &[u8]) -> Result<Option<(Verdict, usize)>, ReplyError> {
    if request.is_set() {
        if bytes.starts_with(OK) {
            return Ok(Some((Verdict::Right, OK.len())));
        }
    } else if request != Request::WAIT {
        let head = plan.dataset.reply_head();
        if bytes.starts_with(head) {
            let end = head.len() + plan.dataset.value_bytes();
            // An incomplete value is not given to the decoder, which would look at it from its beginning each time.
            if bytes.len() < end + 2 {
                return Ok(None);
            }
            let is_right = plan.dataset.is_value_of(request.key(), &bytes[head.len()..end]);
            if is_right && &bytes[end..end + 2] == b"\r\n" {
                return Ok(Some((Verdict::Right, end + 2)));
            }
        } else if bytes.starts_with(NIL) {
            return Ok(Some((judge_nil(plan, request), NIL.len())));
        }
    }
    judge_slowly(plan, request, bytes)
}

fn judge_nil(plan: &Plan, request: Request) -> Verdict {
    if request.is_known() && !plan.allow_missing {
        let key = plan.dataset.key_text(request.key());
        return Verdict::Wrong(format!(
            "GET {key} gave nil, but a write of it was acknowledged before"
        ));
    }
    Verdict::Missing
}

#[cold]
fn judge_slowly(plan: &Plan, request: Request, bytes: &[u8]) -> Result<Option<(Verdict, usize)>, ReplyError> {
    let Some((value, length)) = ReplyDecoder::new().decode(bytes)? else {
        return Ok(None);
    };
    let key = || plan.dataset.key_text(request.key());
    let verdict = match value {
        Value::Error(text) => Verdict::Error(text),
        Value::Integer(replicas) if request == Request::WAIT => Verdict::Replicas(replicas),
        other if request == Request::WAIT => Verdict::Wrong(format!("WAIT gave {}", shown(&other))),
        Value::Simple(text) if request.is_set() && text == "OK" => Verdict::Right,
        other if request.is_set() => Verdict::Wrong(format!("SET {} gave {}", key(), shown(&other))),
        Value::Null => judge_nil(plan, request),
        Value::Bulk(value) => Verdict::Wrong(plan.dataset.explain(request.key(), &value)),
        other => Verdict::Wrong(format!("GET {} gave {}", key(), shown(&other))),
    };
    Ok(Some((verdict, length)))
}

/// A reply for people, cut.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Bulk(bytes) => format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)])),
        other => format!("{other:?}"),
    };
    text.chars().take(120).collect()
}
