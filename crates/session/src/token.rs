//! REPLIGO.SESSION: what a connection was told, as a token, and what another one was told, taken in.
//!
//! A node answers nothing but what it has applied, so its own place in the log covers all that this connection was told,
//! and there is nothing to be counted per request. What a token from elsewhere asks for is kept until this node has
//! it, for good; from then on its state alone goes on forward.
//!
//! Invariants: a token that is refused has changed nothing; a token that was taken in is dropped only when the node has
//! passed it, for one that is further ahead, or when it has turned out to stand for nothing.

use repligo_core::contract::{ReadLevel, Token};
use repligo_core::token::{NoToken, Standing};
use repligo_proto::words;

use crate::{Call, Flow, Host, Session};

/// REPLIGO.SESSION [token].
pub(crate) fn execute(
    session: &mut Session,
    host: &mut impl Host,
    call: Call<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    if let Some(refusal) = host.refusal() {
        session.reply(out).error(refusal);
        return Flow::Done;
    }
    // What was asked before it is in its answer, or was asked without it.
    if session.replies.waiting() > 0 {
        return Flow::Wait;
    }
    match call.request.try_get(1) {
        None => match session.tell_token(host) {
            Ok(token) => session.reply(out).bulk_str(&token.encode()),
            Err(refusal) => session.reply(out).error(&refusal.text()),
        },
        Some(word) => match Token::decode(word).and_then(|token| session.take_token(host, token)) {
            Ok(()) => session.reply(out).ok(),
            Err(refusal) => session.reply(out).error(&refusal.text()),
        },
    }
    Flow::Done
}

impl Session {
    /// A token that covers all that it was told, and what it has taken in.
    fn tell_token(&mut self, host: &impl Host) -> Result<Token, NoToken> {
        let own = host.token();
        match self.token.as_deref().map(|token| (token, host.judge(token))) {
            Some((_, Standing::Refused(refusal))) => Err(refusal),
            Some((token, Standing::Ahead)) => Ok(*token),
            Some((_, Standing::Here | Standing::Passed)) | None => Ok(own),
        }
    }

    /// Reads at level session from now on, and nothing that is older than this token.
    fn take_token(&mut self, host: &impl Host, token: Token) -> Result<(), NoToken> {
        let standing = host.judge(&token);
        if let Standing::Refused(refusal) = standing {
            return Err(refusal);
        }
        let before = self.token.take();
        let is_further = |before: &Token| {
            before.index >= token.index && !matches!(host.judge(before), Standing::Refused(_))
        };
        self.token = match standing {
            _ if before.as_deref().is_some_and(is_further) => before,
            Standing::Passed => None,
            _ => Some(Box::new(token)),
        };
        if !matches!(self.read_level(), ReadLevel::Session(_)) {
            self.ask_for_level(ReadLevel::Session(None));
        }
        Ok(())
    }

    /// True if it has a token, and a read of it has to be looked at.
    #[inline]
    pub(crate) fn reads_behind_token(&self) -> bool {
        self.token.is_some() && matches!(self.read_level(), ReadLevel::Session(_))
    }

    /// Drops the token that the node has passed; false if it has not.
    pub(crate) fn has_passed_token(&mut self, host: &impl Host) -> bool {
        let is_passed = |token: &Token| host.judge(token) == Standing::Passed;
        if self.token.as_deref().is_none_or(is_passed) {
            self.token = None;
        }
        self.token.is_none()
    }
}

/// The error of REPLIGO.SESSION where commands are queued: its place in a block is not that of its answer.
pub(crate) const INSIDE_BLOCK: &str = words::level::SESSION_IN_BLOCK;
