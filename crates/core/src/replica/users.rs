//! The users as the log changes them, and what that means for requests that are under way.
//!
//! Invariant: whether an op is refused follows from the op and from the users at its place in the log alone, so it is
//! the same on every replica.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::Replica;
use crate::acl::{Actor, UserChange, Users};
use crate::bugs::Bug;
use crate::contract::PeerId;
use crate::entry::SYSTEM_NODE;
use crate::keyspace::ScriptRights;
use crate::op::{Op, take_actor};

impl Replica {
    /// Makes a change of the users, and answers it.
    pub(super) fn apply_users(&mut self, mut change: &[u8], writer: &mut ReplyWriter<'_>) {
        match UserChange::decode(&mut change) {
            Ok(change) => self.users.apply(&change, writer),
            Err(_) => writer.error(words::MALFORMED_OP),
        }
        self.judge_examining();
    }

    /// A snapshot has brought its users.
    pub(super) fn adopt_users(&mut self, encoded: &[u8]) {
        self.users = Users::decode(encoded).expect("snapshots with other users are refused");
        self.judge_examining();
    }

    /// The state has changed in what decides whether apply looks at every op.
    pub(super) fn judge_examining(&mut self) {
        let is_plain = self.keyspace.is_seeded() && self.users.default_is_untouched();
        self.examines = !is_plain || self.keyspace.is_observed();
    }

    /// By what the commands of a script are judged that was let through by these rights.
    pub(super) fn script_rights(&self, actor: Actor) -> ScriptRights {
        let user = self.users.of_actor(actor).filter(|user| !user.is_unrestricted());
        let origin = &self.settings.origin;
        ScriptRights {
            user: user.cloned(),
            origin: (!origin.is_empty()).then(|| origin.clone()),
            refuses_growth: self.memory.refuses,
        }
    }

    /// Whether what was let through by these rights must not be executed any more.
    #[inline]
    pub(super) fn has_lost_rights(&self, actor: Actor) -> bool {
        (self.examines || !actor.is_plain())
            && !self.users.still_lets(actor)
            && !Bug::RightsJudgedOnArrival.is_in_force()
    }

    /// Looks at an op of a batch of this node before it is executed, and takes off and tells by whose rights.
    ///
    /// # Errors
    /// Why it is not executed.
    pub(super) fn examine(&mut self, node: PeerId, op: &mut &[u8]) -> Result<Actor, &'static str> {
        let actor = take_actor(op)
            .map_err(|_| words::MALFORMED_OP)?
            .unwrap_or_default();
        // No correct leader proposes anything before the seed, by which all keys are hashed.
        if !self.keyspace.is_seeded() && op.first() != Some(&Op::HASH_SEED_TAG) {
            return Err(words::MALFORMED_OP);
        }
        self.outbox.set_actor(actor);
        // What the leader proposes of itself, and what only moves the time, is done by nobody's rights.
        let is_of_client = node != SYSTEM_NODE && op.first() != Some(&Op::TIME_TAG);
        match is_of_client && self.has_lost_rights(actor) {
            true => Err(words::acl::RIGHTS_CHANGED),
            false => Ok(actor),
        }
    }
}
