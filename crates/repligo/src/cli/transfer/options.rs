//! What `export` and `import` can be asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};

use super::file::STANDARD;
use super::follow::Follow;
use super::source::Choice;
use super::target::Existing;
use crate::cli::failure::Failure;
use crate::cli::flags::{addresses, json, switch, value};
use crate::cli::login::Login;
use crate::cli::tls::{self, ClientSide};

const EXIT_CODES: &str = "\
Exit codes: 0 everything was transferred; 1 it failed, or something is missing or different; 2 wrong usage; \
3 everything else was transferred, but not keys of other types; 130 interrupted.";

/// Where the password of a server is looked for without a file.
const VARIABLES: [&str; 2] = ["REPLIGO_REQUIREPASS", "REDISCLI_AUTH"];
/// The same for the source of a copy, so that it cannot be sent to the other server.
const FROM_VARIABLES: [&str; 1] = ["REPLIGO_FROM_PASSWORD"];

/// One server, or the nodes of a cluster.
#[derive(Clone, Debug)]
pub struct Side {
    /// Tried in turn.
    pub addresses: Vec<String>,
    /// For each of them.
    pub login: Login,
}

/// How much is compared at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Counts only.
    None,
    /// And some entries.
    Sample,
    /// And every entry.
    Full,
}

impl Verify {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Verify::None => "none",
            Verify::Sample => "sample",
            Verify::Full => "full",
        }
    }
}

/// What both commands take.
#[derive(Clone, Debug)]
pub struct Common {
    /// Entries per second.
    pub rate: Option<u64>,
    /// How long a server may be unavailable.
    pub patience: Duration,
    /// How much is compared.
    pub verify: Verify,
    /// Print JSON.
    pub json: bool,
}

/// `repligo export`.
#[derive(Clone, Debug)]
pub struct Export {
    /// Where the keys are.
    pub source: Side,
    /// Which of them.
    pub choice: Choice,
    /// File, or `-`.
    pub output: String,
    /// Whether the file may exist.
    pub overwrite: bool,
    /// The rest.
    pub common: Common,
}

/// Where an import comes from.
#[derive(Clone, Debug)]
pub enum From {
    /// A file, or `-`.
    File(String),
    /// Another server.
    Server(Side),
}

/// `repligo import`.
#[derive(Clone, Debug)]
pub struct Import {
    /// From where.
    pub from: From,
    /// To where.
    pub target: Side,
    /// Which keys.
    pub choice: Choice,
    /// What happens to keys that are there.
    pub existing: Existing,
    /// Follow the source, and how.
    pub follow: Option<Follow>,
    /// The first block that is imported.
    pub first_block: u64,
    /// The rest.
    pub common: Common,
}

fn common(verify: &'static str) -> [Arg; 7] {
    [
        value("user", "NAME", "User to log in as [default: the default user]"),
        value(
            "password-file",
            "FILE",
            "File with the password in its first line [default: REPLIGO_REQUIREPASS or REDISCLI_AUTH]",
        ),
        value("db", "N", "Only this database [default: all]").value_parser(value_parser!(u32)),
        value("rate", "PER_SECOND", "At most so many entries per second")
            .value_parser(value_parser!(u64).range(1..=1_000_000_000)),
        value(
            "patience",
            "SECONDS",
            "How long a server may be away before the transfer gives up",
        )
        .default_value("60")
        .value_parser(value_parser!(u64).range(1..=86_400)),
        value(
            "verify",
            "HOW",
            "Compare none, a sample or all of the entries with the server at the end",
        )
        .default_value(verify)
        .value_parser(PossibleValuesParser::new(["none", "sample", "full"])),
        json(),
    ]
}

/// `repligo export`.
pub fn export_command() -> Command {
    Command::new("export")
        .about("Write what a Redis, Valkey or Repligo server holds into a file")
        .after_help(format!(
            "The file is a stream of ordinary requests with checksums (docs/export-format.md); `redis-cli --pipe` takes it \
             too. Deadlines are points in time. Libraries of functions are written too. Keys of modules are counted and named, not \
             written, and so are rows of keyspaces of Repligo, which are in their database. The server \
             may be in use: each key is written as it was at some moment.\n\n{EXIT_CODES}"
        ))
        .arg(addresses("addr", "RESP address; several nodes of a cluster are tried in turn").default_value("127.0.0.1:6379"))
        .arg(value("output", "FILE", "File to write, `-` for standard output").required(true))
        .arg(value("match", "PATTERN", "Only keys that match, as in SCAN"))
        .arg(switch("overwrite", "Replace the file if it exists"))
        .args(common("none"))
        .args(tls::flags())
}

/// `repligo import`.
pub fn import_command() -> Command {
    Command::new("import")
        .about("Write an export, an RDB file, or what another server holds, into a Redis, Valkey or Repligo server")
        .after_help(format!(
            "FILE is an export, or an RDB file of Redis or Valkey (versions 7 to 12 of its format): it is read to its end \
             before anything is written. With --from, keys are copied directly from \
             another server, whose password is in --from-password-file or REPLIGO_FROM_PASSWORD. Libraries of functions are \
             taken too, whatever keys are chosen; but for rows of keyspaces of Repligo, which are in their database.\n\n{EXIT_CODES}"
        ))
        .arg(Arg::new("file").value_name("FILE").help("File of an export, `-` for standard input; or an RDB file"))
        .arg(addresses("from", "Copy from this server instead of a file"))
        .group(ArgGroup::new("source").args(["file", "from"]).required(true))
        .arg(addresses("addr", "RESP address of the target; several nodes of a cluster are tried in turn").visible_alias("to").default_value("127.0.0.1:6379"))
        .arg(value("from-user", "NAME", "User of the source").requires("from"))
        .arg(value("from-password-file", "FILE", "File with the password of the source").requires("from"))
        .arg(value("match", "PATTERN", "Only keys that match, as in SCAN").requires("from"))
        .arg(switch("follow", "Take everything from a Redis or Valkey as a replica of it (PSYNC), and follow it until ^C; not from a Repligo, which has no PSYNC")
            .requires("from"))
        .arg(switch("until-caught-up", "With --follow: end when the target has all that the source had a moment ago").requires("follow"))
        .arg(value("spool", "FOLDER", "With --follow: where the snapshot is kept meanwhile [default: the folder for temporary files]").requires("follow"))
        .arg(switch("fail-existing", "End when the target has a key already (this is the default)"))
        .arg(switch("skip-existing", "Leave keys that the target has as they are"))
        .arg(switch("replace", "Overwrite keys that the target has"))
        .group(ArgGroup::new("existing").args(["fail-existing", "skip-existing", "replace"]))
        .arg(
            value("from-block", "N", "Go on with this block of the file; the blocks in front of it are checked only")
                .default_value("1")
                .value_parser(value_parser!(u64).range(1..))
                .conflicts_with("from"),
        )
        .args(common("sample"))
        .args(tls::flags())
        .args(tls::source_flags())
}

fn read_common(matches: &ArgMatches) -> Common {
    let patience = *matches.get_one::<u64>("patience").expect("clap has a default");
    let verify = matches.get_one::<String>("verify").expect("clap has a default");
    Common {
        rate: matches.get_one("rate").copied(),
        patience: Duration::from_secs(patience),
        verify: match verify.as_str() {
            "none" => Verify::None,
            "sample" => Verify::Sample,
            _ => Verify::Full,
        },
        json: matches.get_flag("json"),
    }
}

fn side(matches: &ArgMatches, flag: &str) -> Result<Side, Failure> {
    let addresses: Vec<String> = matches
        .get_many::<String>(flag)
        .unwrap_or_default()
        .map(|address| address.trim().to_string())
        .collect();
    for address in &addresses {
        let port = address.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            port.filter(|_| !host.is_empty())
        });
        if port.is_none() {
            return Err(Failure::new(
                format!("--{flag} {address}: not an address"),
                "write HOST:PORT, for example 127.0.0.1:6379",
            ));
        }
    }
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let login = match flag {
        "from" => Login::find(text("from-user"), text("from-password-file"), &FROM_VARIABLES)?
            .over(ClientSide::find_source(matches)?),
        _ => Login::find(text("user"), text("password-file"), &VARIABLES)?.over(ClientSide::find(matches)?),
    };
    Ok(Side { addresses, login })
}

fn choice(matches: &ArgMatches) -> Choice {
    Choice {
        db: matches.get_one("db").copied(),
        pattern: matches.get_one("match").cloned(),
    }
}

/// A second reading needs something that can be read twice.
fn judge_verify(common: &Common, file: Option<&str>) -> Result<(), Failure> {
    if common.verify == Verify::Full && file == Some(STANDARD) {
        return Err(Failure::new(
            "--verify full: a stream cannot be read twice",
            "use a file, or --verify sample",
        ));
    }
    Ok(())
}

/// What is followed becomes what the source is, in an empty target: there is nothing to choose.
fn judge_follow(matches: &ArgMatches) -> Result<(), Failure> {
    if !matches.get_flag("follow") {
        return Ok(());
    }
    let existing = ["replace", "skip-existing", "fail-existing"];
    if let Some(name) = existing.into_iter().find(|name| matches.get_flag(name)) {
        return Err(Failure::new(
            format!("--{name}: has no meaning with --follow, which takes only a target without keys"),
            format!("leave --{name} away; a target that has keys is emptied with FLUSHALL first"),
        ));
    }
    if matches.contains_id("match") {
        return Err(Failure::new(
            "--match: has no meaning with --follow, which takes everything",
            "leave --match away, or copy without --follow; --db N follows one database",
        ));
    }
    Ok(())
}

impl Export {
    /// Judges what clap has parsed.
    ///
    /// # Errors
    /// What cannot be, with the flag and a remedy.
    pub fn from_matches(matches: &ArgMatches) -> Result<Export, Failure> {
        let output = matches
            .get_one::<String>("output")
            .expect("clap requires it")
            .clone();
        let common = read_common(matches);
        judge_verify(&common, Some(&output))?;
        Ok(Export {
            source: side(matches, "addr")?,
            choice: choice(matches),
            output,
            overwrite: matches.get_flag("overwrite"),
            common,
        })
    }
}

impl Import {
    /// Judges what clap has parsed.
    ///
    /// # Errors
    /// What cannot be, with the flag and a remedy.
    pub fn from_matches(matches: &ArgMatches) -> Result<Import, Failure> {
        let file = matches.get_one::<String>("file").cloned();
        let common = read_common(matches);
        judge_verify(&common, file.as_deref())?;
        // Clap does not ask for --from where FILE excludes it.
        let of_servers = ["match", "from-user", "from-password-file"];
        if let Some(name) = of_servers.iter().find(|name| matches.contains_id(name))
            && file.is_some()
        {
            return Err(Failure::new(
                format!("--{name}: has no meaning for a file"),
                "use --from HOST:PORT instead of FILE",
            ));
        }
        let from = match file {
            Some(file) => From::File(file),
            None => From::Server(side(matches, "from")?),
        };
        judge_follow(matches)?;
        let follow = matches.get_flag("follow").then(|| Follow {
            until_caught_up: matches.get_flag("until-caught-up"),
            folder: matches
                .get_one::<String>("spool")
                .map_or_else(std::env::temp_dir, PathBuf::from),
        });
        if follow.is_some() && common.verify == Verify::Full {
            return Err(Failure::new(
                "--verify full: a source that is followed changes meanwhile",
                "use --verify sample",
            ));
        }
        Ok(Import {
            from,
            target: side(matches, "addr")?,
            choice: choice(matches),
            existing: match () {
                // What it writes is the source's, and may be written twice.
                () if follow.is_some() => Existing::Replace,
                () if matches.get_flag("replace") => Existing::Replace,
                () if matches.get_flag("skip-existing") => Existing::Skip,
                () => Existing::Fail,
            },
            follow,
            first_block: *matches.get_one("from-block").expect("clap has a default"),
            common,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(words: &[&str]) -> Result<Import, String> {
        let words = std::iter::once("import").chain(words.iter().copied());
        let matches = import_command()
            .try_get_matches_from(words)
            .map_err(|error| error.to_string())?;
        Import::from_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_harm_nothing() {
        let import = import(&["a.repligo"]).expect("valid");
        assert_eq!(import.existing, Existing::Fail);
        assert_eq!(import.common.verify, Verify::Sample);
        assert_eq!(import.target.addresses, ["127.0.0.1:6379"]);
        assert!(matches!(import.from, From::File(path) if path == "a.repligo"));
    }

    #[test]
    fn contradictions_are_refused_with_the_flag() {
        let check = |words: &[&str], parts: &[&str]| {
            let text = import(words).expect_err("refused");
            for part in parts {
                assert!(text.contains(part), "{words:?}: no `{part}` in\n{text}");
            }
        };
        check(&[], &["FILE", "--from"]);
        check(&["a", "--from", "h:1"], &["cannot be used with"]);
        check(&["a", "--replace", "--skip-existing"], &["cannot be used with"]);
        check(&["a", "--match", "x*"], &["--from"]);
        check(&["--from", "h:1", "--from-block", "2"], &["cannot be used with"]);
        check(
            &["--from", "h:1", "--follow", "--replace"],
            &["--replace", "--follow", "leave --replace away"],
        );
        check(
            &["--from", "h:1", "--follow", "--match", "x*"],
            &["--match", "--db N"],
        );
        check(&["--from", "nowhere"], &["--from nowhere", "HOST:PORT"]);
        check(&["a", "--to", "h:0"], &["h:0", "HOST:PORT"]);
        check(&["-", "--verify", "full"], &["--verify full", "--verify sample"]);
        check(&["a", "--rate", "0"], &["0"]);
        check(
            &["a", "--user", "app", "--password-file", "/nonexistent/x"],
            &["/nonexistent/x"],
        );
    }
}
