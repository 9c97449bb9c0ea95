//! The cluster line: `n1=HOST:PORT,n2=HOST:PORT,…`, the same on every node.
//!
//! Hosts stay text here: they are looked up whenever a peer is dialled, so that a changed address heals.
//! Invariants of a parsed line: at least one member, names and addresses unique, ports not 0, sorted by name.

use std::fmt;

use repligo_core::limits::VOTERS_MAX;

use super::value::{BadValue, parse_name};

/// One node of the cluster line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Host name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// Peer port.
    pub port: u16,
}

impl Member {
    /// `HOST:PORT`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address())
    }
}

const FORM: &str = "write NAME=HOST:PORT,NAME=HOST:PORT,… with the peer ports, \
                    such as n1=10.0.0.1:16379,n2=10.0.0.2:16379,n3=10.0.0.3:16379";

/// Parses the line and sorts it by name, which gives every node the same numbering.
///
/// # Errors
/// What is wrong with the line, and its form.
pub fn parse(text: &str) -> Result<Vec<Member>, BadValue> {
    let mut members = text
        .split(',')
        .map(|part| parse_member(part.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|left, right| left.name.cmp(&right.name));
    for pair in members.windows(2) {
        if pair[0].name == pair[1].name {
            return Err(BadValue::new(
                format!("the name `{}` stands twice in the cluster line", pair[0].name),
                "give every node its own name",
            ));
        }
    }
    for (position, member) in members.iter().enumerate() {
        if let Some(other) = members[..position]
            .iter()
            .find(|other| other.host == member.host && other.port == member.port)
        {
            return Err(BadValue::new(
                format!(
                    "`{}` and `{}` have the same address {}:{}",
                    other.name, member.name, member.host, member.port
                ),
                "give every node its own peer address",
            ));
        }
    }
    if members.len() > VOTERS_MAX {
        return Err(BadValue::new(
            format!("the cluster line names {} nodes", members.len()),
            format!("name at most {VOTERS_MAX}; three or five are usual"),
        ));
    }
    Ok(members)
}

fn parse_member(text: &str) -> Result<Member, BadValue> {
    let malformed = || {
        BadValue::new(
            format!("`{text}` in the cluster line is not NAME=HOST:PORT"),
            FORM,
        )
    };
    let (name, address) = text.split_once('=').ok_or_else(malformed)?;
    let name = parse_name(name)?;
    let (host, port) = parse_host_and_port(address).ok_or_else(malformed)?;
    if port == 0 {
        return Err(BadValue::new(
            format!("node `{name}` has port 0 in the cluster line"),
            FORM,
        ));
    }
    Ok(Member { name, host, port })
}

/// An IPv6 address stands in brackets, and is given without them.
fn parse_host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(inside) if inside.parse::<std::net::Ipv6Addr>().is_ok() => inside,
        None if !host.is_empty() && !host.contains([':', '[', ']', '/', ' ', '=']) => host,
        _ => return None,
    };
    Some((host.to_owned(), port))
}

/// Parses the addresses of members that may be asked, in their order.
///
/// # Errors
/// Which of them is none, and what one looks like.
pub fn parse_contacts(text: &str) -> Result<Vec<String>, BadValue> {
    let contact = |part: &str| {
        let part = part.trim();
        let parsed = parse_host_and_port(part).filter(|(_, port)| *port != 0);
        parsed.map(|_| part.to_owned()).ok_or_else(|| {
            BadValue::new(
                format!("`{part}` is not HOST:PORT"),
                "give the peer address of one member or several, as `repligo cluster nodes` lists them, such as \
                 10.0.0.1:16379",
            )
        })
    };
    text.split(',').map(contact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |text: &str, expect: Result<&str, &str>| match (parse(text), expect) {
            (Ok(members), Ok(expected)) => {
                let shown: Vec<String> = members.iter().map(ToString::to_string).collect();
                assert_eq!(shown.join(","), expected);
            }
            (Err(bad), Err(part)) => assert!(bad.what.contains(part), "{text}: {bad:?}"),
            (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
        };
        check("n1=127.0.0.1:1", Ok("n1=127.0.0.1:1"));
        check("n2=h:2, n1=h:1", Ok("n1=h:1,n2=h:2"));
        check("n1=[::1]:1", Ok("n1=[::1]:1"));
        check("n1=::1:1", Err("not NAME=HOST:PORT"));
        check("n1", Err("not NAME=HOST:PORT"));
        check("", Err("not NAME=HOST:PORT"));
        check("n1=h", Err("not NAME=HOST:PORT"));
        check("n1=h:0", Err("port 0"));
        check("n1=h:65536", Err("not NAME=HOST:PORT"));
        check("n1=h:1,n1=h:2", Err("stands twice"));
        check("n1=h:1,n2=h:1", Err("same address"));
        check(
            "a=h:1,b=h:2,c=h:3,d=h:4,e=h:5,f=h:6,g=h:7,h=h:8",
            Err("names 8 nodes"),
        );
    }

    #[test]
    fn contacts_are_addresses_without_names() {
        let contacts = parse_contacts("h:1, [::1]:2").expect("two");
        assert_eq!(contacts, ["h:1", "[::1]:2"]);
        for wrong in ["", "h", "h:0", "n1=h:1", "h:1,", "::1:1"] {
            assert!(parse_contacts(wrong).is_err(), "{wrong}");
        }
    }
}
