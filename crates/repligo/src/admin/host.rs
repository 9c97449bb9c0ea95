//! Which names admin HTTP answers to while it listens on loopback alone.
//!
//! A web page can let its own name resolve to 127.0.0.1, and its scripts would then read what is here as if it
//! came from their own site. They cannot choose the Host header: the browser puts that name there.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

/// Passes a request on, or refuses it with the reason.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    if host.is_none_or(is_ours) {
        return next.run(request).await;
    }
    let text = "the Host header names another machine; ask for localhost or for an IP address\n";
    super::plain(StatusCode::FORBIDDEN, text.to_owned())
}

/// Addresses belong to no page, and `localhost` is no name that a page could have.
fn is_ours(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'));
    let is_address =
        bracketed.unwrap_or(host).parse::<IpAddr>().is_ok() || host.parse::<SocketAddr>().is_ok();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    is_address || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use crate::telemetry::{Shared, for_all_commands};

    #[test]
    fn admin_http_on_loopback_answers_to_addresses_and_localhost_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        crate::admin::start(
            listener,
            Arc::new(Shared::new(for_all_commands())),
            &crate::admin::Door::default(),
        );
        let ask = |host: &str| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("sent");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("answered");
            text
        };
        let literal = address.to_string();
        for host in [
            literal.as_str(),
            "localhost",
            "LOCALHOST:7379",
            "[::1]:1",
            "[::1]",
            "::1",
            "10.0.0.1",
        ] {
            assert!(ask(host).starts_with("HTTP/1.1 200"), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7379",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]",
        ] {
            let text = ask(host);
            assert!(
                text.starts_with("HTTP/1.1 403") && text.contains("Host header"),
                "{host}: {text}"
            );
            assert!(!text.contains("repligo_"), "{host}");
        }
    }
}
