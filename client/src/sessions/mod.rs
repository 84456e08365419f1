//! Sessions of users.
//!
//! A session is a hash under the digest of its token; the token itself is nowhere stored or logged.
//! Every step that must be whole is a script at the primary, and each says the same when it runs
//! twice, so that it can be sent again after a failover. The server keeps the deadlines: a session is
//! gone when it is due, whether anybody looks or not. What was closed leaves a mark, so nothing that
//! comes late brings it back.
//!
//! ```text
//! <name>:{<tag>}:s:<digest>   the session: fields of ours begin with `_`, others are the application's
//! <name>:{<tag>}:u            the digests of a user's sessions, by deadline
//! <name>:{<tag>}:g            the generation: sessions of an older one are void, even if they were missed
//! <name>:{<tag>}:d            the digests of those that are void and not yet removed
//! <name>:{<tag>}:x:<digest>   a mark: closed, or where the session went
//! <name>:events               the channel of what happened
//! <name>:sweep                there while one tells of what is over, where the server does not
//! ```
//!
//! The tag stands for the user; it ends the user's tokens, so that a token leads to all of these. Every
//! script declares all of its keys, which share a slot.
//!
//! * [`builder`]: what sessions shall be
//! * [`token`]: what a client is given, and its digest
//! * [`data`]: the application's data as fields
//! * [`events`]: what happened to sessions
//! * [`lock`]: one at a time
//! * [`cookie`]: the header lines
//! * `steps`, `sweep`, `owed`: what is sent, and sent again after a failover

pub mod builder;
pub mod cookie;
pub mod data;
pub mod events;
pub mod lock;
mod owed;
mod steps;
mod sweep;
#[cfg(all(test, feature = "embedded"))]
mod tests;
pub mod token;

use crate::error::Error;
use crate::journal::Journal;
use crate::net::Net;
use crate::routing::Target;
use crate::script::{Script, step};
use builder::{Options, SessionsBuilder};
use data::{Fields, SessionData};
use owed::Owed;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use steps::{Found, Rotated};
use token::{Digest, SessionToken};
use tokio::task::AbortHandle;

/// Tries of [`Sessions::edit`] against others who change the same session.
const EDIT_TRIES: u32 = 3;
/// Tokens are random; one that is taken already is the error of a generator, so few are tried.
const TOKEN_TRIES: u32 = 3;

/// The sessions of an application. Clones are the same ones.
pub struct Sessions<T> {
    inner: Arc<Inner>,
    data: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), data: PhantomData }
    }
}

impl<T> std::fmt::Debug for Sessions<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sessions").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

struct Inner {
    net: Net,
    name: String,
    options: Options,
    scripts: Scripts,
    journal: Journal<Owed>,
    settling: std::sync::OnceLock<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(settling) = self.settling.get() {
            settling.abort();
        }
    }
}

struct Scripts {
    create: Script,
    load: Script,
    touch: Script,
    patch: Script,
    rotate: Script,
    close: Script,
    close_all: Script,
    bury: Script,
    list: Script,
    lock: Script,
    unlock: Script,
    sweep: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            create: step!("sessions/create.lua"),
            load: step!("sessions/load.lua"),
            touch: step!("sessions/touch.lua"),
            patch: step!("sessions/patch.lua"),
            rotate: step!("sessions/rotate.lua"),
            close: Script::new(include_str!("../scripts/sessions/close.lua")),
            close_all: step!("sessions/close_all.lua"),
            bury: Script::new(include_str!("../scripts/sessions/bury.lua")),
            list: Script::new(include_str!("../scripts/sessions/list.lua")),
            lock: step!("sessions/lock.lua"),
            unlock: step!("sessions/unlock.lua"),
            sweep: step!("sessions/sweep.lua"),
        }
    }
}

/// Why a step of a session was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is closed or its time is over. It does not come back: answer as to somebody who
    /// is not logged in.
    #[error("the session is gone")]
    Gone,
    /// Somebody else changed it meanwhile.
    #[error("the session has changed: it has version {current} now")]
    Conflict {
        /// The version it has.
        current: u64,
    },
    /// Somebody else has it locked.
    #[error("somebody else has the session locked for {remaining:?}")]
    Busy {
        /// For how long at most.
        remaining: Duration,
    },
    /// The user has as many sessions as allowed, and none may be ended for another.
    #[error("the user has too many sessions")]
    TooMany,
    /// Its data would be larger than allowed.
    #[error("the session's data would be larger than {most_bytes} bytes")]
    TooLarge {
        /// What is allowed.
        most_bytes: usize,
    },
    /// The data cannot be fields, or the fields not the data.
    #[error("the session's data: {0}")]
    Data(String),
    /// The server or the way to it. An outage: it says nothing about the session.
    #[error(transparent)]
    Net(#[from] Error),
}

/// A session that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Session<T> {
    digest: Digest,
    user: String,
    version: u64,
    data: T,
    created_ms: u64,
    touched_ms: u64,
    absolute_ms: u64,
    read_at_ms: u64,
    remaining: Duration,
    label: String,
    renewed: Option<SessionToken>,
}

impl<T: SessionData> Session<T> {
    fn of(found: Found) -> Result<Self, SessionError> {
        let data = T::from_fields(found.fields).map_err(SessionError::Data)?;
        Ok(Self {
            digest: found.digest,
            user: found.user,
            version: found.version,
            data,
            created_ms: found.created_ms,
            touched_ms: found.touched_ms,
            absolute_ms: found.absolute_ms,
            read_at_ms: found.now_ms,
            remaining: found.remaining,
            label: found.label,
            renewed: None,
        })
    }
}

impl<T> Session<T> {
    /// The digest that it is stored under; fit for a log.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whose it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Grows with each change of its data.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The application's data.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// When it began, in milliseconds since the Unix epoch by the server's clock.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// How long it lives if nobody uses it, counted from when it was read.
    pub fn remaining(&self) -> Duration {
        self.remaining
    }

    /// What [`Sessions::create_labelled`] said of it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The token that it has from now on, where [`Sessions::load`] gave it another one: the client
    /// has to be sent it.
    pub fn renewed(&self) -> Option<&SessionToken> {
        self.renewed.as_ref()
    }
}

/// A session of a user, as [`Sessions::list`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEntry {
    /// The digest that it is stored under.
    pub digest: Digest,
    /// When it began, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it was last used, as far as that is written down.
    pub touched_ms: u64,
    /// How long it lives if nobody uses it.
    pub remaining: Duration,
    /// What was said of it when it began: an address, a browser.
    pub label: String,
    /// Whether it is the one that [`Sessions::list`] was told of.
    pub is_current: bool,
}

/// What became of a step that shall survive the loss of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done<T> {
    /// What it gave.
    pub value: T,
    /// How many replicas had it in time. With fewer than wished a failover in this very moment may
    /// undo it.
    pub replicas: u64,
}

/// For how long a token that was replaced still leads to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// Not at all: for a change of privileges, where a stolen token must be worth nothing.
    None,
    /// So long, for requests that are under way with the old one.
    For(Duration),
}

impl Default for Grace {
    /// 30 seconds.
    fn default() -> Self {
        Self::For(Duration::from_secs(30))
    }
}

impl Net {
    /// Sessions under a name, to be configured. The same name, the same sessions.
    pub fn sessions<T>(&self, name: &str) -> SessionsBuilder<T> {
        SessionsBuilder::new(self.clone(), name)
    }
}

impl<T: SessionData> Sessions<T> {
    fn new(net: Net, name: String, options: Options) -> Self {
        let scripts = Scripts::default();
        let (journal, settling) = (Journal::default(), std::sync::OnceLock::new());
        let inner = Arc::new(Inner { net, name, options, scripts, journal, settling });
        let settling = tokio::spawn(crate::journal::settle(&inner));
        // It is set once, here.
        let _ = inner.settling.set(settling.abort_handle());
        Self { inner, data: PhantomData }
    }

    /// Begins a session: at a login, with a token that nobody had before.
    ///
    /// # Errors
    /// [`SessionError::TooMany`], [`SessionError::TooLarge`], [`SessionError::Data`], and what the
    /// server says.
    pub async fn create(
        &self,
        user: &str,
        data: &T,
    ) -> Result<(SessionToken, Session<T>), SessionError>
    where
        T: Clone,
    {
        self.create_labelled(user, data, "").await
    }

    /// The same, with a word about where it comes from, for [`list`](Self::list).
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub async fn create_labelled(
        &self,
        user: &str,
        data: &T,
        label: &str,
    ) -> Result<(SessionToken, Session<T>), SessionError>
    where
        T: Clone,
    {
        let fields = self.fields(data)?;
        for _ in 0..TOKEN_TRIES {
            let token = SessionToken::of(&self.inner.tag(user));
            let digest = self.inner.digest(&token);
            let begun = self.inner.create(&digest, user, label, T::SCHEMA, &fields).await?;
            if let Some(begun_ms) = begun {
                let options = &self.inner.options;
                let session = Session {
                    digest,
                    user: user.to_owned(),
                    version: 1,
                    data: data.clone(),
                    created_ms: begun_ms,
                    touched_ms: begun_ms,
                    absolute_ms: begun_ms + millis(options.absolute),
                    read_at_ms: begun_ms,
                    remaining: options.idle.min(options.absolute),
                    label: label.to_owned(),
                    renewed: None,
                };
                return Ok((token, session));
            }
        }
        Err(SessionError::Data("no token is free".to_owned()))
    }

    /// Reads a session; `None` where there is none of this token: it was never given, was closed, or
    /// its time is over. An error says nothing about the session.
    ///
    /// A use of the session: its idle time begins anew, though that is written down only now and then.
    /// A request that is not one, such as a poll of a page in the background, uses
    /// [`peek`](Self::peek).
    ///
    /// With [`rotate_every`](SessionsBuilder::rotate_every) it may have another token afterwards:
    /// [`Session::renewed`].
    ///
    /// # Errors
    /// What the server says, and data that are not those of `T`.
    pub async fn load(&self, token: &SessionToken) -> Result<Option<Session<T>>, SessionError> {
        let Some(found) = self.find(token).await? else { return Ok(None) };
        let token_age = Duration::from_millis(found.now_ms.saturating_sub(found.issued_ms));
        let mut session = Session::of(found)?;
        let unused_ms = session.read_at_ms.saturating_sub(session.touched_ms);
        if unused_ms >= millis(self.inner.options.touch_after()) {
            match self.touch(&session).await {
                Ok(remaining) => session.remaining = remaining,
                // It ended between the two steps.
                Err(SessionError::Gone) => return Ok(None),
                // It was read, and may be touched by the next request.
                Err(error) => tracing::debug!(%error, "a session was not touched"),
            }
        }
        match self.inner.options.rotate_every {
            Some(period) if token_age >= period => self.renew(session, period).await,
            _ => Ok(Some(session)),
        }
    }

    /// Gives a session another token, unless another request did so within the period.
    async fn renew(
        &self,
        session: Session<T>,
        period: Duration,
    ) -> Result<Option<Session<T>>, SessionError> {
        let token = SessionToken::of(&self.inner.tag(&session.user));
        let digest = self.inner.digest(&token);
        let (old, grace) = (&session.digest, Grace::default());
        match self.inner.rotate(old, &digest, &session.user, grace, period).await {
            Ok(Rotated::Done { version, remaining }) => {
                self.inner.confirm().await;
                let renewed = Some(token);
                Ok(Some(Session { digest, version, remaining, renewed, ..session }))
            }
            Ok(Rotated::TooSoon | Rotated::Taken) => Ok(Some(session)),
            Err(SessionError::Gone) => Ok(None),
            // It was read. If it has another token nevertheless, the old one leads there for a while.
            Err(error) => {
                tracing::debug!(%error, "a session was not renewed");
                Ok(Some(session))
            }
        }
    }

    /// Reads a session without using it.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub async fn peek(&self, token: &SessionToken) -> Result<Option<Session<T>>, SessionError> {
        self.find(token).await?.map(Session::of).transpose()
    }

    async fn find(&self, token: &SessionToken) -> Result<Option<Found>, SessionError> {
        let (tag, digest) = (token.tag(), self.inner.digest(token));
        let found = match self.inner.load(&tag, &digest, self.inner.options.target).await? {
            // A replica may not have it yet: a login, and the request right after it.
            None if self.inner.options.target != Target::Primary => {
                self.inner.load(&tag, &digest, Target::Primary).await?
            }
            found => found,
        };
        let Some(found) = found else { return Ok(None) };
        if found.schema != T::SCHEMA {
            tracing::info!(schema = %found.schema, "a session of another schema counts as gone");
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// Uses a session: its idle time begins anew. Gives how long it lives.
    ///
    /// # Errors
    /// [`SessionError::Gone`], and what the server says.
    pub async fn touch(&self, session: &Session<T>) -> Result<Duration, SessionError> {
        self.inner.touch(&session.digest, &session.user).await
    }

    /// Changes some fields and leaves the others as they are, whoever changes those meanwhile. Gives
    /// the new version.
    ///
    /// # Errors
    /// [`SessionError::Gone`], [`SessionError::TooLarge`], and what the server says.
    pub async fn patch(
        &self,
        session: &Session<T>,
        patch: impl FnOnce(&mut Patch),
    ) -> Result<u64, SessionError> {
        let mut changes = Patch::default();
        patch(&mut changes);
        changes.check()?;
        let change = steps::Change { expected: None, replaces: false, patch: &changes };
        self.inner.change(&session.digest, &session.user, change).await
    }

    /// Replaces the data, if nobody changed them since this session was read. Gives the new version.
    ///
    /// # Errors
    /// [`SessionError::Conflict`], [`SessionError::Gone`], [`SessionError::TooLarge`], and what the
    /// server says.
    pub async fn compare_and_set(
        &self,
        session: &Session<T>,
        data: &T,
    ) -> Result<u64, SessionError> {
        let patch = Patch { set: self.fields(data)?, ..Patch::default() };
        let expected = Some(session.version);
        let change = steps::Change { expected, replaces: true, patch: &patch };
        self.inner.change(&session.digest, &session.user, change).await
    }

    /// Reads the data anew, changes them and writes them, again when somebody else was faster.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] after three tries, [`SessionError::Gone`], and what the server says.
    pub async fn edit(
        &self,
        session: &Session<T>,
        mut edit: impl FnMut(&mut T),
    ) -> Result<Session<T>, SessionError> {
        let mut conflict = SessionError::Gone;
        let tag = self.inner.tag(&session.user);
        for _ in 0..EDIT_TRIES {
            let found = self.inner.load(&tag, &session.digest, Target::Primary).await?;
            let found =
                found.filter(|found| found.schema == T::SCHEMA).ok_or(SessionError::Gone)?;
            let mut edited: Session<T> = Session::of(found)?;
            edit(&mut edited.data);
            edited.touched_ms = edited.read_at_ms;
            edited.remaining = self.inner.options.idle;
            match self.compare_and_set(&edited, &edited.data).await {
                Ok(version) => {
                    edited.version = version;
                    let until_end_ms = edited.absolute_ms.saturating_sub(edited.read_at_ms);
                    edited.remaining = edited.remaining.min(Duration::from_millis(until_end_ms));
                    return Ok(edited);
                }
                Err(error @ SessionError::Conflict { .. }) => conflict = error,
                Err(error) => return Err(error),
            }
        }
        Err(conflict)
    }

    /// Gives a session another token: after a login, and whenever its user may do more than before,
    /// so that nobody who knew the old token gains by it.
    ///
    /// # Errors
    /// [`SessionError::Gone`], and what the server says.
    pub async fn rotate(
        &self,
        session: &Session<T>,
        grace: Grace,
    ) -> Result<Done<(SessionToken, Session<T>)>, SessionError>
    where
        T: Clone,
    {
        for _ in 0..TOKEN_TRIES {
            let token = SessionToken::of(&self.inner.tag(&session.user));
            let digest = self.inner.digest(&token);
            let (old, user) = (&session.digest, &session.user);
            let rotated = self.inner.rotate(old, &digest, user, grace, Duration::ZERO).await?;
            if let Rotated::Done { version, remaining } = rotated {
                let renewed = None;
                let rotated = Session { digest, version, remaining, renewed, ..session.clone() };
                let replicas = self.inner.confirm().await;
                return Ok(Done { value: (token, rotated), replicas });
            }
        }
        Err(SessionError::Data("no token is free".to_owned()))
    }

    /// Ends a session: a logout, also of one that was rotated since it was read. To end one that is gone
    /// already is no error; the value says whether it was there.
    ///
    /// # Errors
    /// What the server says.
    pub async fn close(&self, session: &Session<T>) -> Result<Done<bool>, SessionError> {
        self.close_digest(&session.user, &session.digest).await
    }

    /// Ends a session that [`list`](Self::list) named.
    ///
    /// # Errors
    /// What the server says.
    pub async fn close_digest(
        &self,
        user: &str,
        digest: &Digest,
    ) -> Result<Done<bool>, SessionError> {
        let value = self.inner.close(digest, user).await?;
        Ok(Done { value, replicas: self.inner.confirm().await })
    }

    /// Ends the session of a token, whatever its data are.
    #[cfg(feature = "axum")]
    pub(crate) async fn close_token(&self, token: &SessionToken) -> Result<(), SessionError> {
        let (tag, digest) = (token.tag(), self.inner.digest(token));
        if let Some(found) = self.inner.load(&tag, &digest, Target::Primary).await? {
            self.close_digest(&found.user, &found.digest).await?;
        }
        Ok(())
    }

    /// Ends all sessions of a user, but for one if there is one to keep; gives how many were ended.
    ///
    /// # Errors
    /// What the server says.
    pub async fn close_all(
        &self,
        user: &str,
        keep: Option<&Session<T>>,
    ) -> Result<Done<u64>, SessionError> {
        let value = self.inner.close_all(user, keep.map(|session| &session.digest)).await?;
        Ok(Done { value, replicas: self.inner.confirm().await })
    }

    /// The sessions of a user, the one that lives longest first, with a mark at the one that asks, if
    /// it is named. Without tokens: those nobody knows.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(
        &self,
        user: &str,
        current: Option<&Session<T>>,
    ) -> Result<Vec<SessionEntry>, SessionError> {
        let mut entries = self.inner.list(user).await?;
        let mut mark = |current: &Digest| {
            let entry = entries.iter_mut().find(|entry| entry.digest == *current);
            entry.map(|entry| entry.is_current = true).is_some()
        };
        if let Some(current) = current
            && !mark(&current.digest)
        {
            // It may have been rotated since it was read.
            let tag = self.inner.tag(user);
            let found = self.inner.load(&tag, &current.digest, Target::Primary).await?;
            found.map(|found| mark(&found.digest));
        }
        Ok(entries)
    }

    /// What happens to sessions from now on.
    ///
    /// # Errors
    /// What the server says.
    pub async fn events(&self) -> Result<events::Events, SessionError> {
        events::Events::open(&self.inner).await
    }

    fn fields(&self, data: &T) -> Result<Fields, SessionError> {
        let fields = data.to_fields().map_err(SessionError::Data)?;
        let most_bytes = self.inner.options.most_bytes;
        let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > most_bytes {
            return Err(SessionError::TooLarge { most_bytes });
        }
        if let Some((name, _)) = fields.iter().find(|(name, _)| name.starts_with('_')) {
            return Err(SessionError::Data(format!("'{name}': names of ours begin like that")));
        }
        Ok(fields)
    }
}

/// Changes of some fields.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    set: Fields,
    removed: Vec<String>,
    failure: Option<String>,
}

impl Patch {
    /// Sets a field.
    pub fn set(&mut self, field: impl Into<String>, value: impl serde::Serialize) -> &mut Self {
        match data::encode(&value) {
            Ok(value) => self.set.push((field.into(), value)),
            // Told when the patch is sent.
            Err(error) => self.failure = Some(error),
        }
        self
    }

    /// Removes a field.
    pub fn remove(&mut self, field: impl Into<String>) -> &mut Self {
        self.removed.push(field.into());
        self
    }

    fn check(&self) -> Result<(), SessionError> {
        if let Some(failure) = &self.failure {
            return Err(SessionError::Data(failure.clone()));
        }
        let mut names = self.set.iter().map(|(name, _)| name).chain(&self.removed);
        match names.find(|name| name.starts_with('_')) {
            Some(name) => {
                Err(SessionError::Data(format!("'{name}': names of ours begin like that")))
            }
            None => Ok(()),
        }
    }
}

/// Milliseconds, three thousand years at most: what the scripts count with exactly.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(100_000_000_000_000)
}
