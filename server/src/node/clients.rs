//! The registry of connected clients: what CLIENT LIST shows and CLIENT KILL reaches.
//!
//! A connection updates its own [`Client`] with relaxed stores; others read it and leave messages
//! in its mailbox, which wakes the connection's task.
//!
//! The registry also knows what all clients that may be evicted take together, so that
//! `maxmemory-clients` costs one load where clients grow. Invariant: that sum is the sum of each
//! client's share, because a share is only ever exchanged and the sum changed by the difference.

use crate::acl::identity::Identity;
use crate::acl::users::User;
use crate::config::{OutputBufferLimit, OutputBufferLimits};
use crate::dispatch::blocking::Waiter;
use crate::keyspace::memory::Memory;
use crate::keyspace::tracking::Tracker;
use crate::observe::stats::Counter;
use crate::push::Mailbox;
use crate::push::channels::Subscriptions;
use crate::session::Session;
use dashmap::DashMap;
use larder_protocol::{CommandError, Version};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

/// Where a client comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP connection: remote and local address.
    Tcp(SocketAddr, SocketAddr),
    /// A Unix socket, by path.
    Unix(String),
    /// A byte stream inside this process.
    InProcess,
}

impl Peer {
    /// The remote address as CLIENT LIST shows it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(remote, _) => remote.to_string(),
            Self::Unix(path) => format!("{path}:0"),
            Self::InProcess => "local:0".to_owned(),
        }
    }

    /// The local address as CLIENT LIST shows it.
    pub fn local_address(&self) -> String {
        match self {
            Self::Tcp(_, local) => local.to_string(),
            Self::Unix(path) => format!("{path}:0"),
            Self::InProcess => "local:0".to_owned(),
        }
    }

    /// The local port of a TCP connection.
    pub fn local_port(&self) -> Option<u16> {
        match self {
            Self::Tcp(_, local) => Some(local.port()),
            Self::Unix(_) | Self::InProcess => None,
        }
    }

    /// Whether it is on this machine: loopback, Unix socket or in-process.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(remote, _) => remote.ip().to_canonical().is_loopback(),
            Self::Unix(_) | Self::InProcess => true,
        }
    }
}

/// Texts that a client sets about itself.
#[derive(Clone, Debug, Default)]
pub struct ClientTexts {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
}

/// Memory that every connection takes besides its buffers and what its stream needs.
pub const CONNECTION_BYTES: usize = size_of::<Client>() + size_of::<Session>();

/// Reply bytes that the output limits do not see: Redis counts from where a client's fixed buffer is
/// full, and a limit below a usual reply must not end every client.
const FREE_OUTPUT_BYTES: usize = 16 * 1024;

/// How many of `waiting` reply bytes the output limits see.
#[inline]
pub fn over_free_output(waiting: usize) -> u64 {
    waiting.saturating_sub(FREE_OUTPUT_BYTES) as u64
}

/// What others may see of a connection.
pub struct Client {
    /// CLIENT ID.
    pub id: u64,
    /// Where it comes from.
    pub peer: Peer,
    /// File descriptor, -1 when there is none.
    pub fd: i32,
    /// When it connected, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Memory that the connection takes besides its buffers.
    pub fixed_bytes: usize,
    /// Texts it set.
    pub texts: Mutex<ClientTexts>,
    /// The user it is; none for a caller inside the process.
    pub user: Mutex<Option<Arc<User>>>,
    db: AtomicUsize,
    /// Which connection thread serves it.
    pub thread: AtomicUsize,
    /// Whether it is served in a way in which whoever writes to `fd` writes to the client.
    is_plain: bool,
    /// Whether its connection waits for what it sends next and has nothing unsent itself.
    at_rest: AtomicBool,
    /// When it last sent something or took something that it was sent, in milliseconds since the Unix
    /// epoch.
    pub last_active_ms: AtomicI64,
    /// Index of its last command among the registered commands, plus one.
    pub last_command: AtomicU32,
    /// Protocol version: 2 or 3.
    pub resp: AtomicU32,
    /// Unparsed bytes it has sent.
    pub query_bytes: AtomicUsize,
    /// Capacity of its own query buffer in bytes.
    pub query_capacity_bytes: AtomicUsize,
    /// Bytes of the arguments of the command that is incomplete.
    pub arg_bytes: AtomicUsize,
    /// Reply bytes that wait for the socket.
    pub output_bytes: AtomicUsize,
    /// Bytes received, bytes sent, commands run; written by the connection only.
    pub net_in_bytes: Counter,
    /// See `net_in_bytes`.
    pub net_out_bytes: Counter,
    /// See `net_in_bytes`.
    pub commands: Counter,
    /// Whether it waits in a blocking or paused command.
    pub blocked: AtomicBool,
    /// What it waits for in a blocking command.
    pub parked: Mutex<Option<Arc<Waiter>>>,
    /// All its memory: the connection and its buffers.
    pub memory_bytes: AtomicUsize,
    /// What of `memory_bytes` is in the registry's sum: nothing once it is killed or NO-EVICT.
    evictable_bytes: AtomicUsize,
    /// Since when its output is above the soft limit, in milliseconds since the Unix epoch; 0 while
    /// it is not.
    soft_since_ms: AtomicI64,
    no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// Whether the next reply is one that CLIENT REPLY leaves out.
    pub is_quiet: AtomicBool,
    /// Whether a key was changed that it watches.
    touched: AtomicBool,
    /// Commands that its transaction has, one more than there are; 0 without a transaction.
    pub queued: AtomicUsize,
    /// Whether another one than its connection began its transaction.
    pub(crate) opened: AtomicBool,
    /// Whether another one than its connection refused a command of its transaction.
    pub(crate) broken: AtomicBool,
    /// Whether another one than its connection ended its transaction.
    pub(crate) aborted: AtomicBool,
    /// Bytes of its transaction and of its watches.
    pub transaction_bytes: AtomicUsize,
    /// What it is told unasked and has not been sent.
    pub mailbox: Mailbox,
    /// The part of that which its memory counts.
    mail_bytes: AtomicUsize,
    /// What it subscribed to.
    pub subscriptions: Mutex<Subscriptions>,
    /// What its subscriptions and its prefixes take, and the part of that which the node's memory counts.
    pub subscribed_bytes: AtomicUsize,
    /// See `subscribed_bytes`.
    pub counted_subscriptions: AtomicUsize,
    /// Whether it has any.
    pub is_subscriber: AtomicBool,
    /// Whether it looks on at the commands of all.
    pub is_monitor: AtomicBool,
    /// Whether it is the primary that this node follows.
    pub is_primary: AtomicBool,
    /// Whether it is told when replicas got on.
    pub awaits_replicas: AtomicBool,
    /// Whether it is a replica's link.
    pub is_replica: AtomicBool,
    /// Whether it wrote, where a group may have to close those who did.
    pub has_written: AtomicBool,
    /// Whether it is served by another node by now.
    pub is_relayed: AtomicBool,
    /// Where it comes from and where it connected to, if it came through another node.
    origin: OnceLock<(String, String)>,
    /// How it tracks keys.
    pub tracker: Tracker,
    killed: AtomicBool,
    /// Whether it was killed for what waited for it.
    cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Client {
    /// A client that has just connected.
    pub fn new(id: u64, peer: Peer, fd: i32, now_ms: i64) -> Self {
        Self {
            id,
            peer,
            fd,
            created_ms: now_ms,
            fixed_bytes: CONNECTION_BYTES,
            texts: Mutex::default(),
            user: Mutex::default(),
            db: AtomicUsize::new(0),
            thread: AtomicUsize::new(0),
            is_plain: fd >= 0,
            at_rest: AtomicBool::new(false),
            last_active_ms: AtomicI64::new(now_ms),
            last_command: AtomicU32::new(0),
            resp: AtomicU32::new(2),
            query_bytes: AtomicUsize::new(0),
            query_capacity_bytes: AtomicUsize::new(0),
            arg_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            net_in_bytes: Counter::default(),
            net_out_bytes: Counter::default(),
            commands: Counter::default(),
            blocked: AtomicBool::new(false),
            parked: Mutex::default(),
            memory_bytes: AtomicUsize::new(0),
            evictable_bytes: AtomicUsize::new(0),
            soft_since_ms: AtomicI64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            opened: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            transaction_bytes: AtomicUsize::new(0),
            mailbox: Mailbox::default(),
            mail_bytes: AtomicUsize::new(0),
            subscriptions: Mutex::default(),
            subscribed_bytes: AtomicUsize::new(0),
            counted_subscriptions: AtomicUsize::new(0),
            is_subscriber: AtomicBool::new(false),
            is_monitor: AtomicBool::new(false),
            is_primary: AtomicBool::new(false),
            awaits_replicas: AtomicBool::new(false),
            is_replica: AtomicBool::new(false),
            has_written: AtomicBool::new(false),
            is_relayed: AtomicBool::new(false),
            origin: OnceLock::new(),
            tracker: Tracker::default(),
            killed: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// The same with memory that its stream takes.
    pub fn with_stream_bytes(self, bytes: usize) -> Self {
        let is_plain = self.is_plain && bytes == 0;
        Self { fixed_bytes: CONNECTION_BYTES + bytes, is_plain, ..self }
    }

    /// Its address as CLIENT LIST shows it.
    pub fn address(&self) -> String {
        self.origin.get().map_or_else(|| self.peer.address(), |(address, _)| address.clone())
    }

    /// The address that it connected to, likewise.
    pub fn local_address(&self) -> String {
        self.origin.get().map_or_else(|| self.peer.local_address(), |(_, local)| local.clone())
    }

    /// Shows another address: it came through another node, which knows.
    pub fn set_origin(&self, address: String, local_address: String) {
        // The first one is as near to the client as any.
        let _ = self.origin.set((address, local_address));
    }

    /// Shows the user that its session is now.
    pub fn show_user(&self, identity: &Identity) {
        *self.user.lock() = identity.user().cloned();
    }

    /// The selected database.
    pub fn db(&self) -> usize {
        self.db.load(Ordering::Relaxed)
    }

    /// Shows the selected database.
    pub fn set_db(&self, db: usize) {
        self.db.store(db, Ordering::Relaxed);
    }

    /// Whether it is spared when clients take too much memory: CLIENT NO-EVICT.
    pub fn is_spared(&self) -> bool {
        self.no_evict.load(Ordering::Relaxed)
    }

    /// The protocol it speaks.
    #[inline]
    pub fn version(&self) -> Version {
        match self.resp.load(Ordering::Relaxed) {
            3 => Version::Resp3,
            _ => Version::Resp2,
        }
    }

    /// Its class's limit on output.
    #[inline]
    pub fn output_limit(&self, limits: &OutputBufferLimits) -> OutputBufferLimit {
        if self.is_subscriber.load(Ordering::Relaxed) { limits.pubsub } else { limits.normal }
    }

    /// All that waits for the client: output of its connection, and mail.
    pub fn waiting_bytes(&self) -> usize {
        self.output_bytes.load(Ordering::Relaxed) + self.mailbox.waiting_bytes()
    }

    /// All its memory, uncounted mail and subscriptions included.
    pub fn total_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
            + self.mailbox.waiting_bytes()
            + self.subscribed_bytes.load(Ordering::Relaxed)
    }

    /// Whether `waiting` bytes of output are too much for it, now or for too long by now.
    pub fn is_over(&self, limit: OutputBufferLimit, waiting: usize, now_ms: i64) -> bool {
        let OutputBufferLimit { hard_bytes, soft_bytes, soft_s } = limit;
        let waiting = over_free_output(waiting);
        if hard_bytes > 0 && waiting >= hard_bytes {
            return true;
        }
        if soft_bytes == 0 || waiting < soft_bytes {
            self.soft_since_ms.store(0, Ordering::Relaxed);
            return false;
        }
        match self.soft_since_ms.load(Ordering::Relaxed) {
            0 => {
                self.soft_since_ms.store(now_ms, Ordering::Relaxed);
                false
            }
            since_ms => now_ms - since_ms > (soft_s as i64).saturating_mul(1000),
        }
    }

    /// Notes that a key was changed that it watches; the key's shard is held.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Release);
    }

    /// Whether a key was changed that it watches.
    pub fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }

    /// Forgets what was changed; it watches nothing any more.
    pub fn forget_touch(&self) {
        self.touched.store(false, Ordering::Release);
    }

    /// Ends its wait, if it waits, since the node is no primary any more, and the connection with it;
    /// tells whether it waited.
    pub fn turn_out(&self) -> bool {
        let waiter = self.parked.lock().clone();
        let is_waiting = waiter.is_some();
        if let Some(waiter) = waiter {
            waiter.turn_out(CommandError::UNBLOCKED_BY_ROLE);
        }
        is_waiting
    }

    /// Asks the connection to end at once.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// Asks the connection to end because too much waits for it.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.kill();
    }

    /// Whether too much waited for it; tells so once.
    pub fn take_cut(&self) -> bool {
        self.cut.swap(false, Ordering::Relaxed)
    }

    /// Whether somebody asked it to end.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Its connection tells whether it is at rest.
    #[inline]
    pub(crate) fn set_at_rest(&self, at_rest: bool) {
        self.at_rest.store(at_rest && self.is_plain, Ordering::Relaxed);
    }

    /// Whether this connection thread may write to the client's descriptor: it serves the client,
    /// whose connection is at rest. Its own thread alone changes that.
    #[inline]
    pub fn is_at_rest_on(&self, thread: usize) -> bool {
        self.at_rest.load(Ordering::Relaxed) && self.thread.load(Ordering::Relaxed) == thread
    }

    /// Wakes the connection's task.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Remembers whom to wake from now on.
    pub fn register(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }
}

/// All connected clients.
#[derive(Default)]
pub struct Clients {
    by_id: DashMap<u64, Arc<Client>>,
    last_id: AtomicU64,
    evictable_bytes: AtomicI64,
    /// Held while clients are evicted: two threads that both find the sum too large would evict
    /// twice as many as needed.
    evicting: Mutex<()>,
}

impl Clients {
    /// The id of the latest connection.
    pub fn last_id(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// The next client id; ids count from 1 and are never used again.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds a client.
    pub fn add(&self, client: Arc<Client>) {
        self.by_id.insert(client.id, client);
    }

    /// Removes a client that is killed or gone.
    pub fn remove(&self, id: u64) {
        if let Some((_, client)) = self.by_id.remove(&id) {
            let share = client.evictable_bytes.swap(0, Ordering::Relaxed);
            self.evictable_bytes.fetch_sub(share as i64, Ordering::Relaxed);
        }
    }

    /// Notes what a client takes now; called from its own task only. Tells by how much that changed.
    pub fn account(&self, client: &Client, bytes: usize) -> i64 {
        let before = client.memory_bytes.swap(bytes, Ordering::Relaxed);
        self.share(client);
        bytes as i64 - before as i64
    }

    /// CLIENT NO-EVICT; called from the client's own task only.
    pub fn spare(&self, client: &Client, on: bool) {
        client.no_evict.store(on, Ordering::Relaxed);
        self.share(client);
    }

    /// Notes what a client's mail takes now.
    pub fn set_mail(&self, client: &Client, bytes: usize) {
        if client.mail_bytes.swap(bytes, Ordering::Relaxed) != bytes {
            self.share(client);
        }
    }

    /// Brings a client's share of the sum up to date.
    pub fn share(&self, client: &Client) {
        let counts = !client.is_spared() && !client.is_killed();
        let all = || {
            client.memory_bytes.load(Ordering::Relaxed)
                + client.mail_bytes.load(Ordering::Relaxed)
                + client.subscribed_bytes.load(Ordering::Relaxed)
        };
        let bytes = if counts { all() } else { 0 };
        let before = client.evictable_bytes.swap(bytes, Ordering::Relaxed);
        self.evictable_bytes.fetch_add(bytes as i64 - before as i64, Ordering::Relaxed);
    }

    /// Whether the clients that may be evicted take more than the limit.
    #[inline]
    pub fn are_over(&self, limit_bytes: Option<u64>) -> bool {
        // Below zero for a moment, when threads interleave.
        let bytes = || self.evictable_bytes.load(Ordering::Relaxed).max(0) as u64;
        limit_bytes.is_some_and(|limit| bytes() > limit)
    }

    /// Closes those that take most until the rest takes no more than the limit; tells how many.
    ///
    /// An evicted client is out of the registry at once, and out of the node's memory: its task has
    /// nothing left to do but to free its buffers, and no key shall be evicted on their account.
    #[cold]
    pub fn evict(&self, limit_bytes: Option<u64>, memory: &Memory) -> u64 {
        let Some(_guard) = self.evicting.try_lock() else { return 0 };
        let share = |client: &Arc<Client>| client.evictable_bytes.load(Ordering::Relaxed);
        let mut all = self.all();
        // Shares change meanwhile, so each is read once.
        all.sort_by_cached_key(|client| std::cmp::Reverse(share(client)));
        let mut evicted = 0;
        for client in all.iter().take_while(|client| share(client) > 0) {
            if !self.are_over(limit_bytes) {
                break;
            }
            tracing::info!(id = client.id, bytes = share(client), "evicting a client");
            client.kill();
            self.remove(client.id);
            // Whatever its task counts from now on, it also takes back.
            memory.add_buffers(-(client.memory_bytes.swap(0, Ordering::Relaxed) as i64));
            client.mailbox.close(memory);
            evicted += 1;
        }
        evicted
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is connected.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The client with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.get(&id).map(|client| Arc::clone(&client))
    }

    /// All clients in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.by_id.iter().map(|client| Arc::clone(&client)).collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(clients: &Clients, memory: &Memory, bytes: usize) -> Arc<Client> {
        let client = Arc::new(Client::new(clients.next_id(), Peer::InProcess, -1, 0));
        clients.add(Arc::clone(&client));
        memory.add_buffers(clients.account(&client, bytes));
        client
    }

    fn ids(clients: &Clients) -> Vec<u64> {
        clients.all().iter().map(|client| client.id).collect()
    }

    #[test]
    fn the_largest_are_evicted_first_and_no_more_than_needed() {
        let (clients, memory) = (Clients::default(), Memory::default());
        let all = [10, 50, 30, 40].map(|bytes| client(&clients, &memory, bytes));
        assert!(!clients.are_over(None) && !clients.are_over(Some(130)));
        assert!(clients.are_over(Some(129)));
        assert_eq!(clients.evict(Some(129), &memory), 1);
        assert_eq!((ids(&clients), memory.buffer_bytes()), (vec![1, 3, 4], 80));
        assert_eq!(clients.evict(Some(10), &memory), 2);
        assert_eq!((ids(&clients), memory.buffer_bytes()), (vec![1], 10));
        assert_eq!(all.each_ref().map(|client| client.is_killed()), [false, true, true, true]);
    }

    #[test]
    fn what_an_evicted_task_still_counts_it_takes_back() {
        let (clients, memory) = (Clients::default(), Memory::default());
        let large = client(&clients, &memory, 100);
        assert_eq!(clients.evict(Some(50), &memory), 1);
        memory.add_buffers(clients.account(&large, 120));
        assert!(!clients.are_over(Some(0)), "the dead count no more");
        memory.add_buffers(clients.account(&large, 0));
        assert_eq!(memory.buffer_bytes(), 0);
    }

    #[test]
    fn the_spared_are_neither_counted_nor_evicted() {
        let (clients, memory) = (Clients::default(), Memory::default());
        let spared = client(&clients, &memory, 100);
        let other = client(&clients, &memory, 5);
        clients.spare(&spared, true);
        assert!(!clients.are_over(Some(5)));
        assert_eq!(clients.evict(Some(1), &memory), 1);
        assert!(other.is_killed() && !spared.is_killed());
        clients.spare(&spared, false);
        assert_eq!(clients.evict(Some(99), &memory), 1);
    }

    #[test]
    fn output_above_the_soft_limit_has_its_time() {
        let client = Client::new(1, Peer::InProcess, -1, 0);
        let limit = OutputBufferLimit::new(1000, 100, 2);
        let is_over = |above, now_ms| client.is_over(limit, FREE_OUTPUT_BYTES + above, now_ms);
        assert!(is_over(1000, 5000), "the hard limit has none");
        assert!(!is_over(100, 5000));
        assert!(!is_over(100, 7000));
        assert!(!is_over(99, 7001), "below the limit it begins anew");
        assert!(!is_over(100, 7002));
        assert!(is_over(999, 9003));
        assert!(!client.is_over(OutputBufferLimit::new(0, 0, 0), usize::MAX, 9004));
    }
}
