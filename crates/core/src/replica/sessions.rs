//! Reads at level session: what a connection has seen elsewhere, as a place in the log, and whether this replica has it.
//!
//! Whatever a node answers, it has applied: writes are acknowledged from its own apply, reads are executed on its own
//! state. So nothing is counted per connection. The place up to which this replica has applied covers all that any
//! connection was told here, and a connection that stays here is never shown less. Only what it brings along from
//! another node, as a token, has to be waited for.
//!
//! Invariant: a token is refused as not in this history only when what is committed contradicts it, so never by what
//! this replica has merely not heard of.

use std::borrow::Cow;

use repligo_proto::words;

use super::Replica;
use super::reads::{After, WaitingRead};
use crate::bugs::Bug;
use crate::contract::{ReadLevel, Request, Token};
use crate::level::Bound;
use crate::time::Now;
use crate::token::{NoToken, SHARD, Standing};

/// No replica lags behind by so many entries, or terms: a token that is further ahead was made up.
const AHEAD_MAX: u64 = 1 << 40;

/// What becomes of a read at level session whose turn has come.
#[derive(Debug)]
pub(super) enum Due {
    /// It is executed.
    Run,
    /// It waits until its entry is applied.
    Wait,
    /// Its client is told this.
    Fail(Cow<'static, str>),
}

impl Replica {
    /// A token that covers every write acknowledged and every read answered by this replica so far.
    pub fn token(&self) -> Token {
        let (term, index) = self.covered();
        Token {
            cluster: Token::cluster_digest(self.settings.identity.cluster_id),
            generation: self.settings.identity.generation,
            shard: SHARD,
            term,
            index,
        }
    }

    /// (term, index) of the last entry of which clients may have been answered: also one that is partly applied.
    fn covered(&self) -> (u64, u64) {
        match &self.applying {
            Some(applying) if !self.has(Bug::TokenBehindAnswers) => {
                let entry = applying.entry();
                (entry.term, entry.index)
            }
            _ => (self.applied_term, self.applied),
        }
    }

    /// How this token stands to this replica's state.
    pub fn judge_token(&self, token: &Token) -> Standing {
        let identity = &self.settings.identity;
        let own = identity.generation;
        let is_other = token.cluster != Token::cluster_digest(identity.cluster_id) || token.shard != SHARD;
        if is_other {
            return Standing::Refused(NoToken::OtherCluster);
        }
        let (covered_term, covered) = self.covered();
        if !self.has(Bug::TokenIgnoresGeneration) {
            let token = token.generation;
            match token.cmp(&own) {
                std::cmp::Ordering::Less => {
                    return Standing::Refused(NoToken::EarlierGeneration { token, own });
                }
                std::cmp::Ordering::Greater => {
                    return Standing::Refused(NoToken::LaterGeneration { token, own });
                }
                std::cmp::Ordering::Equal => {}
            }
        }
        if token.index > covered.saturating_add(AHEAD_MAX)
            || token.term > self.consensus.term().saturating_add(AHEAD_MAX)
        {
            return Standing::Refused(NoToken::Impossible);
        }
        if self.contradicts(token, (covered_term, covered)) {
            return Standing::Refused(NoToken::NotInHistory {
                term: token.term,
                index: token.index,
            });
        }
        match token.index <= covered || self.has(Bug::SessionWithoutApply) {
            true if self.confirmed => Standing::Passed,
            true => Standing::Here,
            false => Standing::Ahead,
        }
    }

    /// True if the committed log as it is known here has another entry in the token's place, or none.
    fn contradicts(&self, token: &Token, (covered_term, covered): (u64, u64)) -> bool {
        let is_committed = token.index <= self.consensus.commit_index().max(covered);
        match self.consensus.log().term(token.index) {
            _ if token.index == covered => token.term != covered_term,
            // The tail of a log may be another one than what is committed there.
            Some(term) if is_committed => token.term != term,
            // Terms never fall. What was compacted is known no closer than that.
            _ if token.index < covered => token.term > covered_term,
            _ => token.term < covered_term,
        }
    }

    /// What a read of this level has to wait for beside its level; nothing at all others.
    pub(super) fn after_of(&self, request: &Request<'_>) -> Option<Box<After>> {
        match (request.level, request.token) {
            (ReadLevel::Session(_), Some(token)) => Some(Box::new(After {
                token: *token,
                term: self.consensus.term(),
            })),
            _ => None,
        }
    }

    /// Why a read that has come at this level, with this token, is refused at once.
    pub(super) fn token_refusal(&self, level: ReadLevel, token: Option<&Token>) -> Option<String> {
        let (ReadLevel::Session(_), Some(token)) = (level, token) else {
            return None;
        };
        match self.judge_token(token) {
            Standing::Refused(refusal) => Some(refusal.text()),
            Standing::Passed | Standing::Here | Standing::Ahead => None,
        }
    }

    /// True if the applied state may answer such reads by itself. Without a token any state will do that is not older
    /// than what this node has shown before, over its restarts too.
    pub(super) fn has_seen(&self, now: Now, bound: Option<Bound>, token: Option<&Token>) -> bool {
        let is_here = match token.map(|token| self.judge_token(token)) {
            None => self.confirmed,
            Some(standing) => matches!(standing, Standing::Passed | Standing::Here),
        };
        is_here && bound.is_none_or(|bound| self.is_fresh(now, bound))
    }

    /// What becomes of a read whose index, as far as it was told one, is applied.
    pub(super) fn judge_due(&self, read: &WaitingRead) -> Due {
        let Some(after) = read.after.as_deref() else {
            return Due::Run;
        };
        match self.judge_token(&after.token) {
            Standing::Passed | Standing::Here => Due::Run,
            Standing::Refused(refusal) => Due::Fail(refusal.text().into()),
            // A leader of the token's term, or of a later one, has confirmed what is committed since the read came.
            Standing::Ahead if after.token.term <= after.term => {
                let refusal = NoToken::NotInHistory {
                    term: after.token.term,
                    index: after.token.index,
                };
                Due::Fail(refusal.text().into())
            }
            Standing::Ahead if read.level == ReadLevel::Session(None) => Due::Wait,
            Standing::Ahead => Due::Fail(self.session_overdue(read.level, Some(&after.token)).into()),
        }
    }

    /// The error of a read at level session for which no leader has answered in time.
    pub(super) fn session_overdue(&self, level: ReadLevel, token: Option<&Token>) -> String {
        let asked = token
            .map(|token| token.index)
            .filter(|index| *index > self.applied);
        words::level::not_seen_here(&level.to_string(), self.applied, asked)
    }
}

impl NoToken {
    /// The error that says so, with what to do.
    pub fn text(&self) -> String {
        match *self {
            Self::Malformed => words::level::NO_TOKEN.to_owned(),
            Self::OtherCluster => words::level::TOKEN_OF_ANOTHER_CLUSTER.to_owned(),
            Self::Impossible => words::level::IMPOSSIBLE_TOKEN.to_owned(),
            Self::EarlierGeneration { token, own } => words::level::earlier_generation(token, own),
            Self::LaterGeneration { token, own } => words::level::later_generation(token, own),
            Self::NotInHistory { term, index } => words::level::not_in_history(term, index),
        }
    }
}
