//! Refusals of the command line in the form of all others: what is wrong, where, what to do.
//!
//! The parser knows what it did not expect and what comes near it; what people type who know other servers and
//! service managers is known here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::redis;

/// Where every such refusal stands.
const PLACE: &str = "the command line";

/// Words in place of a subcommand: (what was typed, what to do).
const VERBS: &[(&[&str], &str)] = &[
    (
        &["start", "run", "up", "server", "node"],
        "`repligo serve` starts a node, `repligo dev` a cluster on this machine; both stay in the foreground",
    ),
    (
        &["stop", "shutdown", "down", "kill"],
        "a node in the foreground ends with ^C; elsewhere send SIGTERM to the process of its `node.pid`, or let \
         systemd do it: systemctl stop repligo",
    ),
    (
        &["restart", "reload"],
        "end the node (^C, SIGTERM or systemctl) and start it with the same command line: nothing is lost",
    ),
    (
        &["cli", "client", "shell", "get", "set", "ping"],
        "any Redis client works: redis-cli -p 6379",
    ),
    (&["nodes", "members", "add", "remove"], "use `repligo cluster`"),
    (&["help"], "repligo --help"),
];

/// Flags that subcommands do not have under that name: (subcommands, flags, what to do).
const FLAGS: &[(&[&str], &[&str], &str)] = &[
    (
        &["dev"],
        &["--port", "--listen", "-p"],
        "use --base-port PORT, the port of the first node",
    ),
    (
        &["demo"],
        &["--port", "--base-port", "-p"],
        "it takes free ports and says which",
    ),
    (
        &["status", "cluster", "bench", "export"],
        &["--port", "--host", "--from", "-p", "-h"],
        "use --addr HOST:PORT",
    ),
    (
        &["import"],
        &["--port", "--host", "-p"],
        "use --to HOST:PORT for the server that is written to, --from HOST:PORT for one that is read",
    ),
    (
        &["dev"],
        &["--data-dir"],
        "use --dir DIR, in which every node has its own folder",
    ),
];

/// What to print for a mistake on the command line; `None` where clap's own text is what was asked for, as help is.
pub fn refusal(error: &clap::Error, words: &[String]) -> Option<String> {
    let is_asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_asked_for {
        return None;
    }
    let command = command_of(words);
    let what = what(error);
    let remedy = known(error, words)
        .or_else(|| nearest(error))
        .unwrap_or_else(|| format!("see {command} --help"));
    Some(format!("{what}\n  where: {PLACE}\n  do: {remedy}"))
}

/// The parser's own sentence, on one line.
fn what(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let sentence = text.split("\n\n").next().unwrap_or_default();
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `repligo` and the subcommands that were typed.
fn command_of(words: &[String]) -> String {
    let mut command = super::args::command();
    let mut name = "repligo".to_owned();
    for word in words {
        let Some(next) = command.find_subcommand(word).cloned() else {
            break;
        };
        name = format!("{name} {word}");
        command = next;
    }
    name
}

/// What somebody means who knows other programs.
fn known(error: &clap::Error, words: &[String]) -> Option<String> {
    let first = words.first()?.as_str();
    let text = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let (_, text) = VERBS.iter().find(|(verbs, _)| verbs.contains(&first))?;
            text
        }
        ErrorKind::UnknownArgument => {
            let flag = texts(error, ContextKind::InvalidArg).into_iter().next()?;
            let flag = flag.split('=').next().unwrap_or(&flag);
            let found = FLAGS
                .iter()
                .find(|(commands, flags, _)| commands.contains(&first) && flags.contains(&flag));
            found?.2
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// What the parser knows that comes near, or would be right.
fn nearest(error: &clap::Error) -> Option<String> {
    let near = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ];
    let near: Vec<String> = near.into_iter().flat_map(|kind| texts(error, kind)).collect();
    // A flag that other servers have is known so that it can be told what is here in its place.
    let mut elsewhere = near
        .iter()
        .filter_map(|flag| redis::instead(flag.strip_prefix("--")?));
    if let Some(instead) = elsewhere.next() {
        return Some(instead.remedy(redis::Form::Flag));
    }
    if !near.is_empty() {
        return Some(format!("did you mean {}?", alternatives(&near)));
    }
    let valid = texts(error, ContextKind::ValidValue);
    if !valid.is_empty() {
        return Some(format!("give one of {}", valid.join(", ")));
    }
    let commands = texts(error, ContextKind::ValidSubcommand);
    (!commands.is_empty()).then(|| format!("give one of {}", commands.join(", ")))
}

fn alternatives(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(" or ")
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, parts: &[&str]) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let all = std::iter::once("repligo").chain(words.iter().map(String::as_str));
        let error = super::super::args::parse(all.map(Into::into)).expect_err("wrong usage");
        let text = refusal(&error, &words).expect("a refusal");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.lines().nth(2).is_some_and(|line| line.starts_with("  do: ")),
            "{text}"
        );
        for part in parts {
            assert!(text.contains(part), "{line}: no `{part}` in\n{text}");
        }
    }

    #[test]
    fn a_slip_is_told_with_what_comes_near() {
        check(
            "sevre",
            &["unrecognized subcommand 'sevre'", "did you mean ", "`serve`?"],
        );
        check("serve --lisen x", &["'--lisen'", "did you mean `--listen`?"]);
        check("serve --prot 1", &["'--prot'", "do: use --listen "]);
        check("dev --nodes 9", &["'9'", "1..=7", "see repligo dev --help"]);
        check("config shwo", &["did you mean `show`?"]);
        check("completions tcsh", &["did you mean `zsh`?"]);
        check("import", &["<FILE|--from", "see repligo import --help"]);
        check("config check", &["<FILE>", "see repligo config check --help"]);
    }

    #[test]
    fn what_others_call_it_is_known() {
        check("start", &["'start'", "`repligo serve`", "`repligo dev`"]);
        check("stop", &["SIGTERM", "systemctl stop repligo"]);
        check("cli", &["redis-cli -p 6379"]);
        check("status --port 7001", &["use --addr HOST:PORT"]);
        check("status --port=7001", &["use --addr HOST:PORT"]);
        check("dev --port 7001", &["use --base-port PORT"]);
        check("bench -p 7001", &["use --addr HOST:PORT"]);
        check("import --port 7001", &["--to HOST:PORT", "--from HOST:PORT"]);
    }

    #[test]
    fn help_is_no_refusal() {
        for line in ["--help", "serve --help", "--version", "config"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let all = std::iter::once("repligo").chain(words.iter().map(String::as_str));
            let error = super::super::args::parse(all.map(Into::into)).expect_err("help is one");
            assert_eq!(refusal(&error, &words), None, "{line}");
        }
    }
}
