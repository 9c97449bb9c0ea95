//! `repligo cert`: an authority of one's own, and certificates of nodes, servers and clients, as PEM files.
//!
//! For those who have no authority yet and want files rather than a cluster secret. A certificate of a node
//! is good for links between nodes alone, and one of a client or server never is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rustls::pki_types::UnixTime;

use super::secret::{write_new, write_public};
use crate::private;
use crate::tls::authority::{Authority, Subject, Validity};
use crate::tls::identity::{NodeIdentity, is_name};
use crate::tls::pem;

/// Clocks differ: a certificate begins a while ago.
const BACKDATED: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The command line.
pub fn command() -> Command {
    let out = Arg::new("out").long("out").value_name("DIR").default_value(".");
    let days = |default: &'static str| {
        Arg::new("days")
            .long("days")
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(u64).range(1..=36_500))
            .help("How long it is valid")
    };
    let authority = Arg::new("ca")
        .long("ca")
        .value_name("DIR")
        .default_value(".")
        .help("Where ca.crt and ca.key are");
    let cluster = Arg::new("cluster")
        .long("cluster-name")
        .value_name("NAME")
        .default_value("repligo")
        .help("What tells clusters apart that one authority certifies; the same for all certificates of a cluster");
    let name = Arg::new("name").long("name").value_name("NAME").required(true);
    let issued = |command: Command| {
        let out = out.clone().help("Where NAME.crt and NAME.key go");
        command
            .arg(authority.clone())
            .arg(cluster.clone())
            .arg(days("365"))
            .arg(out)
    };
    Command::new("cert")
        .about("Make an authority, and certificates of nodes, servers and clients")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new("ca")
                .about("Make an authority: ca.crt and ca.key")
                .arg(cluster.clone())
                .arg(days("3650"))
                .arg(out.clone().help("Where they go")),
        )
        .subcommand(
            issued(Command::new("node").about("Certify a node for links between nodes"))
                .arg(name.clone().help("Its --name")),
        )
        .subcommand(
            issued(Command::new("server").about("Certify a node for clients")).arg(
                name.clone().num_args(1..).action(ArgAction::Append).help(
                    "Host names and addresses under which clients reach it; files are named after the first",
                ),
            ),
        )
        .subcommand(
            issued(Command::new("client").about("Certify a client")).arg(name.help("What it is called")),
        )
}

/// `repligo cert …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let result = match matches.subcommand() {
        Some(("ca", matches)) => make_authority(matches),
        Some((kind, matches)) => issue(kind, matches),
        None => unreachable!("clap requires a subcommand"),
    };
    match result {
        Ok(files) => {
            for file in files {
                super::print(format_args!("{}\n", file.display()));
            }
            ExitCode::SUCCESS
        }
        Err(text) => super::fail(super::FAILED, text),
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches
        .get_one::<String>(name)
        .expect("it has a default, or clap requires it")
}

fn validity(matches: &ArgMatches) -> Validity {
    let days = *matches.get_one::<u64>("days").expect("it has a default");
    Validity::starting(
        UnixTime::now(),
        BACKDATED,
        DAY * u32::try_from(days).unwrap_or(u32::MAX),
    )
}

fn checked(name: &str) -> Result<&str, String> {
    if is_name(name) {
        return Ok(name);
    }
    Err(format!(
        "`{name}` is no name\n  do: use letters, digits, `.`, `_` and `-`, at most 64"
    ))
}

fn make_authority(matches: &ArgMatches) -> Result<Vec<PathBuf>, String> {
    let authority = Authority::random(checked(text(matches, "cluster"))?, validity(matches));
    let (certificate, key) = authority.pem();
    write_pair(Path::new(text(matches, "out")), "ca", &certificate, &key)
}

fn issue(kind: &str, matches: &ArgMatches) -> Result<Vec<PathBuf>, String> {
    let folder = Path::new(text(matches, "ca"));
    let failed =
        |path: &Path, what: &str, remedy: &str| format!("{}: {what}\n  do: {remedy}", path.display());
    let read = |name: &str| {
        let path = folder.join(name);
        let read = if name.ends_with("key") {
            pem::read_private(&path)
        } else {
            pem::read(&path)
        };
        let bytes = read.map_err(|(what, _)| failed(&path, &what, "make an authority: repligo cert ca"))?;
        String::from_utf8(bytes).map_err(|_| failed(&path, "it is not text", "give a file in PEM form"))
    };
    let cluster = checked(text(matches, "cluster"))?;
    let authority = Authority::from_pem(cluster, &read("ca.crt")?, &read("ca.key")?).map_err(|what| {
        failed(
            &folder.join("ca.key"),
            &what,
            "give the folder of an authority with --ca",
        )
    })?;
    let names: Vec<String> = matches
        .get_many::<String>("name")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let first = checked(names.first().map_or("", String::as_str))?.to_owned();
    let subject = match kind {
        "node" => Subject::Node(NodeIdentity {
            cluster: cluster.to_owned(),
            name: first.clone(),
        }),
        "server" => Subject::Server(names),
        _ => Subject::Client(first.clone()),
    };
    let (certificate, key) = authority.issue_pem(&subject, validity(matches))?;
    write_pair(Path::new(text(matches, "out")), &first, &certificate, &key)
}

/// The key is made for its owner alone; the certificate is for all who are to believe it. An existing file is not
/// overwritten.
fn write_pair(folder: &Path, name: &str, certificate: &str, key: &str) -> Result<Vec<PathBuf>, String> {
    let paths = vec![
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    ];
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return Err(format!(
            "{} exists\n  do: give another folder with --out",
            path.display()
        ));
    }
    private::create_dir_all(folder)
        .and_then(|()| {
            write_public(&paths[0], certificate)?;
            write_new(&paths[1], key)
        })
        .map_err(|error| {
            format!(
                "{} cannot be written: {error}\n  do: give a folder that you may write with --out",
                folder.display()
            )
        })?;
    Ok(paths)
}
