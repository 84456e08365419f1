//! One member through all its lives: node, driver and link, started together and ended together.
//!
//! A member has a thread of its own with a runtime of its own, so that nothing another one does, not
//! even a slow disk, delays its heartbeats. What outlives a life is the member's face, its disk and
//! its ports. Invariant: at any time there is at most one node and one driver of a member, and the
//! lease is given up before the driver ends.

use super::face::{Face, Request};
use super::failovers::FailoverClock;
use super::life::Life;
use super::news;
use crate::config::Settings;
use crate::node::shared::Shared;
use crate::node::{Local, StartError};
use larder_replication::group::config::Member;
use larder_replication::group::data::Lease;
use larder_replication::group::link::{Dial, Secret};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Orders that wait for a member.
const MAX_ORDERS: usize = 16;
/// After a life that could not begin.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the sockets on which a member hears the others.
pub(super) type Listen = Box<dyn Fn() -> io::Result<Vec<TcpListener>> + Send + Sync>;

/// What a member is, for all its lives.
pub(super) struct Plan {
    /// The group's name.
    pub(super) group: String,
    /// This member.
    pub(super) me: Member,
    /// The members of a new group, in order; none where this one is added to a group that is there.
    pub(super) members: Vec<Member>,
    /// For links.
    pub(super) secret: Secret,
    /// The same, for the node.
    pub(super) secret_bytes: Arc<[u8]>,
    /// How fast a lost primary is noticed.
    pub(super) timing: super::timing::Timing,
    /// The node's settings.
    pub(super) settings: Settings,
    /// The file that CONFIG REWRITE writes.
    pub(super) config_file: Option<PathBuf>,
    /// What happens when CONFIG SET changed something.
    pub(super) on_change: Option<Arc<dyn Fn(&Settings) + Send + Sync>>,
    /// Where the member remembers what it promised.
    pub(super) disk: Arc<dyn super::Disk>,
    /// How it reaches the others.
    pub(super) dial: Arc<dyn Dial>,
    /// How the others reach it.
    pub(super) listen: Listen,
}

/// What a member is told.
#[derive(Debug)]
pub(super) enum Order {
    /// The node loses its power: for this time, or until it is given back.
    PowerOff(Option<Duration>),
    /// It gets its power back.
    PowerOn,
    /// The node starts anew.
    Restart,
    /// The member's thread stands still until the other end is dropped.
    Stall(std::sync::mpsc::Receiver<()>),
    /// The member ends.
    End,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Doing {
    /// Its node starts.
    Starting = 0,
    /// Its node runs.
    Running = 1,
    /// Its node has no power.
    Off = 2,
    /// It ended.
    Ended = 3,
}

/// What a member's thread shares with those who watch it.
pub(super) struct Shown {
    pub(super) plan: Plan,
    pub(super) face: Arc<Face>,
    pub(super) orders: Sender<Order>,
    doing: AtomicU8,
    node: Mutex<Weak<Shared>>,
}
