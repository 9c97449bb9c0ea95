//! Users as bytes: in ops, in snapshots, and for the digest.
//!
//! A change is a kind byte, then a name and rules, or names, each with its length in front and their number before
//! them. All users are the number of changes, the number of the next user, the number of users and these; a user is
//! its number, the change that narrowed it, its name, a byte of flags, password hashes, then selectors: a byte of
//! flags, patterns of keys (a byte of what may be done, then the text), channels, rules on commands (a byte, then
//! the name). A flag says that a profile follows, a byte for each of its levels. Numbers are varints.

use std::sync::Arc;

use super::selector::Selector;
use super::{PasswordHash, Profile, User, Users};
use crate::bugs::Bug;
use crate::keyspace::digest::{KeyDigest, content};
use crate::limits::USERS_BYTES_MAX;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_array, take_bytes, take_u8, take_varint};
use crate::table::Meta;

const SET: u8 = 0;
const DELETE: u8 = 1;

const ENABLED: u8 = 1;
const NO_PASSWORD: u8 = 2;
const TOLD: u8 = 4;
const PROFILE: u8 = 8;

const ALL_KEYS: u8 = 1;
const ALL_CHANNELS: u8 = 2;
const ALL_COMMANDS: u8 = 4;

const READ: u8 = 1;
const WRITE: u8 = 2;

/// A change of the users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange<'a> {
    /// ACL SETUSER; passwords are hashed already.
    Set {
        /// The user.
        name: &'a [u8],
        /// Rules in their order.
        rules: Vec<&'a [u8]>,
    },
    /// ACL DELUSER.
    Delete {
        /// The users.
        names: Vec<&'a [u8]>,
    },
}

impl<'a> UserChange<'a> {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let list = match self {
            Self::Set { name, rules } => {
                out.push(SET);
                put_bytes(out, name);
                rules
            }
            Self::Delete { names } => {
                out.push(DELETE);
                names
            }
        };
        put_varint(out, list.len() as u64);
        list.iter().for_each(|word| put_bytes(out, word));
    }

    /// Takes a change off the front of `input`.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        match take_u8(input)? {
            SET => Ok(Self::Set {
                name: take_bytes(input)?,
                rules: take_list(input, take_bytes)?,
            }),
            DELETE => Ok(Self::Delete {
                names: take_list(input, take_bytes)?,
            }),
            _ => corrupt("a kind of change"),
        }
    }
}

/// A number and as many elements, of which each takes at least a byte.
fn take_list<'a, T>(
    input: &mut &'a [u8],
    take: impl Fn(&mut &'a [u8]) -> Result<T, Corrupt>,
) -> Result<Vec<T>, Corrupt> {
    let count = take_varint(input)?;
    if count > input.len() as u64 {
        return corrupt("as many elements as it says");
    }
    (0..count).map(|_| take(input)).collect()
}

fn take_number(input: &mut &[u8]) -> Result<u32, Corrupt> {
    u32::try_from(take_varint(input)?).or_else(|_| corrupt("a number of 32 bits"))
}

impl Selector {
    fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.push(
            flag(self.all_keys, ALL_KEYS)
                | flag(self.all_channels, ALL_CHANNELS)
                | flag(self.starts_with_all, ALL_COMMANDS),
        );
        put_varint(out, self.keys.len() as u64);
        for pattern in &self.keys {
            out.push(flag(pattern.read, READ) | flag(pattern.write, WRITE));
            put_bytes(out, &pattern.text);
        }
        put_varint(out, self.channels.len() as u64);
        for channel in &self.channels {
            put_bytes(out, &channel.text);
        }
        put_varint(out, self.rules.len() as u64);
        for rule in &self.rules {
            out.push(u8::from(rule.allow));
            put_bytes(out, &rule.name);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut selector = Self::default();
        let flags = take_u8(input)?;
        selector.allow_all(flags & ALL_COMMANDS != 0);
        selector.all_keys = flags & ALL_KEYS != 0;
        selector.all_channels = flags & ALL_CHANNELS != 0;
        let pair = |input: &mut &[u8]| Ok((take_u8(input)?, Box::<[u8]>::from(take_bytes(input)?)));
        for (access, text) in take_list(input, pair)? {
            selector.put_key_pattern(access & READ != 0, access & WRITE != 0, &text);
        }
        for text in take_list(input, take_bytes)? {
            selector.put_channel(text);
        }
        for (allow, name) in take_list(input, pair)? {
            selector.put_command_rule(allow != 0, &name);
        }
        Ok(selector)
    }
}

impl User {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.id));
        put_varint(out, u64::from(self.narrowed_at));
        put_bytes(out, &self.name);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.push(
            flag(self.enabled, ENABLED)
                | flag(self.no_password, NO_PASSWORD)
                | flag(self.is_told, TOLD)
                | flag(!self.profile.is_default(), PROFILE),
        );
        put_varint(out, self.passwords.len() as u64);
        self.passwords.iter().for_each(|hash| out.extend_from_slice(hash));
        put_varint(out, self.selectors.len() as u64);
        self.selectors.iter().for_each(|selector| selector.encode(out));
        if !self.profile.is_default() {
            self.profile.encode(out);
        }
    }

    /// Bytes that it takes, about.
    pub(super) fn encoded_bytes(&self) -> usize {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.len()
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut user = Self::new(take_number(input)?, b"");
        user.narrowed_at = take_number(input)?;
        user.name = take_bytes(input)?.into();
        let flags = take_u8(input)?;
        if flags & !(ENABLED | NO_PASSWORD | TOLD | PROFILE) != 0 {
            return corrupt("flags of a user");
        }
        user.enabled = flags & ENABLED != 0;
        user.no_password = flags & NO_PASSWORD != 0;
        user.is_told = flags & TOLD != 0;
        user.passwords = take_list(input, |input| take_array(input).map(|hash: PasswordHash| hash))?;
        user.selectors = take_list(input, Selector::decode)?;
        if flags & PROFILE != 0 {
            let profile = Profile::decode(input)?;
            if !Bug::ProfileForgottenInSnapshot.is_in_force() {
                user.profile = profile;
            }
        }
        match user.selectors.is_empty() {
            true => corrupt("a selector"),
            false => Ok(user),
        }
    }
}

impl Users {
    /// Appends all users; nothing while they are as they start.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.is_untouched() {
            return;
        }
        put_varint(out, u64::from(self.version));
        put_varint(out, u64::from(self.next_id));
        put_varint(out, self.by_name.len() as u64);
        self.iter().for_each(|user| user.encode(out));
    }

    /// Reads what [`Users::encode`] wrote.
    ///
    /// # Errors
    /// If it is no set of users.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, Corrupt> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > 2 * USERS_BYTES_MAX {
            return corrupt("users within their limit");
        }
        let input = &mut bytes;
        let mut users = Self {
            version: take_number(input)?,
            next_id: take_number(input)?,
            ..Self::default()
        };
        users.by_name.clear();
        users.bytes = 0;
        for user in take_list(input, User::decode)? {
            users.bytes += user.encoded_bytes();
            users.by_name.insert(user.name.clone(), Arc::new(user));
        }
        users.digest = users.computed_digest();
        let has_default = users.get(super::DEFAULT_USER).is_some_and(|user| user.id == 0);
        match has_default && input.is_empty() && !users.is_untouched() {
            true => Ok(users),
            false => corrupt("all users"),
        }
    }

    /// Hash of the encoding.
    pub(super) fn computed_digest(&self) -> u128 {
        let mut out = Vec::new();
        self.encode(&mut out);
        let meta = Meta {
            deadline_ms: None,
            version: u64::from(self.version),
            kind: 0,
        };
        KeyDigest::new(0, b"users").entry(&out, content(&out), meta)
    }
}
