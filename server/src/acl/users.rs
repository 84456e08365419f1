//! All users of a node.
//!
//! Sessions hold a [`User`], whose rules change under them; a user who is deleted is marked, so that a
//! new one of the same name is somebody else. There is always the default user, and it is always the
//! same one.

use super::error::UserError;
use super::rules::Rules;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The user that every connection begins as.
pub const DEFAULT_USER: &str = "default";

/// A user whose rules were replaced, with those he had.
pub type Changed = (Arc<User>, Arc<Rules>);

/// One user.
#[derive(Debug)]
pub struct User {
    name: Vec<u8>,
    rules: RwLock<Arc<Rules>>,
    gone: AtomicBool,
}

impl User {
    fn new(name: &[u8], rules: Rules) -> Arc<Self> {
        let rules = RwLock::new(Arc::new(rules));
        Arc::new(Self { name: name.to_vec(), rules, gone: AtomicBool::new(false) })
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What he may do now.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// Whether he was deleted.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The line of ACL LIST, without the word `user`.
    pub fn describe(&self) -> Vec<u8> {
        [&self.name, &b" "[..], &self.rules().describe()].concat()
    }
}

/// See the file.
pub struct Users {
    /// In the order of their names.
    by_name: RwLock<BTreeMap<Vec<u8>, Arc<User>>>,
    default: Arc<User>,
    /// Counts changes of any user.
    generation: AtomicU64,
    /// Held while a change is made, from reading the old rules to storing the new ones.
    writer: Mutex<()>,
}

impl Users {
    /// The default user alone.
    pub fn new(default_rules: Rules) -> Self {
        let default = User::new(DEFAULT_USER.as_bytes(), default_rules);
        let by_name = BTreeMap::from([(default.name.clone(), Arc::clone(&default))]);
        Self {
            by_name: RwLock::new(by_name),
            default,
            generation: AtomicU64::new(1),
            writer: Mutex::new(()),
        }
    }

    /// A number above 0 that grows with each change.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The default user.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// A user by name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.read().get(name).cloned()
    }

    /// All users in the order of their names.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Applies rules to a user, who is created if there is none of that name. Returns one who was there
    /// before, with the rules he had.
    ///
    /// # Errors
    /// A rule is refused; then nothing has changed.
    pub fn set(
        &self,
        name: &[u8],
        rules: &[impl AsRef<[u8]>],
        all_channels: bool,
    ) -> Result<Option<Changed>, UserError> {
        let _writer = self.writer.lock();
        let known = self.get(name);
        let mut new = match &known {
            Some(user) => Rules::clone(&user.rules()),
            None => Rules::new(all_channels),
        };
        new.apply_all(rules, all_channels)?;
        let changed = match known {
            Some(user) => {
                let old = std::mem::replace(&mut *user.rules.write(), Arc::new(new));
                Some((user, old))
            }
            None => {
                self.by_name.write().insert(name.to_vec(), User::new(name, new));
                None
            }
        };
        self.changed();
        Ok(changed)
    }

    /// What `requirepass` means: the default user's only password, or none.
    pub fn require(&self, password: &str) {
        let _writer = self.writer.lock();
        let mut rules = Rules::clone(&self.default.rules());
        rules.require(password);
        *self.default.rules.write() = Arc::new(rules);
        self.changed();
    }

    /// Removes a user, whose connections are the caller's to end. The default user stays.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        let _writer = self.writer.lock();
        if name == self.default.name {
            return None;
        }
        let user = self.by_name.write().remove(name)?;
        user.gone.store(true, Ordering::Release);
        self.changed();
        Some(user)
    }

    /// Puts other users in the place of all but the default user, who only gets other rules. Returns
    /// those who are gone.
    pub fn replace(&self, users: BTreeMap<Vec<u8>, Rules>) -> Vec<Arc<User>> {
        let _writer = self.writer.lock();
        let mut by_name = BTreeMap::new();
        let mut default_rules = Rules::of_default_user();
        for (name, rules) in users {
            if name == self.default.name {
                default_rules = rules;
            } else {
                let user = User::new(&name, rules);
                by_name.insert(name, user);
            }
        }
        by_name.insert(self.default.name.clone(), Arc::clone(&self.default));
        let mut known = self.by_name.write();
        *self.default.rules.write() = Arc::new(default_rules);
        let old = std::mem::replace(&mut *known, by_name);
        drop(known);
        let mut gone: Vec<Arc<User>> = old.into_values().collect();
        gone.retain(|user| !Arc::ptr_eq(user, &self.default));
        gone.iter().for_each(|user| user.gone.store(true, Ordering::Release));
        self.changed();
        gone
    }

    /// Needs `writer`.
    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}
