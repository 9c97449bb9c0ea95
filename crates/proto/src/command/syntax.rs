//! The syntax of a command as people read it, such as `key value [NX | XX]`, from its arguments.

use super::spec::{Argument, ArgumentKind};

/// Arguments in a row.
pub(super) fn of(arguments: &[Argument]) -> String {
    arguments.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn one(argument: &Argument) -> String {
    let bare = bare(argument);
    let repeated = if argument.multiple_token {
        format!("{bare} [{} {bare} ...]", argument.token)
    } else if argument.multiple {
        format!("{bare} [{bare} ...]")
    } else {
        bare
    };
    let whole = match argument.kind {
        ArgumentKind::PureToken => repeated,
        _ if argument.token.is_empty() => repeated,
        _ => format!("{} {repeated}", argument.token),
    };
    if !argument.optional {
        return whole;
    }
    // Square brackets say everything that the angle ones around a choice would.
    let is_choice = argument.kind == ArgumentKind::OneOf && !argument.multiple;
    let inner = whole
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .filter(|_| is_choice);
    format!("[{}]", inner.unwrap_or(&whole))
}

/// The argument without its token, repetition or brackets.
fn bare(argument: &Argument) -> String {
    match argument.kind {
        ArgumentKind::PureToken => argument.token.to_owned(),
        ArgumentKind::Block => of(argument.arguments),
        ArgumentKind::OneOf => {
            // Of a choice that may be repeated each alternative is optional in the table; the choice says so.
            let alternative = |choice: &Argument| {
                one(&Argument {
                    optional: false,
                    ..*choice
                })
            };
            let alternatives: Vec<_> = argument.arguments.iter().map(alternative).collect();
            format!("<{}>", alternatives.join(" | "))
        }
        _ => argument.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::named;

    fn check(name: &str, expect: &str) {
        assert_eq!(
            of(named(name.as_bytes()).expect("in the table").arguments),
            expect
        );
    }

    #[test]
    fn syntax_reads_like_the_manual() {
        check("get", "key");
        check("mset", "key value [key value ...]");
        check("del", "key [key ...]");
        check("info", "[section [section ...]]");
        check("expire", "key seconds [NX | XX | GT | LT]");
        check("scan", "cursor [MATCH pattern] [COUNT count] [TYPE type]");
        check(
            "hello",
            "[protover [AUTH username password] [SETNAME clientname]]",
        );
        check(
            "command|list",
            "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        );
        check("client|list", "[TYPE client-type] [ID client-id [client-id ...]]");
        check("client|reply", "<ON | OFF | SKIP>");
        check(
            "bitfield_ro",
            "key [GET encoding offset [GET encoding offset ...]]",
        );
    }
}
