//! Which node answers a read.
//!
//! A reader says how old what it gets may be; within that, the node in its own zone is taken, which
//! is the nearest and costs no traffic between zones. A node that is out of reach, slow to answer or
//! too far behind is passed over.

pub(crate) mod token;

use crate::topology::member::Role;
use crate::topology::view::{Seen, View};
use std::time::Duration;
use token::Token;

/// How far behind a replica may be, unless it is said otherwise.
const MAX_LAG: Duration = Duration::from_secs(1);

/// Where a read may go, by how old its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The primary: the answer is the latest.
    Primary,
    /// A replica in the own zone, the primary if it is there, any other replica, the primary: the
    /// first that is at most so far behind.
    Nearest {
        /// How far behind a replica may have been when it was last asked, which is at most half a
        /// second ago.
        max_lag: Duration,
    },
    /// The nearest node that has everything up to a write.
    After(Token),
}

impl Default for Target {
    /// The nearest that is at most a second behind.
    fn default() -> Self {
        Self::Nearest { max_lag: MAX_LAG }
    }
}

/// The node for a read, which has to have `since` too. `turn` spreads reads over equally near ones.
pub(crate) fn choose<'v>(
    view: &'v View,
    target: Target,
    since: Option<Token>,
    zone: Option<&str>,
    turn: usize,
) -> Option<&'v Seen> {
    let primary = view.primary().filter(|primary| primary.data.is_open());
    let has = |node: &Seen, token: Token| token.is_in(&node.replid, node.offset);
    let fits = |node: &Seen| {
        since.is_none_or(|token| has(node, token))
            && match target {
                Target::Primary => false,
                Target::Nearest { max_lag } => node.lag <= max_lag,
                Target::After(token) => has(node, token),
            }
    };
    let usable = |node: &Seen| {
        node.role == Role::Replica && node.data.is_open() && !node.data.is_suspect() && fits(node)
    };
    let is_near = |node: &Seen| zone.is_some() && node.zone.as_deref() == zone;
    let nth = |wanted: &dyn Fn(&Seen) -> bool| {
        let count = view.nodes.iter().filter(|node| wanted(node)).count();
        let mut fit = view.nodes.iter().filter(|node| wanted(node));
        fit.nth(turn.checked_rem(count)?)
    };
    if matches!(target, Target::Primary) {
        return primary;
    }
    nth(&|node| is_near(node) && usable(node))
        .or_else(|| primary.filter(|primary| is_near(primary) && !primary.data.is_suspect()))
        .or_else(|| nth(&usable))
        .or(primary)
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::{Endpoints, Net};
    use larder_server::Node;
    use larder_server::config::DirectiveOptions;
    use std::sync::Arc;

    const HISTORY: &str = "8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb";

    #[tokio::test]
    async fn a_replica_has_what_the_reader_wants_and_what_else_it_must_have() {
        let node = Arc::new(Node::builder().threads(1).start().unwrap());
        let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await.unwrap();
        let mut replica = net.view().nodes[0].clone();
        replica.role = Role::Replica;
        (replica.replid, replica.offset) = (HISTORY.into(), 150);
        replica.lag = Duration::from_secs(5);
        let mut view = View::default();
        view.nodes.push(replica);
        let at = |offset| Token::new(HISTORY, offset).unwrap();
        let fits = |target, since| choose(&view, target, since, None, 0).is_some();
        assert!(fits(Target::After(at(150)), Some(at(100))));
        assert!(!fits(Target::After(at(200)), Some(at(100))));
        assert!(!fits(Target::After(at(100)), Some(at(200))));
        let nearest = |secs| Target::Nearest { max_lag: Duration::from_secs(secs) };
        assert!(fits(nearest(5), Some(at(150))));
        assert!(!fits(nearest(1), Some(at(150))));
        assert!(!fits(nearest(5), Some(at(151))));
    }
}
