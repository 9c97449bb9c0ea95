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
                .arg(name("member", "NAME=HOST:PORT, the peer address of the new node")),
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
                .arg(name("member", "NAME=HOST:PORT, the peer address of the new node")),
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
        let text = word("member");
        let parts = text
            .split_once('=')
            .map(|(name, at)| (name.to_owned(), at.to_owned()));
        parts.ok_or_else(|| format!("`{text}` is not NAME=HOST:PORT: give the peer address of the new node"))
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
            let (name, at) = member()?;
            vec!["ADD".to_owned(), name, at]
        }
        "replace" => {
            let (name, at) = member()?;
            vec!["REPLACE".to_owned(), word("old"), name, at]
        }
        _ => vec![verb.to_ascii_uppercase(), word("name")],
    };
    ask(address, login, &asked)?;
    Ok(format!("{}\n", told(verb, &asked[1..])))
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
            return Err(failed);
        }
        std::thread::sleep(PAUSE);
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
