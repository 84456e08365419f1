//! What the members in this process know together: the latest configuration, and where the endpoints
//! lead.

use super::face::age;
use super::routes::routes;
use super::supervisor::Shown;
use crate::node::control::is_protected;
use larder_replication::group::config::{GroupConfig, Member};
use larder_replication::group::endpoint::Routes;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// Looks at members whenever one of them learns something.
pub(super) struct Observer {
    members: Mutex<Vec<Weak<Shown>>>,
    routes: watch::Sender<Routes>,
}

impl Observer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { members: Mutex::default(), routes: watch::Sender::new(Routes::default()) })
    }

    /// Looks at one more member.
    pub(super) fn watch(&self, member: &Arc<Shown>) {
        self.members.lock().push(Arc::downgrade(member));
    }

    /// Where the endpoints lead, from now on.
    pub(super) fn routes(&self) -> watch::Receiver<Routes> {
        self.routes.subscribe()
    }

    /// The latest configuration that a member knows.
    pub(super) fn config(&self) -> Arc<GroupConfig> {
        latest(&self.running())
    }

    fn running(&self) -> Vec<Arc<Shown>> {
        self.members.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether who comes from this address may connect to an endpoint: nodes see the endpoint's address
    /// instead, so their protected mode is enforced here.
    pub(super) fn admits(&self, from: IpAddr) -> bool {
        if from.is_loopback() {
            return true;
        }
        let nodes: Vec<_> = self.running().iter().filter_map(|member| member.node()).collect();
        !nodes.is_empty() && !nodes.iter().any(|node| is_protected(node))
    }

    /// Something changed.
    pub(super) fn look(&self) {
        // Looked at under the sender's lock, so that what is newer never comes before what is older.
        self.routes.send_if_modified(|shown| {
            let members = self.running();
            let config = latest(&members);
            let primary = members.iter().find(|m| Some(&m.face.me) == config.primary.as_ref());
            // Elsewhere a replica in sync is as good as any.
            let lag_ms =
                |replica: &Member| primary.map_or(0, |primary| primary.lag_ms(&replica.id));
            let now = routes(&config, lag_ms);
            let is_new = *shown != now;
            *shown = now;
            is_new
        });
    }
}

fn latest(members: &[Arc<Shown>]) -> Arc<GroupConfig> {
    let configs = members.iter().map(|member| member.face.config());
    configs.max_by_key(|config| age(config)).unwrap_or_default()
}
