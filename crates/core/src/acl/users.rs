//! All users, as the log has made them.

use std::collections::BTreeMap;
use std::sync::Arc;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::acl as words;

use super::{DEFAULT_USER, RuleError, User, UserChange};
use crate::limits::{USER_CHANGES_MAX, USERS_BYTES_MAX};

/// By whose rights, as of which change of the users, a request was let through.
///
/// The default one is that of the default user as it starts, which requests need not carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// [`User`]'s number.
    pub(super) user: u32,
    /// Changes of the users that were known when it was judged.
    pub(super) version: u32,
}

impl Actor {
    /// True for the default user as it starts.
    #[inline]
    pub fn is_plain(self) -> bool {
        (self.user, self.version) == (0, 0)
    }

    /// As numbers, for an op.
    pub fn numbers(self) -> [u32; 2] {
        [self.user, self.version]
    }

    /// What [`Actor::numbers`] gave.
    pub fn of_numbers([user, version]: [u32; 2]) -> Self {
        Self { user, version }
    }
}

/// All users; replicated.
#[derive(Clone, Debug)]
pub struct Users {
    /// Changes so far.
    pub(super) version: u32,
    /// Number of the next new user.
    pub(super) next_id: u32,
    pub(super) by_name: BTreeMap<Box<[u8]>, Arc<User>>,
    /// Bytes of all users as they are encoded.
    pub(super) bytes: usize,
    /// Hash of all users; 0 while they are as they start.
    pub(super) digest: u128,
}

impl Default for Users {
    fn default() -> Self {
        let default = User::default_at_start();
        let bytes = default.encoded_bytes();
        Self {
            version: 0,
            next_id: 1,
            by_name: BTreeMap::from([(default.name.clone(), Arc::new(default))]),
            bytes,
            digest: 0,
        }
    }
}

impl Users {
    /// Changes so far. Equal numbers mean equal users.
    #[inline]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// True while nothing has ever been changed.
    pub fn is_untouched(&self) -> bool {
        self.version == 0
    }

    /// Hash of all users; 0 while they are as they start.
    #[inline]
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user as whom connections begin.
    pub fn default_user(&self) -> &Arc<User> {
        self.get(DEFAULT_USER).expect("it cannot be deleted")
    }

    /// All users by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// What requests of this user carry when they are judged now.
    pub fn actor(&self, user: &User) -> Actor {
        if user.id == 0 && user.narrowed_at == 0 {
            return Actor::default();
        }
        Actor {
            user: user.id,
            version: self.version,
        }
    }

    /// True while the default user has all the rights that it starts with, so that a request without an [`Actor`]
    /// may be executed unseen.
    pub fn default_is_untouched(&self) -> bool {
        self.default_user().narrowed_at == 0
    }

    /// The user by whose rights something was let through, if it is still there.
    pub fn of_actor(&self, actor: Actor) -> Option<&Arc<User>> {
        match actor.user {
            0 => Some(self.default_user()),
            id => self.by_name.values().find(|user| user.id == id),
        }
    }

    /// Whether what was let through by this actor's rights may still be executed: nothing has been taken from that
    /// user since, or it may do everything anyway.
    pub fn still_lets(&self, actor: Actor) -> bool {
        let user = self.of_actor(actor);
        user.is_some_and(|user| user.narrowed_at <= actor.version || user.is_unrestricted())
    }

    /// Makes a change of the log, all of it or nothing, and answers it.
    pub fn apply(&mut self, change: &UserChange<'_>, reply: &mut ReplyWriter<'_>) {
        match *change {
            UserChange::Set { name, ref rules } => match self.set(name, rules) {
                Ok(()) => reply.ok(),
                Err(text) => reply.error_bytes(&text),
            },
            UserChange::Delete { ref names } => match self.delete(names) {
                Ok(count) => reply.integer(count),
                Err(text) => reply.error(text),
            },
        }
    }

    /// What ACL SETUSER would answer, as far as it does not depend on what the user is when the log has it.
    ///
    /// # Errors
    /// The error text.
    pub fn check<'a>(&self, name: &[u8], rules: impl Iterator<Item = &'a [u8]>) -> Result<(), Vec<u8>> {
        check_name(name)?;
        let mut user = match self.get(name) {
            Some(user) => User::clone(user),
            None => User::new(0, name),
        };
        for rule in rules {
            if let Err(error) = user.apply(rule)
                && !error.depends_on_state()
            {
                return Err(refusal(rule, error));
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &[u8], rules: &[&[u8]]) -> Result<(), Vec<u8>> {
        check_name(name)?;
        let version = self.next_version()?;
        let known = self.get(name);
        let before = known.map_or(0, |user| user.encoded_bytes());
        let is_new = known.is_none();
        let mut user = match known {
            Some(user) => User::clone(user),
            None => User::new(self.next_id, name),
        };
        for rule in rules {
            match user.apply(rule) {
                // A new user has nobody who is logged in.
                Ok(narrows) if narrows && !is_new => user.narrowed_at = version,
                Ok(_) => {}
                Err(error) => return Err(refusal(rule, error)),
            }
        }
        let bytes = self.bytes - before + user.encoded_bytes();
        if bytes > USERS_BYTES_MAX {
            return Err(words::too_many_users(USERS_BYTES_MAX).into_bytes());
        }
        self.next_id += u32::from(is_new);
        self.bytes = bytes;
        self.version = version;
        self.by_name.insert(name.into(), Arc::new(user));
        self.digest = self.computed_digest();
        Ok(())
    }

    fn delete(&mut self, names: &[&[u8]]) -> Result<i64, &'static str> {
        if names.contains(&DEFAULT_USER) {
            return Err(words::DEFAULT_USER_STAYS);
        }
        let Ok(version) = self.next_version() else {
            return Err(words::NO_MORE_CHANGES);
        };
        let mut count = 0;
        for name in names {
            if let Some(user) = self.by_name.remove(*name) {
                self.bytes -= user.encoded_bytes();
                count += 1;
            }
        }
        if count > 0 {
            self.version = version;
            self.digest = self.computed_digest();
        }
        Ok(count)
    }

    fn next_version(&self) -> Result<u32, Vec<u8>> {
        match self.version < USER_CHANGES_MAX {
            true => Ok(self.version + 1),
            false => Err(words::NO_MORE_CHANGES.as_bytes().to_vec()),
        }
    }
}

fn check_name(name: &[u8]) -> Result<(), Vec<u8>> {
    let has_space = name
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b));
    match has_space {
        true => Err(words::INVALID_USER_NAME.as_bytes().to_vec()),
        false => Ok(()),
    }
}

fn refusal(rule: &[u8], error: RuleError) -> Vec<u8> {
    words::refused_rule(rule, error.text())
}
