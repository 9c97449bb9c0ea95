//! The command line as clap sees it. The flags of `serve` come from the table of configuration keys, so
//! that flags, variables and file keys cannot drift apart.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::flags;
use crate::config::keys::KEYS;
use crate::config::layers::Sources;
use crate::config::redis;

/// Exit codes, as `--help` and the documents state them.
pub const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 it ran and failed, or the answer is no (status: degraded); \
2 wrong usage or configuration (status: unavailable).";

/// A file without a flag, as redis-server takes it.
const STRAY_FILE: &str = "stray-file";

/// The whole command line.
pub fn command() -> Command {
    Command::new("repligo")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A fault-tolerant, Redis-compatible, replicated write-through cache")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(with_node_flags(Command::new("serve").about("Run one node")))
        .subcommand(dev())
        .subcommand(demo())
        .subcommand(demo_client())
        .subcommand(status())
        .subcommand(super::cluster::command())
        .subcommand(super::bench::options::command())
        .subcommand(super::transfer::options::export_command())
        .subcommand(super::transfer::options::import_command())
        .subcommand(super::backup::backup_command())
        .subcommand(super::backup::restore_command())
        .subcommand(super::secret::command())
        .subcommand(super::cert::command())
        .subcommand(config())
        .subcommand(version())
        .subcommand(completions())
        .subcommand(man())
}

/// Adds `--config` and one flag per configuration key.
fn with_node_flags(command: Command) -> Command {
    let mut command = command
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("TOML file with these keys, origins and keyspaces"),
        )
        .after_help(
            "Every flag is also an environment variable (REPLIGO_LISTEN for --listen) and a key of the file. \
             Precedence: flag, environment, file, default.",
        );
    for key in KEYS {
        let help = match (key.default, key.derived) {
            (Some("false"), _) => key.help.to_string(),
            (Some(default), _) => format!("{} [default: {default}]", key.help),
            (None, Some(derived)) => format!("{} [default: {derived}]", key.help),
            (None, None) => key.help.to_string(),
        };
        let arg = Arg::new(key.name).long(key.name).help(help);
        command = command.arg(if key.is_switch() {
            arg.action(ArgAction::SetTrue)
        } else {
            arg.value_name(key.value_name).allow_hyphen_values(true)
        });
    }
    for flag in redis::settings() {
        let taken = Arg::new(flag).long(flag).hide(true).num_args(0..=2);
        command = command.arg(taken.allow_hyphen_values(true));
    }
    command.arg(Arg::new(STRAY_FILE).hide(true).value_name("FILE"))
}

/// What the flags and this process's environment say.
///
/// # Errors
/// The text for a flag that other servers have.
pub fn node_sources(matches: &ArgMatches) -> Result<Sources, String> {
    for setting in redis::settings() {
        let instead = redis::instead(setting).filter(|_| matches.contains_id(setting));
        if let Some(instead) = instead {
            let remedy = instead.remedy(redis::Form::Flag);
            return Err(format!(
                "there is no flag --{setting}\n  where: flag --{setting}\n  do: {remedy}"
            ));
        }
    }
    if let Some(file) = matches.get_one::<String>(STRAY_FILE) {
        return Err(format!(
            "`{file}` stands where no argument is expected\n  where: the command line\n  do: give a configuration \
             file, which is TOML, with --config {file}"
        ));
    }
    let mut flags = Vec::new();
    for key in KEYS {
        if key.is_switch() {
            if matches.get_flag(key.name) {
                flags.push((key.name.to_string(), "true".to_string()));
            }
        } else if let Some(text) = matches.get_one::<String>(key.name) {
            flags.push((key.name.to_string(), text.clone()));
        }
    }
    let config = matches.get_one::<String>("config").cloned();
    Ok(Sources {
        config,
        flags,
        environment: std::env::vars_os().collect(),
    })
}

fn dev() -> Command {
    Command::new("dev")
        .about("Start a cluster of node processes on this machine and stay in the foreground")
        .after_help(
            "Writes DIR/cluster.json when every node is ready, logs to DIR/n1.log and so on. \
             SIGTERM or ^C stops all nodes. A node that dies is not restarted. A folder that holds a cluster goes on with it \
             and its data; with a higher --nodes, the others are added to it.",
        )
        .arg(
            Arg::new("nodes")
                .long("nodes")
                .value_name("N")
                .default_value("3")
                .value_parser(value_parser!(u16).range(1..=7))
                .help("Number of nodes"),
        )
        .arg(
            Arg::new("base-port")
                .long("base-port")
                .value_name("PORT")
                .default_value("7001")
                .value_parser(value_parser!(u16))
                .help("RESP port of the first node; peer ports are +10000, admin ports +1000; 0 picks free ports"),
        )
        .arg(Arg::new("dir").long("dir").value_name("DIR").default_value("repligo-dev").help("Data, logs and cluster.json"))
        .arg(
            Arg::new("durability")
                .long("durability")
                .value_name("MODE")
                .value_parser(["none", "os", "fsync"])
                .help("Durability of every node"),
        )
        .arg(Arg::new("config").long("config").value_name("FILE").help("Configuration file of every node"))
        .arg(
            Arg::new("extra")
                .last(true)
                .num_args(0..)
                .value_name("FLAGS")
                .help("Further flags of `serve`, given to every node"),
        )
}

fn demo() -> Command {
    Command::new("demo")
        .about("Three nodes, a database, a live workload, and a leader that is killed while writes go on")
        .after_help(
            "Ends with the verdict in words on stderr and as one line of JSON on stdout; exit code 0 only if no \
             acknowledged write was lost and the database agrees row by row. Keys on a terminal: k kills the \
             leader, p pauses it, h heals, q ends the workload.",
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .default_value("20")
                .value_parser(value_parser!(u64).range(4..=86_400))
                .help("How long the workload runs"),
        )
        .arg(Arg::new("headless").long("headless").action(ArgAction::SetTrue).help("Print progress lines instead of the live view"))
        .arg(Arg::new("stay").long("stay").action(ArgAction::SetTrue).help("Leave the cluster running after the verdict until ^C, and say what to try"))
        .arg(Arg::new("dir").long("dir").value_name("DIR").help("Keep data, logs and history.jsonl here (default: a temporary folder)"))
        .arg(Arg::new("overwrite").long("overwrite").action(ArgAction::SetTrue).help("Empty DIR first, which holds an earlier demo"))
        .arg(Arg::new("origin").long("origin").value_name("URL").help("Database of the write-through keyspace, sqlite:PATH, which keeps a table repligo_demo (default: in the folder)"))
}

/// The workload of the demo, as a process of its own, so that the counters of what was acknowledged
/// share nothing with the nodes.
fn demo_client() -> Command {
    let text = |name: &'static str| Arg::new(name).long(name).required(true);
    Command::new("demo-client")
        .hide(true)
        .arg(text("client"))
        .arg(text("nodes"))
        .arg(text("history"))
        .arg(text("first-row").value_parser(value_parser!(i64)))
}

fn status() -> Command {
    Command::new("status")
        .about("Show nodes, roles, lag and health, and what to do; exit 0 healthy, 1 degraded, 2 unavailable")
        .after_help(super::status::LEGEND)
        .args(super::login::arguments())
        .args(super::login::secure_arguments())
        .arg(flags::json())
        .arg(
            Arg::new("addr")
                .long("addr")
                .value_name("HOST:PORT")
                .default_value("127.0.0.1:6379")
                .help("RESP address of any node"),
        )
}

fn config() -> Command {
    Command::new("config")
        .about("Check and show configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new("check")
                .about("Check a file, its origins and its keyspaces against their databases")
                .arg(Arg::new("file").value_name("FILE").required(true))
                .arg(
                    Arg::new("file-only")
                        .long("file-only")
                        .action(ArgAction::SetTrue)
                        .help("Do not look into the databases, for a machine that has none of them"),
                )
                .arg(flags::json()),
        )
        .subcommand(
            with_node_flags(
                Command::new("show").about("Show every key with its value and where it comes from"),
            )
            .arg(flags::json()),
        )
}

fn version() -> Command {
    Command::new("version")
        .about("Show version and platform")
        .arg(flags::json())
}

fn completions() -> Command {
    Command::new("completions")
        .about("Print the completion script of a shell")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(clap_complete::Shell)),
        )
}

fn man() -> Command {
    Command::new("man")
        .about("Print the manual page, or write the pages of all commands")
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .help("Write repligo.1, repligo-serve.1 and so on here"),
        )
}

/// Parses arguments; for tests.
///
/// # Errors
/// Clap's own error, which knows its exit code and text.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, clap::Error> {
    command().try_get_matches_from(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<ArgMatches, clap::Error> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn wrong_usage_says_what_was_meant() {
        let check = |words: &[&str], parts: &[&str]| {
            let error = parse_words(words).expect_err("wrong usage");
            assert_eq!(error.exit_code(), 2, "{words:?}");
            let text = error.to_string();
            for part in parts {
                assert!(text.contains(part), "{words:?}: no `{part}` in\n{text}");
            }
        };
        check(
            &["repligo", "sevre"],
            &["unrecognized subcommand 'sevre'", "serve"],
        );
        check(&["repligo", "serve", "--lisen", "x"], &["--lisen", "--listen"]);
        check(&["repligo", "dev", "--nodes", "9"], &["9", "1..=7"]);
        check(&["repligo", "config", "shwo"], &["show"]);
        check(&["repligo", "completions", "tcsh"], &["bash"]);
    }

    #[test]
    fn flags_become_sources() {
        let matches = parse_words(&[
            "repligo",
            "serve",
            "--listen",
            "127.0.0.1:1",
            "--insecure",
            "--config",
            "r.toml",
        ]);
        let matches = matches.expect("valid");
        let sources = node_sources(matches.subcommand_matches("serve").expect("serve")).expect("nothing new");
        assert_eq!(sources.config.as_deref(), Some("r.toml"));
        assert_eq!(
            sources.flags,
            [
                ("listen".to_string(), "127.0.0.1:1".to_string()),
                ("insecure".to_string(), "true".to_string())
            ]
        );
    }

    #[test]
    fn what_redis_server_takes_is_refused_with_what_it_is_called_here() {
        let check = |words: &[&str], parts: &[&str]| {
            let line = [&["repligo", "serve"], words].concat();
            let matches = parse_words(&line).expect("known to us");
            let text =
                node_sources(matches.subcommand_matches("serve").expect("serve")).expect_err("refused");
            for part in parts {
                assert!(text.contains(part), "{words:?}: no `{part}` in\n{text}");
            }
        };
        check(&["--port", "6380"], &["no flag --port", "use --listen IP:PORT"]);
        check(&["--bind", "0.0.0.0"], &["use --listen IP:PORT"]);
        check(&["--host=localhost"], &["use --listen IP:PORT"]);
        check(&["--dir", "/data"], &["use --data-dir DIR"]);
        check(&["--appendonly", "yes"], &["use --durability MODE"]);
        check(&["--save", ""], &["use --durability MODE"]);
        check(&["--replicaof", "h", "6379"], &["use --cluster NAME=HOST:PORT"]);
        check(&["--daemonize", "yes"], &["systemd"]);
        check(&["redis.conf"], &["--config redis.conf", "TOML"]);
    }
}
