//! `repligo cluster`: the members of a cluster, and changes of them.
//!
//! It speaks RESP like every other tool, so the password and the addresses are the same. A change is the leader's:
//! another node names it and the tool goes there. What passes by itself (an election, a hand-over) is waited for.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::login::{self, Login};
use super::wire::WireError;

const TIMEOUT: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// The subcommand and its arguments.
pub fn command() -> Command {
    let name = |id: &'static str, help: &'static str| Arg::new(id).required(true).help(help);
    let member = || {
        name("member", "NAME=HOST:PORT, the peer address of the new node").value_parser(|text: &str| {
            match text.split_once('=') {
                Some((name, at)) => Ok((name.to_owned(), at.to_owned())),
                None => Err("write NAME=HOST:PORT, with the peer address of the new node"),
            }
        })
    };
    Command::new("cluster")
        .about("Show and change the members of a cluster")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .arg(
            Arg::new("addr")
                .long("addr")
                .global(true)
                .value_name("HOST:PORT")
                .default_value("127.0.0.1:6379")
                .help("RESP address of any node"),
        )
        .args(login::arguments().map(|argument| argument.global(true)))
        .args(login::secure_arguments().map(|argument| argument.global(true)))
        .subcommand(
            Command::new("nodes")
                .about("List the members")
                .arg(super::flags::json()),
        )
        .subcommand(
            Command::new("add")
                .about("Make room for a new member, which votes once it has caught up")
                .arg(member()),
        )
        .subcommand(
            Command::new("remove")
                .about("Take a member out")
                .arg(name("name", "Name of the member")),
        )
        .subcommand(
            Command::new("replace")
                .about("Let a new member take the place of an old one, once it has caught up")
                .arg(name("old", "Name of the member that goes"))
                .arg(member()),
        )
        .subcommand(super::recover::command())
        .subcommand(
            Command::new("transfer")
                .about("Let another member lead")
                .arg(name("name", "Name of the member")),
        )
}

/// `repligo cluster …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    if let Some(("recover", arguments)) = matches.subcommand() {
        return super::recover::run(arguments);
    }
    let address = matches.get_one::<String>("addr").expect("clap has a default");
    let login = match login::of_node(matches) {
        Ok(login) => login,
        Err(failure) => return super::fail(1, failure),
    };
    match carry_out(matches, address, &login) {
        Ok(text) => {
            super::print(text);
            ExitCode::SUCCESS
        }
        Err(text) => super::fail(1, text),
    }
}

fn carry_out(matches: &ArgMatches, address: &str, login: &Login) -> Result<String, String> {
    let (verb, arguments) = matches.subcommand().expect("clap demands one");
    let word = |id: &str| arguments.get_one::<String>(id).expect("clap demands it").clone();
    let member = || {
        let member = arguments.get_one::<(String, String)>("member");
        member.expect("clap demands it").clone()
    };
    let asked = match verb {
        "nodes" => {
            let text = ask(address, login, &["NODES".to_owned()])?;
            return match arguments.get_flag("json") {
                true => Ok(format!("{text}\n")),
                false => table(&text),
            };
        }
        "add" => {
            let (name, at) = member();
            vec!["ADD".to_owned(), name, at]
        }
        "replace" => {
            let (name, at) = member();
            vec!["REPLACE".to_owned(), word("old"), name, at]
        }
        _ => vec![verb.to_ascii_uppercase(), word("name")],
    };
    ask(address, login, &asked)?;
    let survives = match verb {
        // It is told for the operator's sake, and done either way: the node that was asked may be the one that goes.
        "remove" => ask_once(address, login, &["NODES".to_owned()])
            .map_or_else(|_| String::new(), |nodes| survives(&nodes, &asked[1])),
        _ => String::new(),
    };
    Ok(format!("{}{survives}\n", told(verb, &asked[1..])))
}

/// How many of the voters that are left may fail, as the nodes of `json` say that goes on without this one.
fn survives(json: &str, removed: &str) -> String {
    let report: Value = serde_json::from_str(json).unwrap_or_default();
    let voters = report["members"].as_array().into_iter().flatten();
    let voters = voters.filter(|member| member["role"] == "voter" && member["name"] != removed);
    match voters.count() {
        0 => String::new(),
        1 => ". One voter is left: without it nothing is answered, and its data is nowhere else".to_owned(),
        2 => ". Two voters are left, and both are needed: none may fail. Add one with `repligo cluster add`"
            .to_owned(),
        count @ 3..=4 => format!(". {count} voters are left: one may fail"),
        count => format!(". {count} voters are left: {} may fail", (count - 1) / 2),
    }
}

fn told(verb: &str, names: &[String]) -> String {
    match verb {
        "add" => format!(
            "{} is a member and learns as soon as it runs: start it with an empty directory, its --name, and a \
             --cluster line that names it and the others. It votes once it has caught up",
            names[0]
        ),
        "replace" => format!(
            "{} takes the place of {} once it has caught up: start it with an empty directory, its --name, and a \
             --cluster line that names it and the others",
            names[1], names[0]
        ),
        "remove" => format!("{} is no member any more, and stops", names[0]),
        _ => format!("{} is to lead", names[0]),
    }
}

/// Asks, goes to the leader where that is another node, and waits for what passes by itself.
fn ask(address: &str, login: &Login, words: &[String]) -> Result<String, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut at = address.to_owned();
    loop {
        let failed = match ask_once(&at, login, words) {
            Ok(text) => return Ok(text),
            Err(WireError::Refused(text)) => {
                if let Some((_, leader)) = text.split_once("ask the leader at ") {
                    leader.clone_into(&mut at);
                } else if text.contains("AUTH") || text.starts_with("WRONGPASS") {
                    return Err(super::status::explain(&at, &WireError::Refused(text), &[]));
                } else if !text.starts_with("TRYAGAIN") {
                    return Err(text.trim_start_matches("ERR ").to_owned());
                }
                text
            }
            Err(error) if at == address => return Err(super::status::explain(address, &error, &[])),
            Err(error) => {
                address.clone_into(&mut at);
                error.to_string()
            }
        };
        if Instant::now() > deadline {
            return Err(unanswered(&failed));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Why there was no answer for so long.
fn unanswered(failed: &str) -> String {
    match failed.starts_with("TRYAGAIN there is no leader") {
        true => format!(
            "there was no leader for {} s\n  do: bring back so many nodes that a majority of the voters runs and can \
             reach each other (`repligo status` says which are missing), then try again",
            PATIENCE.as_secs()
        ),
        false => failed.to_owned(),
    }
}

fn ask_once(address: &str, login: &Login, words: &[String]) -> Result<String, WireError> {
    let mut connection = login.open(address, TIMEOUT)?;
    let mut request = vec!["REPLIGO.CLUSTER".to_owned()];
    request.extend_from_slice(words);
    let reply = connection.expect(&request)?;
    Ok(reply.as_str().unwrap_or_default().to_owned())
}

fn table(json: &str) -> Result<String, String> {
    let report: Value =
        serde_json::from_str(json).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let text = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
    let mut out = format!(
        "{:<12} {:>6}  {:<9} {:<10} {}\n",
        "NAME", "NUMBER", "ROLE", "STATE", "ADDRESS"
    );
    for member in report["members"].as_array().into_iter().flatten() {
        let state = match (member["leads"].as_bool(), member["connected"].as_bool()) {
            _ if member["silent"].as_bool() == Some(true) => "silent",
            (Some(true), _) => "leads",
            (_, Some(true)) => "connected",
            _ => "away",
        };
        let replaces = match member["replaces"].as_str() {
            Some(old) => format!("  replaces {old}"),
            None => String::new(),
        };
        out.push_str(&format!(
            "{:<12} {:>6}  {:<9} {:<10} {}{replaces}\n",
            text(member, "name"),
            member["number"].as_u64().unwrap_or(0),
            text(member, "role"),
            state,
            text(member, "address"),
        ));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_removes_a_member_is_told_how_many_may_fail() {
        let nodes = |voters: usize| {
            let voter = |number: usize| serde_json::json!({ "name": format!("n{number}"), "role": "voter" });
            let learner = serde_json::json!({ "name": "n9", "role": "learner" });
            let members: Vec<Value> = (1..=voters).map(voter).chain([learner]).collect();
            serde_json::json!({ "members": members }).to_string()
        };
        for (left, part) in [
            (1, "One voter is left"),
            (2, "none may fail"),
            (3, "one may fail"),
            (4, "one may fail"),
            (5, "2 may fail"),
            (6, "2 may fail"),
        ] {
            // Whether it is gone from the members yet or not.
            assert!(survives(&nodes(left), "gone").contains(part), "{left}");
            assert!(survives(&nodes(left + 1), "n1").contains(part), "{left}");
        }
        assert_eq!(survives("", "n1"), "");
        assert_eq!(unanswered("TRYAGAIN it leads"), "TRYAGAIN it leads");
        assert!(unanswered("TRYAGAIN there is no leader now").contains("do: bring back"));
    }
}
