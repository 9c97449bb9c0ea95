//! The bearer token of admin HTTP: without it, whoever reaches the listener learns whether the node lives, and no more.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

/// What probes ask, which can say little and must always be answered.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// The SHA-256 of the token: comparing digests tells nothing of how much of a guess was right.
#[derive(Debug)]
pub(super) struct Token([u8; 32]);

impl Token {
    pub(super) fn new(text: &str) -> Self {
        Self(digest(text.as_bytes()))
    }

    fn fits(&self, given: &[u8]) -> bool {
        let difference = self.0.iter().zip(digest(given)).map(|(one, other)| one ^ other);
        difference.fold(0, |all, one| all | one) == 0
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// Passes a request on that has the token, or needs none.
pub(super) async fn check(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
    if OPEN.contains(&request.uri().path()) || given.is_some_and(|given| token.fits(given)) {
        return next.run(request).await;
    }
    let text = "give the token of --admin-token-file: Authorization: Bearer TOKEN\n";
    let mut response = super::plain(StatusCode::UNAUTHORIZED, text.to_owned());
    let scheme = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    response
}
