//! The listener for clients over TLS: its address, its files, and what must stand together.

use std::net::SocketAddr;

use super::NodeSettings;
use super::error::Problem;
use super::layers::Layered;
use super::refusals::{self, address, path, place, switch, text};
use crate::tls::clients::{ClientCertificates, ClientTls};
use crate::tls::subject::UserFrom;

const LISTEN: &str = "tls-listen";
const CERTIFICATE: &str = "tls-cert";
const KEY: &str = "tls-key";
const AUTHORITY: &str = "tls-client-ca";
const USER: &str = "tls-client-user";

/// Address and files, if TLS is asked for.
pub(super) fn settle(layered: &Layered, problems: &mut Vec<Problem>) -> Option<(SocketAddr, ClientTls)> {
    let listen = address(layered, LISTEN);
    let given = [CERTIFICATE, KEY, AUTHORITY].map(|name| (name, path(layered, name)));
    let Some(listen) = listen else {
        if let Some((name, _)) = given.iter().find(|(_, path)| path.is_some()) {
            let what = format!("{name} is given and {LISTEN} is not");
            problems.push(Problem::new(
                place(layered, name),
                what,
                "give --tls-listen IP:PORT, too",
            ));
        }
        return None;
    };
    let [(_, certificate), (_, key), (_, authority)] = given;
    let (Some(certificate), Some(key)) = (certificate, key) else {
        let what = format!("{LISTEN} needs a certificate and its key");
        let remedy = "give --tls-cert FILE and --tls-key FILE (repligo cert server makes some)";
        problems.push(Problem::new(place(layered, LISTEN), what, remedy));
        return None;
    };
    let which = match text(layered, "tls-client-auth").as_deref() {
        Some("optional") => ClientCertificates::Optional,
        _ => ClientCertificates::Required,
    };
    let tls = ClientTls {
        certificate,
        key,
        user_from: user_from(layered, authority.is_some(), problems),
        authority: authority.map(|path| (path, which)),
    };
    Some((listen, tls))
}

/// Files of admin HTTP, if it is to speak TLS.
pub(super) fn settle_admin(layered: &Layered, problems: &mut Vec<Problem>) -> Option<ClientTls> {
    let names = ["admin-tls-cert", "admin-tls-key"];
    match names.map(|name| path(layered, name)) {
        [Some(certificate), Some(key)] => Some(ClientTls {
            certificate,
            key,
            user_from: UserFrom::Nowhere,
            authority: None,
        }),
        [None, None] => None,
        [certificate, _] => {
            let at = usize::from(certificate.is_none());
            let what = format!("{} is given and {} is not", names[at], names[1 - at]);
            let remedy = "give both --admin-tls-cert FILE and --admin-tls-key FILE";
            problems.push(Problem::new(place(layered, names[at]), what, remedy));
            None
        }
    }
}

/// Where certificates of clients name users: nobody shows one who is not asked.
fn user_from(layered: &Layered, is_asked: bool, problems: &mut Vec<Problem>) -> UserFrom {
    let from = match text(layered, USER).as_deref() {
        Some("cn") => UserFrom::CommonName,
        Some("san") => UserFrom::AlternativeName,
        _ => UserFrom::Nowhere,
    };
    if from != UserFrom::Nowhere && !is_asked {
        let what = format!("{USER} is given, and no client is asked for a certificate");
        problems.push(Problem::new(
            place(layered, USER),
            what,
            "give --tls-client-ca FILE, too",
        ));
    }
    from
}

/// Whether other machines reach the listener.
pub(super) fn is_exposed(settings: &NodeSettings) -> bool {
    let listen = settings.tls_listen.as_ref();
    listen.is_some_and(|(address, _)| refusals::is_exposed(address.ip()))
}

/// The port, where it is not that of `listen`, whose place it then takes.
pub(super) fn own_port(settings: &NodeSettings) -> Option<(&'static str, SocketAddr)> {
    let (address, _) = settings.tls_listen.as_ref()?;
    (*address != settings.listen).then_some((LISTEN, *address))
}

/// Encryption is no authentication: who can connect needs a password all the same.
pub(super) fn check(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    if !is_exposed(settings) || settings.requirepass.is_some() || switch(layered, "insecure") {
        return;
    }
    problems.push(Problem::new(
        place(layered, LISTEN),
        "tls-listen is reachable from other machines and no password is set".to_owned(),
        "give --requirepass-file FILE, or listen on 127.0.0.1, or give --insecure if the network is trusted",
    ));
}

#[cfg(test)]
mod tests {
    use super::super::layers::Sources;
    use super::*;

    fn given(flags: &[(&str, &str)]) -> Result<NodeSettings, String> {
        let owned = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
        let layered = Layered::read(&Sources {
            flags: flags.iter().map(owned).collect(),
            ..Default::default()
        });
        refusals::settle(&layered.expect("well formed")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn admin_http_beyond_loopback_needs_tls_and_a_token() {
        let folder = std::env::temp_dir().join(format!("repligo-admin-token-{}", std::process::id()));
        crate::private::write(&folder, "token\n").expect("temporary file");
        let token = ("admin-token-file", folder.to_str().expect("plain"));
        let files = [("admin-tls-cert", "c"), ("admin-tls-key", "k")];
        let exposed = ("admin-listen", "0.0.0.0:7379");
        assert!(given(&[&files[..], &[exposed, token]].concat()).is_ok());
        for flags in [
            vec![exposed],
            vec![exposed, token],
            vec![exposed, files[0], files[1]],
        ] {
            let text = given(&flags).expect_err("refused");
            assert!(text.contains("without TLS and a token"), "{text}");
        }
        for (one, missing) in [
            (files[0], "admin-tls-key is not"),
            (files[1], "admin-tls-cert is not"),
        ] {
            let text = given(&[one]).expect_err("refused");
            assert!(text.contains(missing), "{text}");
        }
        std::fs::remove_file(&folder).expect("ours");
    }

    #[test]
    fn a_tls_listener_needs_its_files_and_a_password_beyond_loopback() {
        let files = [("tls-cert", "c"), ("tls-key", "k")];
        let local = [&files[..], &[("tls-listen", "127.0.0.1:6380")]].concat();
        let settings = given(&local).expect("accepted");
        let (address, tls) = settings.tls_listen.expect("asked for");
        assert_eq!((address.port(), tls.authority), (6380, None));
        let instead = [&files[..], &[("tls-listen", "127.0.0.1:6379")]].concat();
        assert!(given(&instead).is_ok(), "in place of the plain listener");
        let optional = [
            &local[..],
            &[("tls-client-ca", "a"), ("tls-client-auth", "optional")],
        ]
        .concat();
        let authority = given(&optional)
            .expect("accepted")
            .tls_listen
            .and_then(|(_, tls)| tls.authority);
        assert_eq!(authority, Some(("a".into(), ClientCertificates::Optional)));
        for (flags, part) in [
            (vec![("tls-listen", "127.0.0.1:6380")], "--tls-cert FILE"),
            (files.to_vec(), "tls-cert is given and tls-listen is not"),
            (
                [&files[..], &[("tls-listen", "0.0.0.0:6380")]].concat(),
                "no password is set",
            ),
            (
                [&files[..], &[("tls-listen", "127.0.0.1:7379")]].concat(),
                "both use port 7379",
            ),
        ] {
            let text = given(&flags).expect_err("refused");
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
