//! What CONFIG GET shows of how the node was started.

use repligo_core::contract::Durability;
use repligo_proto::words;

use super::NodeConfig;
use crate::session::{Limits, Parameters};
use crate::tls::clients::ClientCertificates;

/// What subscribers may leave unread, as in Redis: 32 MiB, or 8 MiB for a minute.
const SUBSCRIBERS: &str = "33554432 8388608 60";

/// Parameters of a node that was started with this configuration and listens on this port.
pub fn parameters(config: &NodeConfig, port: u16) -> Parameters {
    let limits = Limits {
        needs_password: config.needs_password,
        output_bytes_max: config.output_bytes_max,
        output_stall_seconds: config.output_stall_seconds,
        maxclients: config.maxclients,
        login_seconds: config.clients.login_seconds,
        proto_max_bulk_bytes: config.proto_max_bulk_bytes,
        memory: config.memory,
    };
    Parameters::new(|name| given_value(name, config, port), limits)
}

/// Values that follow from how the node was started.
fn given_value(name: &str, config: &NodeConfig, port: u16) -> Option<String> {
    let durability = config.durability;
    Some(match name {
        "appendfsync" if durability == Durability::Fsync => "always".to_owned(),
        "appendfsync" => "everysec".to_owned(),
        "appendonly" if durability == Durability::None => "no".to_owned(),
        "appendonly" => "yes".to_owned(),
        "bind" => {
            let host = config.listen.rsplit_once(':').map(|(host, _)| host);
            host.unwrap_or("127.0.0.1").to_owned()
        }
        "client-output-buffer-limit" => {
            let (hard, follower) = (config.output_bytes_max, words::FOLLOWER_ROLE);
            format!("normal {hard} 0 0 {follower} 0 0 0 pubsub {SUBSCRIBERS}")
        }
        "databases" => repligo_core::limits::DATABASES.to_string(),
        "io-threads" => config.workers.to_string(),
        "io-threads-do-reads" if config.workers > 1 => "yes".to_owned(),
        "dir" => config.data_dir.display().to_string(),
        "maxclients" => config.maxclients.to_string(),
        "maxmemory" => config.memory.bytes_max.to_string(),
        "maxmemory-clients" => config.clients.memory.shown(),
        "maxmemory-policy" => config.memory.policy.name().to_owned(),
        "port" => port.to_string(),
        "proto-max-bulk-len" => config.proto_max_bulk_bytes.to_string(),
        "replica-announce-ip" => config.advertise.clone().unwrap_or_default(),
        "requirepass" => config.requirepass.clone().unwrap_or_default(),
        "slowlog-log-slower-than" => config.slowlog.threshold_us.to_string(),
        "slowlog-max-len" => config.slowlog.entries_max.to_string(),
        "unixsocket" => {
            let path = config
                .unix_socket
                .as_ref()
                .map(|socket| socket.path.display().to_string());
            path.unwrap_or_default()
        }
        "unixsocketperm" => {
            let mode = config.unix_socket.as_ref().map_or(0, |socket| socket.mode);
            format!("{mode:o}")
        }
        _ => return tls_value(name, config),
    })
}

/// Values of the listener for clients over TLS, if there is one.
fn tls_value(name: &str, config: &NodeConfig) -> Option<String> {
    let (address, tls) = config.tls_listen.as_ref()?;
    let authority = tls.authority.as_ref();
    Some(match name {
        "tls-auth-clients" => match authority {
            None => "no".to_owned(),
            Some((_, ClientCertificates::Optional)) => "optional".to_owned(),
            Some((_, ClientCertificates::Required)) => "yes".to_owned(),
        },
        "tls-ca-cert-file" => authority?.0.display().to_string(),
        "tls-cert-file" => tls.certificate.display().to_string(),
        "tls-key-file" => tls.key.display().to_string(),
        "tls-port" => address.rsplit_once(':')?.1.to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_was_started_with_is_shown() {
        let parameters = parameters(&NodeConfig::default(), 6379);
        assert_eq!(parameters.value("appendonly"), Some("yes"));
        assert_eq!(parameters.value("port"), Some("6379"));
        assert_eq!(parameters.value("save"), Some(""));
    }
}
