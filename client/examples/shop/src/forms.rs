//! Forms that no other site can send.
//!
//! A browser gets a random token in a cookie, and the same in each form; a form that does not bring
//! back what the cookie says is refused. No other site can read or set that cookie: `__Host-` keeps
//! even other names under the same domain from it.

use crate::failure::Failure;
use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

const NAME: &str = "__Host-form";
const TOKEN_BYTES: usize = 16;
const TOKEN_CHARS: usize = 22;

/// What the forms of a page have to bring back.
#[derive(Clone)]
pub(crate) struct FormToken(Arc<str>);

impl FormToken {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn random() -> Result<Self, Failure> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    fn sent(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).map(str::trim);
        let value = pairs.find_map(|pair| pair.strip_prefix(NAME)?.strip_prefix('='))?;
        let is_one = value.len() == TOKEN_CHARS && URL_SAFE_NO_PAD.decode(value).is_ok();
        is_one.then(|| Self(value.into()))
    }
}

/// Gives each request its token, and each browser that has none.
pub(crate) async fn guard(mut request: Request, next: Next) -> Result<Response, Failure> {
    if let Some(token) = FormToken::sent(request.headers()) {
        request.extensions_mut().insert(token);
        return Ok(next.run(request).await);
    }
    let token = FormToken::random()?;
    request.extensions_mut().insert(token.clone());
    let mut response = next.run(request).await;
    let line = format!("{NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax", token.as_str());
    // The token has no character that a header may not have.
    if let Ok(line) = HeaderValue::try_from(line) {
        response.headers_mut().append(SET_COOKIE, line);
    }
    Ok(response)
}

impl<S: Sync> FromRequestParts<S> for FormToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without the guard no form fits.
        let token = parts.extensions.get::<Self>().cloned();
        Ok(token.unwrap_or_else(|| Self("".into())))
    }
}

/// A form with a token in it.
pub(crate) trait Signed: DeserializeOwned {
    fn token(&self) -> &str;
}

/// A form that one of our own pages sent.
pub(crate) struct Posted<F>(pub(crate) F);

impl<S: Send + Sync, F: Signed> FromRequest<S> for Posted<F> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let expected = request.extensions().get::<FormToken>().cloned();
        // What newer browsers say by themselves.
        let site = request.headers().get("sec-fetch-site");
        let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
        let Form(form) =
            Form::<F>::from_request(request, state).await.map_err(|_| Failure::Unreadable)?;
        let fits =
            |expected: &FormToken| bool::from(expected.0.as_bytes().ct_eq(form.token().as_bytes()));
        if is_foreign || !expected.is_some_and(|expected| fits(&expected)) {
            return Err(Failure::Forged);
        }
        Ok(Self(form))
    }
}
