//! How the tools declare what they can be asked.

use clap::{Arg, ArgAction};

/// A flag with a value.
pub fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help)
}

/// A flag that is there or not.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// One server, or several nodes of a cluster.
pub fn addresses(name: &'static str, help: &'static str) -> Arg {
    value(name, "HOST:PORT[,…]", help).value_delimiter(',')
}

/// One document for scripts instead of text for people.
pub fn json() -> Arg {
    switch("json", "Print one JSON document for scripts")
}
