//! One member through all its lives: node, driver and link, started together and ended together.
//!
//! A member has a thread of its own with a runtime of its own, so that nothing another one does, not
//! even a slow disk, delays its heartbeats. What outlives a life is the member's face, its disk and
//! its ports. Invariant: at any time there is at most one node and one driver of a member, and the
//! lease is given up before the driver ends.

use super::face::{Face, Request};
use super::life::{Ended, Life};
use super::observer::Observer;
use super::timing::Timing;
use crate::clock::Clock;
use crate::config::Settings;
use crate::node::member::MemberNode;
use crate::node::shared::Shared;
use crate::node::{Local, StartError, embed};
use larder_replication::group::config::{GroupConfig, Incarnation, Member, NodeId};
use larder_replication::group::data::{DataNode, Follower, Lease};
use larder_replication::group::link::{Dial, Secret};
use larder_replication::group::network::Network;
use larder_replication::group::ports::{Disk, Host};
use larder_replication::pace;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Orders that wait for a member.
const MAX_ORDERS: usize = 16;
/// Lags are told in steps of so many milliseconds, so that endpoints are not told of each heartbeat.
const LAG_STEP_MS: u64 = 250;
/// After a life that could not begin.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the sockets on which a member hears the others.
pub(super) type Listen = Box<dyn Fn() -> io::Result<Vec<TcpListener>> + Send + Sync>;

/// What the program does when settings changed.
pub(super) type OnChange = Arc<dyn Fn(&Settings) + Send + Sync>;

/// What a member is, for all its lives.
pub(super) struct Plan {
    /// The group's name.
    pub(super) group: String,
    /// This member.
    pub(super) me: Member,
    /// The members of a new group, in order.
    pub(super) members: Vec<Member>,
    /// What links prove to each other that they know.
    pub(super) secret: Secret,
    /// The same, for the node.
    pub(super) secret_bytes: Arc<[u8]>,
    /// How fast a lost primary is noticed.
    pub(super) timing: Timing,
    /// The node's settings.
    pub(super) settings: Settings,
    /// The file that CONFIG REWRITE writes.
    pub(super) config_file: Option<PathBuf>,
    /// What happens when CONFIG SET changed something.
    pub(super) on_change: Option<OnChange>,
    /// Where the member remembers what it promised.
    pub(super) disk: Arc<dyn Disk>,
    /// How it reaches the others.
    pub(super) dial: Arc<dyn Dial>,
    /// How the others reach it.
    pub(super) listen: Listen,
    /// A network with faults, which the node's own connections go through as well.
    pub(super) network: Option<Network>,
}

/// What a member is told.
#[derive(Debug)]
pub(super) enum Order {
    /// The node loses its power: for this time, or until it is given back.
    PowerOff(Option<Duration>),
    /// It gets its power back.
    PowerOn,
    /// The member's thread stands still until the other end is dropped.
    Stall(std::sync::mpsc::Receiver<()>),
    /// The member ends.
    End,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Its node starts, or waits to.
    Starting,
    /// Its node runs.
    Running,
    /// Its node has no power.
    Off,
    /// It ended.
    Ended,
}

/// What a member's thread shares with those who watch it.
pub(super) struct Shown {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    pub(super) face: Arc<Face>,
    pub(super) observer: Arc<Observer>,
    orders: Sender<Order>,
    doing: Mutex<Doing>,
    changed: Condvar,
    node: Mutex<Weak<Shared>>,
    /// The data set of the running life; none of a witness.
    life: Mutex<Option<Incarnation>>,
    /// For how long each replica said nothing, where this member is the primary.
    lags_ms: Mutex<HashMap<NodeId, u64>>,
}

impl Shown {
    pub(super) fn set_doing(&self, doing: Doing) {
        *self.doing.lock() = doing;
        self.changed.notify_all();
        self.observer.look();
    }

    pub(super) fn doing(&self) -> Doing {
        *self.doing.lock()
    }

    /// Blocks until the member has ended.
    pub(super) fn wait_end(&self) {
        let mut doing = self.doing.lock();
        while *doing != Doing::Ended {
            self.changed.wait(&mut doing);
        }
    }

    /// The node of the running life.
    pub(super) fn node(&self) -> Option<Arc<Shared>> {
        self.node.lock().upgrade()
    }

    pub(super) fn set_node(&self, node: &Arc<Shared>) {
        *self.node.lock() = Arc::downgrade(node);
    }

    pub(super) fn set_life(&self, life: Option<Incarnation>) {
        *self.life.lock() = life;
    }

    /// Whether the data that the node has now is in sync, by this configuration.
    pub(super) fn is_in_sync(&self, config: &GroupConfig) -> bool {
        let life = *self.life.lock();
        life.is_some() && config.in_sync.get(&self.face.me).copied() == life
    }

    /// Whether the data that the node has now has all that this epoch's primary began with: an election
    /// leaves in sync who may not have heard of it.
    pub(super) fn is_of(&self, epoch: u64) -> bool {
        let data = self.node().and_then(|node| MemberNode::of(&node));
        data.is_some_and(|data| data.position().epoch == epoch)
    }

    /// Notes how the replicas of this primary do.
    pub(super) fn set_followers(&self, followers: &[Follower]) {
        let lag_ms = |follower: &Follower| follower.silent_ms / LAG_STEP_MS * LAG_STEP_MS;
        *self.lags_ms.lock() =
            followers.iter().map(|follower| (follower.id.clone(), lag_ms(follower))).collect();
    }

    /// By how much a replica of this primary lags, as far as it knows.
    pub(super) fn lag_ms(&self, replica: &NodeId) -> u64 {
        self.lags_ms.lock().get(replica).copied().unwrap_or(0)
    }

    /// Gives an order; one too many is dropped, as the member is being told to do something already.
    pub(super) fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            tracing::warn!(node = %self.face.me, "a member has more orders than it can take");
        }
    }
}

/// The driver may take the power from its own node.
impl Host for Shown {
    fn power_off(&self, duration: Duration) {
        self.order(Order::PowerOff(Some(duration)));
    }
}

/// A member at work. Dropped, it ends.
pub(super) struct Supervisor {
    shown: Arc<Shown>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts a member's first life, and shows it to the observer.
    ///
    /// # Errors
    /// What keeps its node, its link or its driver from starting.
    pub(super) fn start(plan: Plan, observer: &Arc<Observer>) -> Result<Self, StartError> {
        let (orders, ordered) = channel(MAX_ORDERS);
        let lease = Arc::new(Lease::default());
        let (name, id) = (plan.group.clone(), plan.me.id.clone());
        let down_after = plan.timing.down_after();
        let (face, wishes) = Face::new(name, id.clone(), lease, down_after);
        let shown = Arc::new(Shown {
            plan,
            clock: Clock::system(),
            face: Arc::new(face),
            observer: Arc::clone(observer),
            orders,
            doing: Mutex::new(Doing::Starting),
            changed: Condvar::new(),
            node: Mutex::default(),
            life: Mutex::default(),
            lags_ms: Mutex::default(),
        });
        observer.watch(&shown);
        let (told, started) = std::sync::mpsc::channel();
        let member = Arc::clone(&shown);
        let thread = std::thread::Builder::new()
            .name(format!("larder-{id}"))
            .spawn(move || {
                pace::note_runtime();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(run(&member, ordered, wishes, told)),
                    // Nobody waits any more where the sender is not taken.
                    Err(error) => drop(told.send(Err(StartError::Thread(error)))),
                }
                member.set_doing(Doing::Ended);
            })
            .map_err(StartError::Thread)?;
        let supervisor = Self { shown, thread: Some(thread) };
        let ended = || StartError::Thread(io::Error::other("the member's thread ended"));
        started.recv().map_err(|_| ended())??;
        Ok(supervisor)
    }

    pub(super) fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }

    pub(super) fn me(&self) -> &Member {
        &self.shown.plan.me
    }

    pub(super) fn face(&self) -> &Face {
        &self.shown.face
    }

    pub(super) fn is_running(&self) -> bool {
        self.shown.doing() == Doing::Running
    }

    pub(super) fn order(&self, order: Order) {
        self.shown.order(order);
    }

    /// A handle to run commands on the node, while it runs.
    pub(super) fn local(&self) -> Option<Local> {
        self.shown.node().filter(|_| self.is_running()).map(Local::new)
    }

    /// A connection to the node, while it runs.
    pub(super) fn connect(&self) -> Option<DuplexStream> {
        self.shown.node().filter(|_| self.is_running()).map(|node| embed::connect(&node))
    }

    /// Lets the member stand still until what this gives is dropped.
    pub(super) fn stall(&self) -> Stall {
        let (release, stalled) = std::sync::mpsc::channel();
        self.order(Order::Stall(stalled));
        let (freed, held) = std::sync::mpsc::channel::<()>();
        if let Some(node) = self.shown.node() {
            // Whoever needs data waits; nothing that was read before is answered.
            std::thread::spawn(move || {
                let _all = node.keyspace.lock_all();
                // An error is the end of the stall.
                let _ = held.recv();
            });
        }
        Stall { _release: release, _freed: freed }
    }
}

/// Keeps a member from going on.
pub(super) struct Stall {
    _release: std::sync::mpsc::Sender<()>,
    _freed: std::sync::mpsc::Sender<()>,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Orders before this one are carried out in moments, so there is room soon.
        while self.shown.orders.try_send(Order::End).is_err() && self.shown.doing() != Doing::Ended
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// All lives of a member.
async fn run(
    member: &Arc<Shown>,
    mut orders: Receiver<Order>,
    mut wishes: Receiver<Request>,
    started: std::sync::mpsc::Sender<Result<(), StartError>>,
) {
    let mut started = Some(started);
    loop {
        let off = match Life::begin(member).await {
            Ok(life) => {
                member.set_doing(Doing::Running);
                if let Some(started) = started.take() {
                    // Who does not wait for it any more does not need to know.
                    let _ = started.send(Ok(()));
                }
                match life.run(&mut orders, &mut wishes).await {
                    Ended::Off(time) => time,
                    Ended::ForGood => return,
                }
            }
            Err(error) => match started.take() {
                Some(started) => {
                    let _ = started.send(Err(error));
                    return;
                }
                None => {
                    tracing::error!(node = %member.face.me, %error, "a member cannot start again");
                    Some(RETRY)
                }
            },
        };
        member.set_doing(Doing::Off);
        if !wait_for_power(&mut orders, off).await {
            return;
        }
        member.set_doing(Doing::Starting);
    }
}

/// Waits until the power is back; false where the member ends meanwhile.
async fn wait_for_power(orders: &mut Receiver<Order>, off: Option<Duration>) -> bool {
    let end = |off: Duration| tokio::time::sleep(off).deadline();
    let mut until = off.map(end);
    loop {
        let back = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = back => return true,
            order = orders.recv() => match order {
                None | Some(Order::End) => return false,
                Some(Order::PowerOn) => return true,
                Some(Order::PowerOff(off)) => {
                    until = off.map(end);
                }
                Some(Order::Stall(stalled)) => drop(stalled.recv()),
            },
        }
    }
}
