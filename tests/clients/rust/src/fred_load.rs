//! Fred with a policy to reconnect: it sends again what was under way.

use std::time::Duration;

use fred::clients::Client as Library;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, TlsConnector};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{Client, Target, Trouble};

/// Often enough for any pause: a try is made whenever there is a connection again.
const TRIES: u32 = 1000;

/// A connection.
pub struct Load(Library);

fn trouble(error: Error) -> Trouble {
    match error.kind() {
        ErrorKind::IO | ErrorKind::Tls | ErrorKind::Canceled => Trouble::Gone(error.to_string()),
        _ => Trouble::Failed(error.to_string()),
    }
}

/// What rustls wants to know, from the files of the target.
fn tls(target: &Target) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&target.authority) {
        let added = roots.add(authority.expect("a certificate in PEM form"));
        added.expect("an authority");
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &target.pair else {
        return builder.with_no_client_auth();
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(key).expect("a key in PEM form");
    builder
        .with_client_auth_cert(chain.expect("certificates in PEM form"), key)
        .expect("a key and its certificate")
}

impl Client for Load {
    async fn connect(target: &Target) -> Result<Self, Trouble> {
        let url = format!("rediss://{}:{}", target.host, target.port);
        let mut config = Config::from_url(&url).map_err(trouble)?;
        config.tls = Some(TlsConnector::from(tls(target)).into());
        let client = Builder::from_config(config)
            .set_policy(ReconnectPolicy::new_constant(0, 50))
            .with_connection_config(|config| {
                config.max_command_attempts = TRIES;
                config.connection_timeout = Duration::from_secs(5);
            })
            .build()
            .map_err(trouble)?;
        client.init().await.map_err(trouble)?;
        Ok(Self(client))
    }

    async fn set(&mut self, key: &str, value: u64) -> Result<(), Trouble> {
        self.0.set(key, value, None, None, false).await.map_err(trouble)
    }

    async fn get(&mut self, key: &str) -> Result<Option<u64>, Trouble> {
        self.0.get(key).await.map_err(trouble)
    }

    async fn close(self) {
        let _ = self.0.quit().await;
    }
}
