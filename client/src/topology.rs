//! Which nodes there are, which of them is the primary, and how far behind the others are.
//!
//! One task watches each node: it keeps two links to it, asks it twice a second what it is, and
//! publishes the answer. From the answers of all a [`View`] is made, which is never changed, only
//! replaced: whoever sends a command takes the view of the moment. No name is trusted for what it
//! says; the primary is the node that says so itself.

mod backoff;
pub(crate) mod endpoints;
pub(crate) mod member;
pub(crate) mod pushes;
mod sentinel;
#[cfg(all(test, feature = "embedded"))]
mod tests;
pub(crate) mod view;

use crate::error::Error;
use crate::link;
use crate::link::address::Address;
use endpoints::{Endpoints, Kind};
use member::{Member, Report};
use parking_lot::{Mutex, RwLock};
use pushes::Pushes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use view::{Table, View};

/// Connections that may be in the making at once, over all nodes.
const DIALS: usize = 4;
/// Nodes that are watched at most; what a Sentinel names beyond them is left out.
const MEMBERS: usize = 32;

/// The nodes of one data set, watched. The tasks end with it.
pub(crate) struct Topology {
    shared: Arc<Shared>,
    /// Asks Sentinels who the members are.
    discovery: Option<AbortHandle>,
}

/// What the tasks share.
pub(crate) struct Shared {
    settings: link::Settings,
    pub(crate) pushes: Pushes,
    dials: Semaphore,
    table: Mutex<Table>,
    watchers: Mutex<Vec<(Arc<Member>, AbortHandle)>>,
    view: RwLock<Arc<View>>,
    /// Says that the view is another one.
    changed: watch::Sender<()>,
}

impl Topology {
    /// Begins to watch.
    pub(crate) fn start(endpoints: Endpoints, settings: link::Settings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            pushes: Pushes::default(),
            dials: Semaphore::new(DIALS),
            table: Mutex::default(),
            watchers: Mutex::default(),
            view: RwLock::default(),
            changed: watch::Sender::new(()),
        });
        let discovery = match endpoints.kind {
            Kind::Nodes(nodes) => {
                for node in nodes {
                    shared.watch(node.address, node.zone, node.must_lead);
                }
                None
            }
            Kind::Sentinel { sentinels, name } => {
                let watching = sentinel::follow(Arc::clone(&shared), sentinels, name);
                Some(tokio::spawn(watching).abort_handle())
            }
        };
        Self { shared, discovery }
    }

    /// What is known at this moment.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.read())
    }

    /// Waits for changes of the view.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// What nodes say unasked.
    pub(crate) fn pushes(&self) -> &Pushes {
        &self.shared.pushes
    }

    /// Has subscriptions brought up to date.
    pub(crate) fn nudge(&self) {
        self.shared.nudge();
    }

    /// A view with a primary that said so after `since`. Asks all nodes at once.
    ///
    /// # Errors
    /// [`Error::NoPrimary`] when there is none within `patience`.
    pub(crate) async fn primary_since(
        &self,
        since: Instant,
        patience: Duration,
    ) -> Result<Arc<View>, Error> {
        let mut changed = self.shared.changed.subscribe();
        self.shared.nudge();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                let view = self.view();
                if view.primary().is_some_and(|primary| primary.polled_at > since) {
                    return view;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.map_err(|_| Error::NoPrimary)
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        if let Some(discovery) = &self.discovery {
            discovery.abort();
        }
        for (_, watcher) in self.shared.watchers.lock().drain(..) {
            watcher.abort();
        }
        // Whoever still holds a view must not keep connections.
        *self.shared.view.write() = Arc::default();
        *self.shared.table.lock() = Table::default();
    }
}

impl Shared {
    /// Watches one more node.
    fn watch(self: &Arc<Self>, address: Address, zone: Option<Arc<str>>, must_lead: bool) {
        let mut watchers = self.watchers.lock();
        if watchers.len() >= MEMBERS {
            tracing::warn!(%address, "too many nodes; this one is left out");
            return;
        }
        let member = Arc::new(Member::new(address, zone, must_lead));
        let watching = member::watch(Arc::clone(self), Arc::clone(&member));
        watchers.push((member, tokio::spawn(watching).abort_handle()));
    }

    /// Watches these nodes and no others.
    fn watch_only(self: &Arc<Self>, addresses: Vec<Address>) {
        let wanted: Vec<String> = addresses.iter().map(Address::to_string).collect();
        let mut gone = Vec::new();
        self.watchers.lock().retain(|(member, watcher)| {
            let stays = wanted.iter().any(|name| **name == *member.name);
            if !stays {
                watcher.abort();
                gone.push(Arc::clone(member));
            }
            stays
        });
        for member in &gone {
            self.publish(member, None);
        }
        if !gone.is_empty() {
            self.pushes.link_lost();
        }
        for (address, name) in addresses.into_iter().zip(wanted) {
            let known = self.watchers.lock().iter().any(|(member, _)| *member.name == *name);
            if !known {
                self.watch(address, None, false);
            }
        }
    }

    /// Has every node asked what it is, now.
    fn nudge(&self) {
        for (member, _) in self.watchers.lock().iter() {
            member.concern.notify_one();
        }
    }

    /// The node that `name` is, by a Sentinel's word, decides where two say they are the primary.
    fn prefer(&self, name: String) {
        self.table.lock().preferred = Some(name);
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// Takes over what a node said, `None` when it is out of reach. The last word of one that is
    /// watched no longer may come late: nobody would ever take it back.
    fn publish(&self, member: &Arc<Member>, report: Option<Report>) {
        let mut table = self.table.lock();
        let is_watched =
            self.watchers.lock().iter().any(|(watched, _)| Arc::ptr_eq(watched, member));
        let report = report.filter(|_| is_watched);
        table.set(member, report);
        let before = self.view();
        let view = table.view(&before);
        if view.epoch != before.epoch {
            tracing::info!(
                primary = view.primary().map(|primary| &*primary.member.name),
                epoch = view.epoch,
                "the primary is another one"
            );
            // The others learn of it, and subscriptions move.
            *self.view.write() = Arc::new(view);
            self.nudge();
        } else {
            *self.view.write() = Arc::new(view);
        }
        drop(table);
        self.changed.send_replace(());
    }
}
