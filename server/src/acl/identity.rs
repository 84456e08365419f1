//! Who a session is, as far as its commands have to know.

use super::password::Password;
use super::rules::Rules;
use super::users::{User, Users};
use std::sync::Arc;

/// No generation.
const NEVER: u64 = 0;

/// See the file.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Nobody, for a caller inside the process: it may do everything.
    user: Option<Arc<User>>,
    rules: Arc<Rules>,
    /// Whether it gave a password, or needed none when it connected.
    authenticated: bool,
    /// Whether it must do so before it may do anything.
    must_authenticate: bool,
    /// The generation that all this is as of.
    seen: u64,
    /// The same where everything is allowed, else [`NEVER`].
    open_at: u64,
}

impl Identity {
    /// A connection that has said nothing yet.
    pub fn of_newcomer(users: &Users) -> Self {
        let user = users.default_user();
        let rules = user.rules();
        let authenticated = rules.is_open();
        Self::new(Some(Arc::clone(user)), rules, authenticated, users)
    }

    /// A caller inside the process, whom nobody asks.
    pub fn of_owner(users: &Users) -> Self {
        Self::new(None, users.default_user().rules(), true, users)
    }

    /// A user that another member of the group let in; none when there is no such user.
    pub fn of_guest(users: &Users, name: &[u8]) -> Option<Self> {
        let user = users.get(name)?;
        let rules = user.rules();
        Some(Self::new(Some(user), rules, true, users))
    }

    fn new(user: Option<Arc<User>>, rules: Arc<Rules>, authenticated: bool, users: &Users) -> Self {
        let (must_authenticate, seen, open_at) = (false, NEVER, NEVER);
        let mut identity = Self { user, rules, authenticated, must_authenticate, seen, open_at };
        identity.refresh(users);
        identity
    }

    /// Whether everything is allowed, as far as users go.
    #[inline(always)]
    pub fn is_open(&self, users: &Users) -> bool {
        self.open_at == users.generation()
    }

    /// Whether nobody's rules changed since the last [`refresh`](Self::refresh).
    pub fn is_current(&self, users: &Users) -> bool {
        self.seen == users.generation()
    }

    /// Whether it has to authenticate first; true as of the last [`refresh`](Self::refresh).
    #[inline]
    pub fn is_stranger(&self) -> bool {
        self.must_authenticate
    }

    /// Whether it has authenticated, or was let in without.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The user, unless it is a caller inside the process.
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// The user's name; empty for a caller inside the process.
    pub fn name(&self) -> &[u8] {
        self.user.as_ref().map_or(b"", |user| user.name())
    }

    /// The user's rules as of the last [`refresh`](Self::refresh); none where everything is allowed.
    pub fn rules(&self) -> Option<&Rules> {
        self.user.is_some().then_some(&*self.rules)
    }

    /// Brings it up to date. A user who is gone leaves a stranger behind; false then.
    #[inline]
    pub fn refresh(&mut self, users: &Users) -> bool {
        self.is_current(users) || self.look_again(users)
    }

    #[cold]
    fn look_again(&mut self, users: &Users) -> bool {
        // Read first: what changes from now on is seen the next time.
        self.seen = users.generation();
        let is_gone = self.user.as_ref().is_some_and(|user| user.is_gone());
        if is_gone {
            self.user = Some(Arc::clone(users.default_user()));
            self.authenticated = false;
        }
        if let Some(user) = &self.user {
            self.rules = user.rules();
        }
        self.must_authenticate = !self.authenticated && !users.default_user().rules().is_open();
        let allows_all = self.user.is_none() || self.rules.allow_all();
        self.open_at = if allows_all && !self.must_authenticate { self.seen } else { NEVER };
        !is_gone
    }

    /// Becomes the user of this name if the password is his; the identity stays as it is otherwise.
    pub fn authenticate(&mut self, users: &Users, name: &[u8], password: &[u8]) -> bool {
        let password = Password::of(password);
        let user = users.get(name);
        // For a name that nobody has the same is done as for one with a password that is not right.
        let rules = user.as_ref().unwrap_or(users.default_user()).rules();
        let admitted = rules.admits(&password);
        let Some(user) = user.filter(|_| admitted) else { return false };
        *self = Self::new(Some(user), rules, true, users);
        true
    }
}
