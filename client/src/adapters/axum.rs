//! Sessions in `axum`: a layer that knows the cookie, and extractors that hand sessions to handlers.
//!
//! The layer reads the cookie's token and looks nothing up; the first extractor of a request does,
//! and the others of that request share what it found. A new token, of a login or a rotation, goes
//! out with the response whatever its status is: what the nodes know the browser has to know as well.
//! A response that a session went into is kept by no cache unless it says otherwise, so that after a
//! logout the back button shows nothing.
//!
//! A session that vanished while its request was under way is [`SessionError::Gone`], for every step;
//! as a response that is a 401, as it is to somebody who was never logged in. An outage is a 503.
//!
#![cfg_attr(feature = "embedded", doc = "```")]
#![cfg_attr(not(feature = "embedded"), doc = "```ignore")]
//! # use axum::{Router, routing::{get, post}};
//! # use larder_client::sessions::{Sessions, SessionError};
//! # use std::collections::BTreeMap;
//! use larder_client::adapters::axum::{LoggedIn, SessionLayer, Visit};
//!
//! type Cart = BTreeMap<String, u32>;
//!
//! async fn log_in(visit: Visit<Cart>) -> Result<&'static str, SessionError> {
//!     visit.log_in("ann", &Cart::new()).await?;           // a new token, whatever the old one was
//!     Ok("welcome")
//! }
//! async fn add(mine: LoggedIn<Cart>) -> Result<String, SessionError> {
//!     let mine = mine.edit(|cart| *cart.entry("tea".to_owned()).or_default() += 1).await?;
//!     Ok(format!("{} teas for {}", mine.data()["tea"], mine.user()))
//! }
//! async fn log_out(visit: Visit<Cart>) -> Result<&'static str, SessionError> {
//!     visit.log_out().await?;
//!     Ok("bye")
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use larder_client::{Endpoints, Net};
//! # let node = std::sync::Arc::new(larder_server::Node::builder().start()?);
//! # let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await?;
//! let sessions = net.sessions::<Cart>("web").build()?;
//! let app = Router::<()>::new()
//!     .route("/login", post(log_in))
//!     .route("/add", post(add))
//!     .route("/logout", post(log_out))
//!     .layer(SessionLayer::new(&sessions));
//! # use axum::{body::Body, http::{Request, StatusCode, header}};
//! # use tower::ServiceExt;
//! # let post = |to: &str, cookie: &str| Request::post(to).header("cookie", cookie).body(Body::empty());
//! # let answer = app.clone().oneshot(post("/login", "")?).await?;
//! # let cookie = answer.headers()[header::SET_COOKIE].to_str()?.to_owned();
//! # assert_eq!(app.clone().oneshot(post("/add", &cookie)?).await?.status(), StatusCode::OK);
//! # assert_eq!(app.clone().oneshot(post("/logout", &cookie)?).await?.status(), StatusCode::OK);
//! # assert_eq!(app.clone().oneshot(post("/add", &cookie)?).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```
//!
//! Forms that change something need a token against forgery beside it: the cookie's `SameSite=Lax`
//! keeps it out of other sites' posts, but not out of what other names under the same domain send.

#[cfg(all(test, feature = "embedded"))]
mod tests;

use crate::sessions::data::SessionData;
use crate::sessions::token::SessionToken;
use crate::sessions::{Grace, Patch, Session, SessionError, Sessions, cookie};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::{CACHE_CONTROL, COOKIE, RETRY_AFTER, SET_COOKIE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use parking_lot::Mutex as Quick;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Mutex;
use tower_layer::Layer;
use tower_service::Service;

/// Carries sessions between cookies and handlers.
#[derive(Clone, Debug)]
pub struct SessionLayer<T> {
    sessions: Sessions<T>,
    max_age: Option<Duration>,
}

impl<T> SessionLayer<T> {
    /// A layer for these sessions, whose cookies end with the browser.
    pub fn new(sessions: &Sessions<T>) -> Self {
        Self { sessions: sessions.clone(), max_age: None }
    }

    /// Lets browsers keep the cookie for so long, over their own end; the server's deadlines hold in
    /// any case.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

impl<S, T> Layer<S> for SessionLayer<T> {
    type Service = SessionService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let layer = Self { sessions: self.sessions.clone(), max_age: self.max_age };
        SessionService { inner, layer }
    }
}

/// What the layer makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S, T> {
    inner: S,
    layer: SessionLayer<T>,
}

impl<S, T, B, R> Service<Request<B>> for SessionService<S, T>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    T: SessionData,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let visit = Visit::of(&self.layer, request.headers());
        request.extensions_mut().insert(visit.clone());
        let answering = self.inner.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            visit.conclude(response.headers_mut());
            Ok(response)
        })
    }
}

/// A request, of somebody who is logged in or not. As an extractor it is never refused, unless the
/// route has no [`SessionLayer`]. Clones are the same visit.
pub struct Visit<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    sessions: Sessions<T>,
    max_age: Option<Duration>,
    token: Option<SessionToken>,
    /// What was found, once somebody looked.
    found: Mutex<Option<Option<Arc<Session<T>>>>>,
    /// Whether the response depends on it.
    is_used: AtomicBool,
    /// What the browser is told.
    set_cookie: Quick<Option<String>>,
}

impl<T> Clone for Visit<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> std::fmt::Debug for Visit<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Visit").field("sessions", &self.inner.sessions).finish_non_exhaustive()
    }
}

impl<T: SessionData> Visit<T> {
    fn of(layer: &SessionLayer<T>, headers: &HeaderMap) -> Self {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let inner = Inner {
            sessions: layer.sessions.clone(),
            max_age: layer.max_age,
            token: lines.filter_map(cookie::find).next(),
            found: Mutex::default(),
            is_used: AtomicBool::new(false),
            set_cookie: Quick::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// All sessions.
    pub fn sessions(&self) -> &Sessions<T> {
        &self.inner.sessions
    }

    /// The session, as it was when the request first looked; `None` for somebody who is not logged in.
    ///
    /// # Errors
    /// Those of [`Sessions::load`].
    pub async fn session(&self) -> Result<Option<Arc<Session<T>>>, SessionError> {
        let mut found = self.inner.found.lock().await;
        self.look(&mut found).await
    }

    async fn look(
        &self,
        found: &mut Option<Option<Arc<Session<T>>>>,
    ) -> Result<Option<Arc<Session<T>>>, SessionError> {
        self.inner.is_used.store(true, Ordering::Relaxed);
        if let Some(found) = found {
            return Ok(found.clone());
        }
        let session = match &self.inner.token {
            Some(token) => self.inner.sessions.load(token).await?.map(Arc::new),
            None => None,
        };
        if let Some(token) = session.as_ref().and_then(|session| session.renewed()) {
            self.hand_out(token);
        }
        Ok(found.insert(session).clone())
    }

    /// Begins a session, with a token that nobody had before; the one that there was ends.
    ///
    /// # Errors
    /// Those of [`Sessions::create`] and [`Sessions::close`].
    pub async fn log_in(&self, user: &str, data: &T) -> Result<Arc<Session<T>>, SessionError>
    where
        T: Clone,
    {
        let mut found = self.inner.found.lock().await;
        self.end(&mut found).await?;
        let (token, session) = self.inner.sessions.create(user, data).await?;
        self.hand_out(&token);
        let session = Arc::new(session);
        *found = Some(Some(Arc::clone(&session)));
        Ok(session)
    }

    /// Gives the session another token, when its user may do more than before.
    ///
    /// # Errors
    /// Those of [`Sessions::rotate`]; [`SessionError::Gone`] for somebody who is not logged in.
    pub async fn rotate(&self, grace: Grace) -> Result<Arc<Session<T>>, SessionError>
    where
        T: Clone,
    {
        let mut found = self.inner.found.lock().await;
        let before = self.look(&mut found).await?.ok_or(SessionError::Gone)?;
        let (token, session) = self.inner.sessions.rotate(&before, grace).await?.value;
        self.hand_out(&token);
        let session = Arc::new(session);
        *found = Some(Some(Arc::clone(&session)));
        Ok(session)
    }

    /// Ends the session, if there is one, and takes the cookie back. When it fails the browser keeps
    /// its cookie, so that it can be tried again.
    ///
    /// # Errors
    /// Those of [`Sessions::load`] and [`Sessions::close`].
    pub async fn log_out(&self) -> Result<(), SessionError> {
        let mut found = self.inner.found.lock().await;
        self.end(&mut found).await?;
        *self.inner.set_cookie.lock() = Some(cookie::clear());
        Ok(())
    }

    /// Ends the session that there is. One whose data cannot be read, or are of another schema, keeps
    /// nobody from logging in or out.
    async fn end(&self, found: &mut Option<Option<Arc<Session<T>>>>) -> Result<(), SessionError> {
        match (self.look(found).await, &self.inner.token) {
            (Ok(Some(session)), _) => _ = self.inner.sessions.close(&session).await?,
            (Ok(None) | Err(SessionError::Data(_)), Some(token)) => {
                self.inner.sessions.close_token(token).await?;
            }
            (Ok(None), None) => {}
            (Err(error), _) => return Err(error),
        }
        *found = Some(None);
        Ok(())
    }

    fn hand_out(&self, token: &SessionToken) {
        *self.inner.set_cookie.lock() = Some(cookie::set(token, self.inner.max_age));
    }

    /// Tells the browser what it has to know.
    fn conclude(&self, headers: &mut HeaderMap) {
        if self.inner.is_used.load(Ordering::Relaxed) {
            headers.append(VARY, HeaderValue::from_static("Cookie"));
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        let line = self.inner.set_cookie.lock().take();
        // A token has no character that a header may not have.
        if let Some(mut line) = line.and_then(|line| HeaderValue::try_from(line).ok()) {
            line.set_sensitive(true);
            headers.append(SET_COOKIE, line);
        }
    }
}

fn visit<T: SessionData>(parts: &Parts) -> Result<Visit<T>, SessionError> {
    let visit = parts.extensions.get::<Visit<T>>().cloned();
    visit.ok_or_else(|| SessionError::Data("the route has no layer for its sessions".to_owned()))
}

impl<S: Sync, T: SessionData> FromRequestParts<S> for Visit<T> {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionError> {
        visit(parts)
    }
}

/// The session of a request. Who has none is refused with [`SessionError::Gone`];
/// `Option<LoggedIn<T>>` lets him in.
#[derive(Debug)]
pub struct LoggedIn<T> {
    visit: Visit<T>,
    session: Arc<Session<T>>,
}

impl<T> Deref for LoggedIn<T> {
    type Target = Session<T>;

    fn deref(&self) -> &Session<T> {
        &self.session
    }
}

impl<T: SessionData> LoggedIn<T> {
    /// The request that it came with.
    pub fn visit(&self) -> &Visit<T> {
        &self.visit
    }

    /// [`Sessions::patch`] for this session.
    ///
    /// # Errors
    /// Those of [`Sessions::patch`].
    pub async fn patch(&self, patch: impl FnOnce(&mut Patch)) -> Result<u64, SessionError> {
        self.visit.inner.sessions.patch(&self.session, patch).await
    }

    /// [`Sessions::edit`] for this session.
    ///
    /// # Errors
    /// Those of [`Sessions::edit`].
    pub async fn edit(&self, edit: impl FnMut(&mut T)) -> Result<Session<T>, SessionError> {
        self.visit.inner.sessions.edit(&self.session, edit).await
    }
}

impl<S: Sync, T: SessionData> FromRequestParts<S> for LoggedIn<T> {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionError> {
        let visit = visit::<T>(parts)?;
        let session = visit.session().await?.ok_or(SessionError::Gone)?;
        Ok(Self { visit, session })
    }
}

impl<S: Sync, T: SessionData> OptionalFromRequestParts<S> for LoggedIn<T> {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionError> {
        let visit = visit::<T>(parts)?;
        let session = visit.session().await?;
        Ok(session.map(|session| Self { visit, session }))
    }
}

/// 401 for a session that is gone, 503 for an outage; the text is for the log, not for the client.
impl IntoResponse for SessionError {
    fn into_response(self) -> axum::response::Response {
        let status = match &self {
            Self::Gone => StatusCode::UNAUTHORIZED,
            Self::Conflict { .. } | Self::Busy { .. } => StatusCode::CONFLICT,
            Self::TooMany => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Data(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Net(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::warn!(error = %self, %status, "a request fails for its session");
        }
        let mut response = status.into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
