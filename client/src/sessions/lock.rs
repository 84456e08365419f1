//! Locks: one at a time may do something with a session.
//!
//! Changes need none: they are atomic, and whoever read something old is told so. A lock is for what
//! cannot be tried again, such as a payment. It keeps out all others who lock, and nobody else. It
//! stands in the session, goes with it, and ends by itself. As each lock makes a version, one who took
//! too long cannot write over what the next one did: [`Sessions::compare_and_set`] says that it has
//! changed. Another system can keep him out by the version too: the later lock has the greater one.

use super::data::SessionData;
use super::{Session, SessionError, Sessions, steps};
use std::ops::Deref;
use std::time::Duration;

/// A session as it was when it was locked.
#[derive(Debug)]
pub struct Locked<T> {
    session: Session<T>,
    id: String,
}

impl<T> Deref for Locked<T> {
    type Target = Session<T>;

    fn deref(&self) -> &Session<T> {
        &self.session
    }
}

impl<T: SessionData> Sessions<T> {
    /// Locks a session for so long at most and reads it anew.
    ///
    /// Like all that the primary alone has acknowledged a lock may be lost in a failover, and another
    /// one begin before it ends; then the first of both who changes the data wins.
    ///
    /// # Errors
    /// [`SessionError::Busy`], [`SessionError::Gone`], and what the server says.
    pub async fn lock(
        &self,
        session: &Session<T>,
        life: Duration,
    ) -> Result<Locked<T>, SessionError> {
        let id = steps::call_id();
        let life = life.max(Duration::from_millis(1));
        let found = self.inner.lock(&session.digest, &session.user, &id, life).await?;
        if found.schema != T::SCHEMA {
            return Err(SessionError::Gone);
        }
        Ok(Locked { session: Session::of(found)?, id })
    }

    /// Gives a lock back before its time. One that has ended, or whose session has, is no error.
    ///
    /// # Errors
    /// What the server says; the lock ends by itself then.
    pub async fn unlock(&self, locked: Locked<T>) -> Result<(), SessionError> {
        let Locked { session, id } = locked;
        self.inner.unlock(&session.digest, &session.user, &id).await
    }
}
