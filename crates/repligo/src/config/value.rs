//! One configuration value: text in, checked value out. Knows kinds, not keys.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::clients;
use super::cluster::{self, Member};
use super::keys::Kind;
use super::units;

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Name, host, secret or choice.
    Text(String),
    /// Address to listen on.
    Address(SocketAddr),
    /// Path as written.
    Path(PathBuf),
    /// Bytes, a count, or permission bits.
    Number(u64),
    /// True or false.
    Switch(bool),
    /// The cluster line.
    Members(Vec<Member>),
    /// Addresses of nodes that may be asked.
    Contacts(Vec<String>),
}

/// Why a text is not a value: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// One sentence without a full stop.
    pub what: String,
    /// Imperative.
    pub remedy: String,
}

impl BadValue {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        BadValue {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Checks a text against a kind.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse(kind: Kind, text: &str) -> Result<Value, BadValue> {
    match kind {
        Kind::Name => parse_name(text).map(Value::Text),
        Kind::Address => parse_address(text).map(Value::Address),
        Kind::Host => parse_host(text).map(Value::Text),
        Kind::Secret if text.is_empty() => Err(BadValue::new(
            "the password is empty",
            "give one, or leave the key out for no password",
        )),
        Kind::Secret => Ok(Value::Text(text.to_string())),
        Kind::Path if text.is_empty() => Err(BadValue::new(
            "the path is empty",
            "give a path or leave the key out",
        )),
        Kind::Path => Ok(Value::Path(PathBuf::from(text))),
        Kind::Mode => parse_mode(text),
        Kind::Size => units::parse_size(text)
            .map(Value::Number)
            .map_err(|what| BadValue::new(what, "write it with a unit")),
        Kind::SizeOrPercent => clients::parse(text).map(Value::Text),
        Kind::Count { min, max } => parse_count(text, min, max),
        Kind::Choice(words) => parse_choice(text, words),
        Kind::Cluster => cluster::parse(text).map(Value::Members),
        Kind::Contacts => cluster::parse_contacts(text).map(Value::Contacts),
        Kind::Switch => match text {
            "true" | "yes" | "1" => Ok(Value::Switch(true)),
            "false" | "no" | "0" => Ok(Value::Switch(false)),
            _ => Err(BadValue::new(
                format!("`{text}` is neither true nor false"),
                "write true or false",
            )),
        },
    }
}

/// Checks a node name.
pub(super) fn parse_name(text: &str) -> Result<String, BadValue> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(BadValue::new(
            format!("`{text}` is not a node name"),
            "use 1 to 64 letters, digits, dots, underscores and hyphens, such as n1",
        ));
    }
    Ok(text.to_string())
}

fn parse_address(text: &str) -> Result<SocketAddr, BadValue> {
    if let Some(port) = text.strip_prefix("localhost:")
        && let Ok(port) = port.parse()
    {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    if let Some(port) = text.strip_prefix(':').filter(|port| port.parse::<u16>().is_ok()) {
        return Err(BadValue::new(
            format!("`{text}` has a port and no address"),
            format!(
                "write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for every network that it is in"
            ),
        ));
    }
    text.parse().map_err(|_| {
        BadValue::new(
            format!("`{text}` is not an address to listen on"),
            "write IP:PORT, such as 127.0.0.1:6379 or [::1]:6379; host names are for --advertise",
        )
    })
}

fn parse_host(text: &str) -> Result<String, BadValue> {
    let is_ip = text.parse::<std::net::IpAddr>().is_ok();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if is_ip || (!text.is_empty() && text.len() <= 253 && text.chars().all(allowed)) {
        return Ok(text.to_string());
    }
    Err(BadValue::new(
        format!("`{text}` is not a host"),
        "write a host name or an IP address, without a port",
    ))
}

fn parse_mode(text: &str) -> Result<Value, BadValue> {
    match u64::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() <= 4 => Ok(Value::Number(mode)),
        _ => Err(BadValue::new(
            format!("`{text}` is not a file mode"),
            "write permission bits in octal, such as 600, 660 or 777",
        )),
    }
}

fn parse_count(text: &str, min: u64, max: u64) -> Result<Value, BadValue> {
    match text.parse::<u64>() {
        Ok(count) if (min..=max).contains(&count) => Ok(Value::Number(count)),
        _ => Err(BadValue::new(
            format!("`{text}` is not a whole number from {min} to {max}"),
            "write such a number, without a unit",
        )),
    }
}

fn parse_choice(text: &str, words: &[&str]) -> Result<Value, BadValue> {
    if words.contains(&text) {
        return Ok(Value::Text(text.to_string()));
    }
    Err(BadValue::new(
        format!("`{text}` is not one of {}", words.join(", ")),
        crate::suggest::remedy(text, words.iter().copied(), "write one of these words"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |kind: Kind, text: &str, expect: Result<Value, &str>| match (parse(kind, text), expect) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected),
            (Err(bad), Err(part)) => assert!(
                format!("{} {}", bad.what, bad.remedy).contains(part),
                "{text}: {bad:?} does not mention {part}"
            ),
            (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
        };
        let address = |text: &str| Ok(Value::Address(text.parse().expect("address")));
        check(Kind::Address, "127.0.0.1:6379", address("127.0.0.1:6379"));
        check(Kind::Address, "localhost:7", address("127.0.0.1:7"));
        check(Kind::Address, "[::1]:7", address("[::1]:7"));
        check(Kind::Address, "6379", Err("IP:PORT"));
        check(Kind::Address, ":6380", Err("127.0.0.1:6380"));
        check(Kind::Address, ":none", Err("IP:PORT"));
        check(Kind::Address, "example.org:1", Err("--advertise"));
        check(Kind::Address, "127.0.0.1:70000", Err("IP:PORT"));
        check(Kind::Name, "n1", Ok(Value::Text("n1".into())));
        check(Kind::Name, "n 1", Err("not a node name"));
        check(Kind::Name, "", Err("not a node name"));
        check(
            Kind::Host,
            "db-1.example.org",
            Ok(Value::Text("db-1.example.org".into())),
        );
        check(Kind::Host, "h:1", Err("without a port"));
        check(Kind::Secret, "", Err("empty"));
        check(Kind::Count { min: 1, max: 5 }, "5", Ok(Value::Number(5)));
        check(Kind::Count { min: 1, max: 5 }, "6", Err("1 to 5"));
        check(Kind::Mode, "660", Ok(Value::Number(0o660)));
        check(Kind::Mode, "0600", Ok(Value::Number(0o600)));
        check(Kind::Mode, "680", Err("in octal"));
        check(Kind::Mode, "4777", Err("in octal"));
        check(Kind::Mode, "rw-", Err("in octal"));
        check(Kind::Size, "2GiB", Ok(Value::Number(2 << 30)));
        check(
            Kind::Choice(&["none", "os", "fsync"]),
            "os",
            Ok(Value::Text("os".into())),
        );
        check(
            Kind::Choice(&["none", "os", "fsync"]),
            "fsnyc",
            Err("did you mean `fsync`"),
        );
        check(Kind::Switch, "yes", Ok(Value::Switch(true)));
        check(Kind::Switch, "maybe", Err("true or false"));
    }
}
