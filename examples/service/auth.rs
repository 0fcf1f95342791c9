//! Bearer tokens, and the account as the scope of idempotency keys.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tower_idempotency::Scope;

/// The account of a request whose token was verified.
#[derive(Clone, Copy)]
pub(crate) struct Account(pub(crate) i64);

/// The accounts by the digests of their tokens. An account may have several: a client that
/// refreshes its token stays the same account.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<HashMap<[u8; 32], Account>>);

impl Tokens {
    /// Reads `token=account,…`. Without it, makes and prints a token of account 1.
    pub(crate) fn new(listed: Option<&str>) -> Result<Self, Box<dyn std::error::Error>> {
        let listed = if let Some(listed) = listed {
            listed.to_owned()
        } else {
            let token = format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?);
            eprintln!("TOKENS is not set; for this run: 'Authorization: Bearer {token}'");
            format!("{token}=1")
        };
        let pair = |pair: &str| {
            let (token, account) = pair.rsplit_once('=')?;
            Some((digest(token.as_bytes()), Account(account.parse().ok()?)))
        };
        let tokens: Option<_> = listed.split(',').map(pair).collect();
        Ok(Self(Arc::new(tokens.ok_or("TOKENS is not a list of token=account")?)))
    }
}

/// A look-up by digest takes the same time for any wrong token.
fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Puts the account of the token into the extensions, or rejects the request with 401.
pub(crate) async fn authenticate(
    State(Tokens(tokens)): State<Tokens>,
    mut request: Request,
    next: Next,
) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    let token = sent.and_then(|sent| sent.as_bytes().strip_prefix(b"Bearer "));
    let Some(account) = token.and_then(|token| tokens.get(&digest(token))).copied() else {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response();
    };
    request.extensions_mut().insert(account);
    next.run(request).await
}

/// Each account has keys of its own. The token is not the scope, because a refreshed one would make
/// a retry a new operation.
pub(crate) fn scope(parts: &Parts) -> Option<Scope> {
    let Account(id) = parts.extensions.get()?;
    Some(Scope::new(id.to_be_bytes()))
}
