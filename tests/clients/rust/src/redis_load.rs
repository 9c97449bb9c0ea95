//! Redis-rs with its connection manager, which connects again but gives back what was under way.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client as Library, ClientTlsConfig, RedisError, TlsCertificates};

use crate::{Client, Target, Trouble};

/// A connection.
pub struct Load(ConnectionManager);

fn trouble(error: RedisError) -> Trouble {
    let is_gone = error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal();
    match is_gone {
        true => Trouble::Gone(error.to_string()),
        false => Trouble::Failed(error.to_string()),
    }
}

impl Client for Load {
    async fn connect(target: &Target) -> Result<Self, Trouble> {
        let certificates = TlsCertificates {
            client_tls: target
                .pair
                .clone()
                .map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
            root_cert: Some(target.authority.clone()),
        };
        let url = format!("rediss://{}:{}", target.host, target.port);
        let client = Library::build_with_tls(url, certificates).map_err(trouble)?;
        let config = ConnectionManagerConfig::new()
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(100))
            .set_number_of_retries(200)
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(20)));
        let manager = ConnectionManager::new_with_config(client, config).await;
        manager.map(Self).map_err(trouble)
    }

    async fn set(&mut self, key: &str, value: u64) -> Result<(), Trouble> {
        self.0.set(key, value).await.map_err(trouble)
    }

    async fn get(&mut self, key: &str) -> Result<Option<u64>, Trouble> {
        self.0.get(key).await.map_err(trouble)
    }

    async fn close(self) {}
}
