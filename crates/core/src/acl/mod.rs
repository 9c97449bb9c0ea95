//! Users and what they may do: rules in the syntax of Redis 7, replicated.
//!
//! [`Users`] is part of the replicated state: a change is an op of the log, and every replica makes it at the same
//! place. A [`User`] is built from rules and judges commands. Nothing here knows a connection; who asks keeps the
//! [`User`] that it logged in as, and an [`Actor`] that says by which rights a request was let through.
//!
//! A request is judged where it arrives, by the users as that replica has them, which may be behind the log. So what
//! leaves for the log, or waits, carries its [`Actor`], and is refused where it is executed if the rights of that
//! user have shrunk in between ([`Users::still_lets`]). The default user as it starts needs none of that: as long as
//! nothing has ever been taken from it, its requests carry nothing and are looked at by nobody.
//!
//! Rules are kept as text and compiled by the table of the release that reads them: a rule of a command which a
//! release does not have waits for the one that has.

mod encoding;
mod profile;
mod rules;
mod selector;
mod user;
mod users;

pub use encoding::UserChange;
pub use profile::Profile;
pub use rules::{RuleError, digits_of, merge_selectors};
pub use selector::{Denied, Selector};
pub use user::User;
pub use users::{Actor, Users};

/// The user that every connection begins as.
pub const DEFAULT_USER: &[u8] = b"default";

/// A password's SHA-256.
pub type PasswordHash = [u8; 32];

#[cfg(test)]
mod tests;
