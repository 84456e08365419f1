//! Subscribers whose user loses the right to a channel.
//!
//! Who may not hear a channel any more is cut off: his subscription would go on without a command
//! that could be denied. Invariant: rules are replaced before subscriptions are looked at, and a
//! subscription is made before the rules are looked at again, so that one of the two sees the other.

use super::rules::Rules;
use super::selector::{Selector, allows_channel};
use super::users::User;
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::push::channels::Kind;
use crate::session::Session;
use std::sync::Arc;

/// Cuts off those connections of a user whose subscriptions his rules do not allow any more; `old` are
/// the rules he had. Tells whether `own_id` is one of them, which is the caller's to end.
pub fn cut_off(node: &Shared, user: &Arc<User>, old: &Rules, own_id: u64) -> bool {
    let new = user.rules();
    if allows_all(&new) || keeps_all(old, &new) {
        return false;
    }
    super::cut_off_clients(node, own_id, |client| {
        let is_his = client.user.lock().as_ref().is_some_and(|known| Arc::ptr_eq(known, user));
        is_his && !may_stay(client, &new)
    })
}

/// To be called after a subscription was made: cuts the session off if its user lost the right to it
/// since the command passed the gate.
pub fn look_again(node: &Shared, session: &mut Session) {
    if session.identity.is_current(&node.acl.users) {
        return;
    }
    super::check::refresh(node, session);
    let may_stay = |rules: &Rules| allows_all(rules) || may_stay(&session.client, rules);
    if !session.identity.rules().is_none_or(may_stay) {
        session.client.kill();
    }
}

fn allows_all(rules: &Rules) -> bool {
    rules.selectors().any(Selector::allows_all_channels)
}

/// Whether all patterns that were allowed still are.
fn keeps_all(old: &Rules, new: &Rules) -> bool {
    !allows_all(old) && patterns(old).all(|pattern| patterns(new).any(|known| known == pattern))
}

fn patterns(rules: &Rules) -> impl Iterator<Item = &[u8]> {
    rules.selectors().flat_map(Selector::channels).map(|pattern| &**pattern)
}

fn may_stay(client: &Client, rules: &Rules) -> bool {
    let subscriptions = client.subscriptions.lock();
    [Kind::Channel, Kind::Pattern, Kind::Shard].into_iter().all(|kind| {
        let is_pattern = kind == Kind::Pattern;
        let mut names = subscriptions.of(kind).iter();
        names.all(|name| allows_channel(patterns(rules), name, is_pattern))
    })
}
