//! Logins and logouts.
//!
//! A login always begins a new session with a new token, so a token that somebody planted before it
//! is worth nothing after it.

use crate::Shop;
use crate::cart::Basket;
use crate::catalogue::CUSTOMERS;
use crate::failure::Failure;
use crate::forms::{FormToken, Posted, Signed};
use crate::pages;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use larder_client::adapters::axum::Visit;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Passwords that are looked at at once: each takes 19 MiB and a core for a moment.
const AT_ONCE: usize = 2;
/// A longer name or password is nobody's.
const LONGEST: usize = 64;

/// Hashes of passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// The hash of nobody's password: who asks for an unknown customer waits as long as for another.
    nobody: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, Failure> {
        let nobody = hash("nobody's")?.into();
        Ok(Self { turns: Arc::new(Semaphore::new(AT_ONCE)), nobody })
    }

    pub(crate) async fn hash(&self, password: &str) -> Result<String, Failure> {
        let password = password.to_owned();
        self.work(move || hash(&password)).await?
    }

    async fn is_right(&self, hashed: Option<String>, password: String) -> Result<bool, Failure> {
        let is_known = hashed.is_some();
        let hashed = hashed.unwrap_or_else(|| self.nobody.to_string());
        let fits = move || {
            let hashed = PasswordHash::new(&hashed)?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hashed).is_ok())
        };
        let fits = self.work(fits).await?;
        Ok(fits.map_err(|error: argon2::password_hash::phc::Error| {
            Failure::Broken(error.to_string())
        })? && is_known)
    }

    /// Beside the threads that serve requests.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let broken = |error: &dyn std::error::Error| Failure::Broken(error.to_string());
        let _turn = self.turns.acquire().await.map_err(|error| broken(&error))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))
    }
}

fn hash(password: &str) -> Result<String, Failure> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hashed| hashed.to_string()).map_err(|error| Failure::Broken(error.to_string()))
}

/// What the form of the login sends.
#[derive(Deserialize)]
pub(crate) struct Login {
    token: String,
    name: String,
    password: String,
}

impl Signed for Login {
    fn token(&self) -> &str {
        &self.token
    }
}

/// GET /login
pub(crate) async fn form(token: FormToken) -> Html<String> {
    pages::login(&pages::Frame::nobody(&token), &CUSTOMERS, None)
}

/// POST /login
pub(crate) async fn log_in(
    State(shop): State<Shop>,
    visit: Visit<Basket>,
    token: FormToken,
    Posted(login): Posted<Login>,
) -> Result<Response, Failure> {
    let is_short = |text: &str| text.len() <= LONGEST;
    let is_right = is_short(&login.name) && is_short(&login.password) && {
        let hashed = shop.catalogue.password(&login.name).await?;
        shop.passwords.is_right(hashed, login.password).await?
    };
    if !is_right {
        let frame = pages::Frame::nobody(&token);
        let page = pages::login(&frame, &CUSTOMERS, Some("This is not a name with its password."));
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    visit.log_in(&login.name, &Basket::default()).await?;
    Ok(Redirect::to("/").into_response())
}

/// What a form with nothing but a button sends.
#[derive(Deserialize)]
pub(crate) struct Press {
    token: String,
}

impl Signed for Press {
    fn token(&self) -> &str {
        &self.token
    }
}

/// POST /logout
pub(crate) async fn log_out(
    visit: Visit<Basket>,
    Posted(_): Posted<Press>,
) -> Result<Redirect, Failure> {
    visit.log_out().await?;
    Ok(Redirect::to("/"))
}
