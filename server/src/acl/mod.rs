//! Access control: who a client is, and what he may do.
//!
//! ```text
//! users      all users by name                rules      what one user may do
//! selector   commands, keys and channels      password   digests
//! identity   what a session remembers         check      the gate, and its errors
//! file       `user` lines and the ACL file    log        what was denied
//! subscribers   who loses a channel
//! ```
//!
//! A user's rules are a value that is replaced as a whole, and every change counts a generation up. A
//! session keeps the rules it last saw; as long as the generation stands and they allow everything, a
//! command pays one comparison. That comparison is made for each command, so that a right that was
//! taken away is gone with the reply to ACL SETUSER.
//!
//! Invariants: all of a change is seen or nothing of it; nobody runs a command as a user that is
//! deleted; a denial is counted and logged once.

pub mod check;
pub mod error;
pub mod file;
pub mod identity;
pub mod log;
pub mod password;
pub mod rules;
pub mod selector;
pub mod subscribers;
pub mod users;

use crate::config::Settings;
use crate::node::clients::Client;
use crate::node::shared::Shared;
use check::Denials;
use log::AclLog;
use std::sync::Arc;
use users::{User, Users};

/// What a node knows about its users.
pub struct Acl {
    /// The users.
    pub users: Users,
    /// The last denials.
    pub log: AclLog,
    /// How many denials there were.
    pub denials: Denials,
}

impl Acl {
    /// The users that the settings and the ACL file name.
    ///
    /// # Errors
    /// What is wrong with them, in one line.
    pub fn start(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            users: file::users_at_start(settings)?,
            log: AclLog::default(),
            denials: Denials::default(),
        })
    }
}

/// Ends the connections of users that are gone; `own_id` is who removed them, and goes after his
/// reply. Tells whether he is one of them.
pub fn cut_off(node: &Shared, gone: &[Arc<User>], own_id: u64) -> bool {
    cut_off_clients(node, own_id, |client| {
        let user = client.user.lock().clone();
        user.is_some_and(|user| gone.iter().any(|gone| Arc::ptr_eq(gone, &user)))
    })
}

/// Ends the connections that `goes` names; that of `own_id` goes after its reply. Tells whether it is
/// one of them.
fn cut_off_clients(node: &Shared, own_id: u64, goes: impl Fn(&Client) -> bool) -> bool {
    let mut is_own = false;
    for client in node.clients.all() {
        if !goes(&client) {
            continue;
        }
        if client.id == own_id {
            is_own = true;
        } else {
            client.kill();
            node.clients.remove(client.id);
        }
    }
    is_own
}

#[cfg(test)]
mod tests;
