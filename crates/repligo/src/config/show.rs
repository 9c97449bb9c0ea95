//! `config show`: every key with its value and where that came from. Secrets are not shown.

use std::fmt::Write as _;

use serde_json::json;

use super::NodeSettings;
use super::keys::Kind;
use super::layers::{Layered, Setting};
use super::units::show_size;
use super::url;
use super::value::Value;

/// Text of a value as it would stand in a file; `None` where there is none.
fn shown(setting: &Setting, settings: &NodeSettings) -> Option<String> {
    if let Some(value) = &setting.value {
        return Some(match value {
            Value::Text(_) if setting.key.kind == Kind::Secret => "(set, not shown)".to_string(),
            Value::Text(text) => text.clone(),
            Value::Address(address) => address.to_string(),
            Value::Path(path) => path.display().to_string(),
            Value::Number(bytes) if setting.key.kind == Kind::Size => show_size(*bytes),
            Value::Number(mode) if setting.key.kind == Kind::Mode => format!("{mode:o}"),
            Value::Number(count) => count.to_string(),
            Value::Switch(on) => on.to_string(),
            Value::Members(members) => members
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
            Value::Contacts(contacts) => contacts.join(","),
        });
    }
    match setting.key.name {
        "peer-listen" => Some(settings.peer_listen.to_string()),
        "admin-listen" => Some(settings.admin_listen.to_string()),
        "advertise" => Some(settings.listen.ip().to_string()),
        _ => None,
    }
}

/// A table for people.
pub fn text(layered: &Layered, settings: &NodeSettings) -> String {
    let rows: Vec<(&str, String, String)> = layered
        .settings
        .iter()
        .map(|setting| {
            let value = shown(setting, settings).unwrap_or_else(|| "-".to_string());
            (setting.key.name, value, setting.origin.to_string())
        })
        .collect();
    let name_width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
    let value_width = rows.iter().map(|row| row.1.len()).max().unwrap_or(0).min(60);
    let mut out = String::new();
    for (name, value, origin) in rows {
        let _ = writeln!(out, "{name:name_width$}  {value:value_width$}  {origin}");
    }
    for origin in &settings.origins.origins {
        let _ = writeln!(out, "[origin.{}] {}", origin.name, url::shown(&origin.url));
    }
    for keyspace in &settings.origins.keyspaces {
        let _ = writeln!(
            out,
            "[[keyspace]] {}: {} → {}.{} ({})",
            keyspace.name, keyspace.pattern, keyspace.origin, keyspace.table, keyspace.mode
        );
    }
    out
}

/// One JSON object: `{"keys": [{"key", "value", "origin", "where"}], "origins": […], "keyspaces": […]}`.
pub fn json(layered: &Layered, settings: &NodeSettings) -> serde_json::Value {
    let keys: Vec<_> = layered
        .settings
        .iter()
        .map(|setting| {
            json!({
                "key": setting.key.name,
                "value": shown(setting, settings),
                "origin": setting.origin.word(),
                "where": setting.origin.to_string(),
                "environment": setting.key.environment(),
            })
        })
        .collect();
    let origins: Vec<_> = settings
        .origins
        .origins
        .iter()
        .map(|origin| json!({ "name": origin.name, "url": url::shown(&origin.url) }))
        .collect();
    let keyspaces: Vec<_> = settings
        .origins
        .keyspaces
        .iter()
        .map(|keyspace| {
            json!({
                "name": keyspace.name, "pattern": keyspace.pattern, "origin": keyspace.origin,
                "table": keyspace.table, "mode": keyspace.mode,
            })
        })
        .collect();
    json!({ "keys": keys, "origins": origins, "keyspaces": keyspaces })
}

#[cfg(test)]
mod tests {
    use super::super::layers::Sources;
    use super::*;

    #[test]
    fn every_key_is_shown_with_its_origin_and_no_secret() {
        let flags = vec![
            ("requirepass".to_string(), "hunter2".to_string()),
            ("maxmemory".into(), "2GiB".into()),
        ];
        let layered = Layered::read(&Sources {
            flags,
            ..Default::default()
        })
        .expect("valid");
        let settings = super::super::refusals::settle(&layered).expect("valid");
        let shown = text(&layered, &settings);
        let json = json(&layered, &settings).to_string();
        for key in super::super::keys::KEYS {
            assert!(
                shown.contains(key.name) && json.contains(key.name),
                "{} is missing",
                key.name
            );
        }
        assert!(
            !shown.contains("hunter2") && !json.contains("hunter2"),
            "the password is shown"
        );
        assert!(
            shown.contains("2GiB") && shown.contains("flag --maxmemory"),
            "{shown}"
        );
        assert!(
            shown.contains("unix-socket-mode") && !shown.contains("384"),
            "{shown}"
        );
        assert!(
            shown.contains("127.0.0.1:16379") && shown.contains("derived"),
            "{shown}"
        );
    }
}
