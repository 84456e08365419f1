//! A group inside the process, followed through the loss of nodes and zones while it is used.

use super::Topology;
use crate::cache::Cache;
use crate::link::{Credentials, Settings};
use crate::sessions::Sessions;
use crate::{Endpoints, Net, Target};
use larder_server::Group;
use larder_server::config::{DirectiveOptions, WriteAcks};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// More than any failover takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

type Cart = BTreeMap<String, u64>;

async fn group() -> Arc<Group> {
    let start = || Group::builder().name("shop").write_acks(WriteAcks::Quorum).start();
    let group = tokio::task::spawn_blocking(start).await.expect("no panic");
    Arc::new(group.expect("three nodes in three zones"))
}

async fn net(group: &Arc<Group>, zone: &str) -> Net {
    let builder = Net::builder().endpoints(Endpoints::in_process(group)).zone(zone);
    builder.failover_timeout(PATIENCE).connect().await.expect("a group in the process")
}

/// What calls of the group block on runs beside the tasks.
async fn blocking<T: Send + 'static>(
    group: &Arc<Group>,
    call: impl FnOnce(&Group) -> T + Send + 'static,
) -> T {
    let group = Arc::clone(group);
    tokio::task::spawn_blocking(move || call(&group)).await.expect("no panic")
}

/// A user who changes a row, reads it through the cache and puts it in the cart, until told to stop.
/// Gives what should be in the cart.
async fn use_all(net: Net, user: usize, stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    let sessions: Sessions<Cart> = net.sessions("web").build().expect("sound settings");
    let rows: Cache<usize, u64> = net.cache("rows").build();
    let row = Arc::new(AtomicU64::new(0));
    let (token, begun) = sessions.create("ann", &Cart::new()).await.expect("a login");
    let mut cart = Cart::new();
    while !stop.load(Ordering::SeqCst) {
        let version = row.fetch_add(1, Ordering::SeqCst) + 1;
        let done = rows.invalidate(&user).await;
        let read = Arc::clone(&row);
        let load =
            move |_| async move { Ok::<_, std::io::Error>(Some(read.load(Ordering::SeqCst))) };
        let mut fetch = rows.fetch(&user, load);
        if let Some(token) = done.token {
            fetch = fetch.after(token);
        }
        let seen = fetch.await.expect("no error reaches a reader").map(|value| *value);
        assert_eq!(seen, Some(version), "nothing older than what was invalidated");
        let item = format!("item{}", version % 50);
        let set = sessions.patch(&begun, |patch| _ = patch.set(item.clone(), version));
        set.await.expect("a session outlives a node");
        cart.insert(item, version);
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    let read = sessions.load(&token).await.expect("an answer").expect("a session");
    assert_eq!(*read.data(), cart, "no field is lost");
    assert!(sessions.close(&read).await.expect("an answer").value);
    assert!(sessions.load(&token).await.expect("an answer").is_none(), "a logout stays one");
}

/// Lets a fault come between uses: some before it, some after it.
async fn amid<F: Future<Output = ()>>(net: &Net, fault: impl FnOnce() -> F) {
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let user = |user| {
        let using = use_all(net.clone(), user, Arc::clone(&stop), Arc::clone(&rounds));
        tokio::spawn(using)
    };
    let users: Vec<_> = (0..4).map(user).collect();
    let more = async || {
        let wanted = rounds.load(Ordering::SeqCst) + 40;
        let enough = async {
            while rounds.load(Ordering::SeqCst) < wanted && !users.iter().any(|u| u.is_finished()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.expect("uses go on");
    };
    more().await;
    fault().await;
    more().await;
    stop.store(true, Ordering::SeqCst);
    for user in users {
        user.await.expect("all went well");
    }
}

/// What a listener saw of the nodes whenever a link was lost.
struct Lost {
    shared: std::sync::Weak<super::Shared>,
    nodes: parking_lot::Mutex<Vec<usize>>,
}

impl super::pushes::Listener for Lost {
    fn invalidated(&self, _: Option<&[&[u8]]>) {}

    fn link_lost(&self) {
        let shared = self.shared.upgrade().expect("nodes that are watched");
        self.nodes.lock().push(shared.view().nodes.len());
    }
}

/// One node that is watched, and who hears of it.
async fn watched() -> (Arc<larder_server::Node>, Topology, Arc<Lost>) {
    let node = larder_server::Node::builder().threads(1).start();
    let node = Arc::new(node.expect("a node starts"));
    let settings = Settings {
        credentials: Arc::new(Credentials::default),
        database: 0,
        connect_timeout: PATIENCE,
        #[cfg(feature = "tls")]
        tls: None,
    };
    let topology = Topology::start(Endpoints::in_process(&node), settings);
    let leads = topology.primary_since(std::time::Instant::now(), PATIENCE).await;
    assert!(leads.is_ok());
    let shared = Arc::downgrade(&topology.shared);
    let lost = Arc::new(Lost { shared, nodes: parking_lot::Mutex::default() });
    let listener: Arc<dyn super::pushes::Listener> = lost.clone();
    topology.pushes().listen(&listener);
    (node, topology, lost)
}

#[tokio::test]
async fn what_was_read_by_a_link_is_forgotten_after_nobody_reads_by_it_any_more() {
    let (node, topology, lost) = watched().await;
    let mut changes = topology.changes();
    node.shutdown_handle().request();
    while !topology.view().nodes.is_empty() || lost.nodes.lock().is_empty() {
        tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(lost.nodes.lock()[0], 0);
}

#[tokio::test]
async fn a_node_that_is_watched_no_longer_is_forgotten() {
    let (_node, topology, lost) = watched().await;
    let shared = &topology.shared;
    let (member, report) = shared.table.lock().reports[0].clone();
    shared.watch_only(Vec::new());
    assert_eq!(*lost.nodes.lock(), [0]);
    // Its last word may come later.
    shared.publish(&member, Some(report));
    assert!(topology.view().primary().is_none());
}

/// The client's own word for the primary.
fn primary(net: &Net) -> Option<String> {
    let nodes = net.nodes();
    nodes.iter().find(|node| node.is_primary).map(|node| node.node.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_and_sessions_go_on_when_the_primary_dies() {
    let group = group().await;
    let net = net(&group, "b").await;
    let first = group.primary().expect("a group that started has one");
    assert_eq!(primary(&net).as_ref(), Some(&first), "nodes have their own names");
    amid(&net, async || {
        let dead = first.clone();
        blocking(&group, move |group| group.kill(&dead)).await.expect("it is there");
    })
    .await;
    assert_ne!(primary(&net), Some(first));
    blocking(&group, |group| group.wait_whole().map(drop)).await.expect("it comes back");
    // The one that came back is another node in the same place, and is read in its own zone again.
    let back = async {
        let is_back = |net: &Net| {
            let nodes = net.nodes();
            nodes.len() == 3 && nodes.iter().all(|node| node.is_primary || node.lag.is_some())
        };
        while !is_back(&net) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("all three are followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_and_sessions_go_on_when_a_zone_loses_its_power() {
    let group = group().await;
    let net = net(&group, "a").await;
    amid(&net, async || {
        let dark = Duration::from_secs(2);
        blocking(&group, move |group| group.interrupt_zone("a", dark)).await.expect("one may");
    })
    .await;
    let role = net.read(&[b"ROLE"], Target::Primary).await.expect("a primary");
    assert!(role.into_array().is_ok_and(|parts| parts[0].as_str() == Some("master")));
    assert!(
        net.nodes()
            .iter()
            .find(|node| node.is_primary)
            .is_some_and(|primary| { primary.zone.as_deref().is_some_and(|zone| zone != "a") })
    );
}
