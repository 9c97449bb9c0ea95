//! What a reply says of the operation that it answers.

use repligo_proto::resp::Value;

use super::collections::together;
use super::keys::{Class, token_of};
use crate::history::{Action, Operation, Outcome, Token};

/// Width of a token in an append log.
const LOG_TOKEN_WIDTH: usize = 9;

/// The token of a string reply.
pub fn single(value: &Value) -> Result<Option<Token>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let token = value.as_bytes().and_then(token_of);
    token.map(Some).ok_or_else(|| format!("no token in {value:?}"))
}

/// What the operation has done, by its reply.
pub fn outcome(operation: &Operation, value: &Value) -> Result<Outcome, String> {
    let wrong = || format!("{value:?} is no answer to [{operation}]");
    let class = Class::of(operation.key);
    match operation.action {
        Action::Read if class == Class::Log => log_content(value).ok_or_else(wrong).map(Outcome::List),
        Action::Read if class == Class::List => {
            let items = value.as_array().ok_or_else(wrong)?;
            let tokens = items.iter().map(|item| item.as_bytes().and_then(token_of));
            let tokens: Option<Vec<Token>> = tokens.collect();
            tokens.map(Outcome::List).ok_or_else(wrong)
        }
        Action::Read if class == Class::Whole => together(operation, value).map(Outcome::Value),
        Action::Read if class == Class::Pair => {
            let both = value
                .as_array()
                .filter(|both| both.len() >= 2)
                .ok_or_else(wrong)?;
            let (one, other) = (single(&both[0])?, single(&both[both.len() - 1])?);
            if one != other {
                return Err(format!("half of a block is visible: {value:?} to [{operation}]"));
            }
            Ok(Outcome::Value(one))
        }
        Action::Read => single(value).map(Outcome::Value),
        // A key that was watched on this connection had changed.
        Action::Write(_) | Action::Raise(_) if class.is_collection() => {
            let is_fine = value.as_integer().is_some() || value.as_array().is_some();
            is_fine.then_some(Outcome::Ok).ok_or_else(wrong)
        }
        Action::Increment if class == Class::ScoreCounter => {
            let score = single(value)?.ok_or_else(wrong)?;
            Ok(Outcome::Count(score))
        }
        Action::CompareAndSet { .. } | Action::Write(_) if value.is_null() => Ok(Outcome::Refused),
        Action::Write(_) | Action::WriteVolatile(_) | Action::Raise(_) | Action::CompareAndSet { .. } => {
            let ok = |value: &Value| value.as_str() == Some("OK");
            let applied = ok(value) || value.as_array().is_some_and(|items| items.iter().all(ok));
            applied.then_some(Outcome::Ok).ok_or_else(wrong)
        }
        Action::Delete | Action::Increment => {
            let count = value.as_integer().and_then(|count| u64::try_from(count).ok());
            count.map(Outcome::Count).ok_or_else(wrong)
        }
        Action::Append(_) => {
            let length = value
                .as_integer()
                .and_then(|length| u64::try_from(length).ok())
                .ok_or_else(wrong)?;
            let width = if class == Class::List { 1 } else { LOG_TOKEN_WIDTH };
            Ok(Outcome::Count(length / width as u64))
        }
    }
}

fn log_content(value: &Value) -> Option<Vec<Token>> {
    if value.is_null() {
        return Some(Vec::new());
    }
    let bytes = value.as_bytes()?;
    bytes.chunks(LOG_TOKEN_WIDTH).map(token_of).collect()
}
