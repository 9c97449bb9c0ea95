//! What people who know Redis write, and what it is called here: flags of redis-server, and redis.conf.

use repligo_proto::words::FOLLOW_COMMAND;

use super::keys::{self, KEYS};

/// In place of a setting of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// This key of ours.
    Key(&'static str),
    /// There is no such setting, for this reason.
    Nothing(&'static str),
}

use Instead::{Key, Nothing};

/// Settings of Redis, and words like them, that are no keys of ours.
const SETTINGS: &[(&str, Instead)] = &[
    ("port", Key("listen")),
    ("bind", Key("listen")),
    ("host", Key("listen")),
    ("dir", Key("data-dir")),
    ("dbfilename", Key("data-dir")),
    ("appendonly", Key("durability")),
    ("appendfsync", Key("durability")),
    ("save", Key("durability")),
    ("loglevel", Key("log-level")),
    ("replicaof", Key("cluster")),
    (FOLLOW_COMMAND, Key("cluster")),
    ("cluster-enabled", Key("cluster")),
    ("password", Key("requirepass")),
    ("io-threads", Key("workers")),
    ("protected-mode", Key("insecure")),
    ("logfile", Nothing("logs go to stderr, so redirect that")),
    (
        "daemonize",
        Nothing("a node stays in the foreground, so let systemd or a container run it"),
    ),
    ("pidfile", Nothing("node.pid in --data-dir has the process id")),
    ("databases", Nothing("there are always 16 databases")),
    ("unixsocket", Key("unix-socket")),
    ("unixsocketperm", Key("unix-socket-mode")),
    ("tls-port", Key("tls-listen")),
    ("tls-cert-file", Key("tls-cert")),
    ("tls-key-file", Key("tls-key")),
    ("tls-ca-cert-file", Key("tls-client-ca")),
    ("tls-auth-clients", Key("tls-client-auth")),
    (
        "tcp-keepalive",
        Nothing("silent clients are always probed, so leave it out"),
    ),
];

/// Names of [`SETTINGS`].
pub fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(name, _)| *name)
}

/// What stands in place of a setting of Redis, whatever its case; `None` for our own keys and all else.
pub fn instead(name: &str) -> Option<Instead> {
    let found = SETTINGS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, instead)| *instead)
}

/// How a setting is written.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `--listen IP:PORT`
    Flag,
    /// `REPLIGO_LISTEN=IP:PORT`
    Variable,
    /// `listen = "IP:PORT"`
    File,
}

impl Instead {
    /// The remedy for somebody who wrote the setting of Redis in this form.
    pub fn remedy(self, form: Form) -> String {
        let name = match self {
            Key(name) => name,
            Nothing(why) => return why.to_owned(),
        };
        let key = keys::find(name).expect("the table names keys, which a test checks");
        let value = key.value_name;
        match form {
            Form::Flag if key.is_switch() => format!("use --{name}"),
            Form::Flag => format!("use --{name} {value}"),
            Form::Variable if key.is_switch() => format!("use {}=true", key.environment()),
            Form::Variable => format!("use {}={value}", key.environment()),
            Form::File if key.is_switch() => format!("write {name} = true"),
            Form::File => format!("write {name} = \"{value}\""),
        }
    }
}

/// If a text is a redis.conf: the line of its first setting, and how to write here what it sets.
pub fn redis_conf(text: &str) -> Option<(usize, String)> {
    let mut first = None;
    let mut translated: Vec<String> = Vec::new();
    for (line, setting) in (1..).zip(text.lines()) {
        let setting = setting.trim();
        if setting.is_empty() || setting.starts_with('#') {
            continue;
        }
        let (name, rest) = setting.split_once(char::is_whitespace)?;
        // TOML has an equals sign behind a name, or brackets.
        if rest.trim_start().starts_with('=') || name.contains(['=', '[', '"']) {
            return None;
        }
        first.get_or_insert(line);
        let ours = KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name));
        let instead = ours.map(|key| Key(key.name)).or_else(|| instead(name));
        let Some(instead) = instead else { continue };
        let told = format!("for `{name}` {}", instead.remedy(Form::File));
        if !translated.contains(&told) {
            translated.push(told);
        }
    }
    let first = first.filter(|_| !translated.is_empty())?;
    Some((first, translated.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_redis_has_something_in_its_place() {
        for (name, instead) in SETTINGS {
            assert!(keys::find(name).is_none(), "{name} is a key of ours");
            for form in [Form::Flag, Form::Variable, Form::File] {
                assert!(!instead.remedy(form).is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn the_remedy_has_the_form_of_what_was_written() {
        let remedy = |name: &str, form| instead(name).expect("a setting of Redis").remedy(form);
        assert_eq!(remedy("port", Form::Flag), "use --listen IP:PORT");
        assert_eq!(remedy("PORT", Form::Variable), "use REPLIGO_LISTEN=IP:PORT");
        assert_eq!(remedy("dir", Form::File), "write data-dir = \"DIR\"");
        assert_eq!(remedy("protected-mode", Form::Flag), "use --insecure");
        assert!(remedy("logfile", Form::Flag).contains("stderr"));
        assert_eq!(instead("frobnicate"), None);
    }

    #[test]
    fn a_redis_conf_is_told_from_toml() {
        let text = "# Redis configuration\n\nport 6380\nmaxmemory 2gb\nsave 3600 1\nsave 300 100\nhz 10\n";
        let (line, remedy) = redis_conf(text).expect("a redis.conf");
        assert_eq!(line, 3);
        for part in [
            "`port` write listen",
            "`maxmemory` write maxmemory",
            "`save` write durability",
        ] {
            assert!(remedy.contains(part), "{remedy}");
        }
        assert_eq!(remedy.matches("`save`").count(), 1, "{remedy}");
        for toml in [
            "listen = \"x\"\n",
            "listen \n",
            "[origin.main]\nurl = 1",
            "",
            "some words\n",
            "listen= \n",
        ] {
            assert_eq!(redis_conf(toml), None, "{toml}");
        }
    }
}
