//! The command table: one row per command, the single source for parsing, arity checks, `COMMAND`,
//! access control, routing and the generated compatibility table.
//!
//! A row says what a command looks like and never what it does: execution belongs to `core`, which has a handler
//! under the name of each row that reads or writes data, and to the sessions of the binary (the rest), which match
//! on [`CommandId`].

mod access;
mod channels;
mod docs;
mod elsewhere;
mod id;
mod introspect;
mod keyword;
mod lookup;
mod markdown;
mod spec;
mod syntax;
mod table;

pub use access::pattern_of_keys;
pub use channels::ChannelUse;
pub use elsewhere::is_known_elsewhere;
pub use id::CommandId;
pub use introspect::{named, with_subcommands, write_introspection};
pub use keyword::KeyWord;
pub use lookup::{Unresolved, lookup, resolve};
pub use markdown::markdown;
pub use spec::{
    Argument, ArgumentKind, Categories, Deprecation, Flags, Group, KeySpec, KeyUse, Spec, category, flag,
};
pub use table::{COMMANDS, named_at_compile_time, numbered};
