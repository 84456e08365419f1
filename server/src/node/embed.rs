//! A node inside this process.

use super::clients::{Clients, Peer};
use super::local::Local;
use super::member::{MemberNode, MemberOptions, Membership};
use super::pause::Pause;
use super::role::Role;
use super::shared::{OnChange, Reaped, Rebind, Shared};
use super::shutdown::Shutdown;
use super::workers::{self, Stream, Workers};
use super::{control, link, shared};
use crate::acl::Acl;
use crate::clock::Clock;
use crate::commands::renames::Renames;
use crate::config::{Config, ConfigError, DirectiveOptions, Settings, ShutdownOptions};
use crate::keyspace::Keyspace;
use crate::keyspace::garbage::Removed;
use crate::keyspace::notify::KeyEvent;
use crate::listener::Listeners;
use crate::persistence::aof::{self, AofError};
use crate::persistence::{file, leaving, loading};
use crate::scripting::native::Natives;
use crate::scripting::{NativeFunction, Scripts, twins};
use crate::tls::{self, Tls, TlsError};
use larder_replication::{EffectLog, ReplicationId, Sink};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::broadcast;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Bytes that each direction of an in-process connection buffers.
const PIPE_BYTES: usize = 64 * 1024;
/// How often who waits for the load looks whether the node shall end.
const LOOK: Duration = Duration::from_millis(20);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directive was refused.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// TLS is wanted, and a certificate, a key or an authority is missing or of no use.
    #[error("Failed to configure TLS: {0}")]
    Tls(#[from] TlsError),
    /// A user's rules were refused, or the ACL file.
    #[error("{0}")]
    Acl(String),
    /// An address could not be bound.
    #[error("{0}")]
    Listen(std::io::Error),
    /// The append-only file cannot be loaded or opened.
    #[error("{0}")]
    Aof(#[from] AofError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// What was saved cannot be loaded.
    #[error("{0}")]
    Load(String),
    /// A group, or a member of one, cannot be what it is told to be.
    #[error("{0}")]
    Group(String),
}

/// What a node shall be. Every directive is a method, by [`DirectiveOptions`].
///
/// An embedded node listens nowhere until it is given a port or a socket path, and neither loads nor
/// saves anything until it is given a `dbfilename`.
#[derive(Clone, Debug)]
pub struct Builder {
    settings: Settings,
    config_file: Option<PathBuf>,
    clock: Clock,
    on_change: OnChange,
    natives: Natives,
    member: Option<MemberOptions>,
}

impl Default for Builder {
    fn default() -> Self {
        let (save, dbfilename) = (Vec::new(), String::new());
        let settings = Settings { port: 0, save, dbfilename, ..Settings::default() };
        Self {
            settings,
            config_file: None,
            clock: Clock::system(),
            on_change: OnChange::default(),
            natives: twins::all(),
            member: None,
        }
    }
}

impl DirectiveOptions for Builder {
    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }
}

impl Builder {
    /// Takes a whole configuration.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The file that CONFIG REWRITE writes.
    pub fn config_file(mut self, path: Option<PathBuf>) -> Self {
        self.config_file = path;
        self
    }

    /// What shall happen when CONFIG SET has changed something, given the settings from then on.
    pub fn on_change(mut self, then: impl Fn(&Settings) + Send + Sync + 'static) -> Self {
        self.on_change = OnChange(Some(Arc::new(then)));
        self
    }

    /// Another source of time, for tests of expiry.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the node a member of a group, which says whether it is a primary or whose replica it is:
    /// it starts undecided.
    ///
    /// ```
    /// use larder_replication::group::config::NodeId;
    /// use larder_replication::group::data::{AckSets, DataNode, Lease};
    /// use larder_server::Node;
    /// use larder_server::member::MemberOptions;
    /// use std::sync::Arc;
    ///
    /// let (id, lease) = (NodeId("sessions-001".to_owned()), Arc::new(Lease::default()));
    /// let member = MemberOptions::new("sessions", id.clone(), Arc::clone(&lease), b"a secret");
    /// let node = Node::builder().member(member).start()?;
    /// let mut local = node.local();
    /// assert!(!local.set(b"key", b"value"), "nobody said that it is the primary");
    ///
    /// let face = node.member().expect("it is a member");
    /// face.lead(1, &AckSets(vec![[(id, None)].into()]));
    /// lease.set_end(u64::MAX);
    /// assert!(local.set(b"key", b"value"));
    /// # Ok::<(), larder_server::StartError>(())
    /// ```
    pub fn member(mut self, options: MemberOptions) -> Self {
        self.member = Some(options);
        self
    }

    /// Runs a function where a client asks for the script `text`, by EVAL or EVALSHA.
    ///
    /// The function does what the text does, only faster; other servers run the text.
    ///
    /// ```
    /// use larder_server::{Node, Reply};
    ///
    /// let double = "return redis.call('GET', KEYS[1]) * 2";
    /// let node = Node::builder()
    ///     .native_script(double, |script| {
    ///         let number = script.call(&[b"GET", script.keys().at(0)], |reply| {
    ///             let digits = reply.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    ///             digits.and_then(|digits| digits.parse::<i64>().ok()).unwrap_or_default()
    ///         })?;
    ///         Ok(Reply::Int(number * 2))
    ///     })
    ///     .start()?;
    /// let mut local = node.local();
    /// local.set(b"n", b"21");
    /// assert_eq!(local.call(&[b"EVAL", double.as_bytes(), b"1", b"n"]), Reply::Int(42));
    /// # Ok::<(), larder_server::StartError>(())
    /// ```
    pub fn native_script(mut self, text: impl AsRef<[u8]>, function: NativeFunction) -> Self {
        self.natives.add(text.as_ref(), function);
        self
    }

    /// Runs all scripts as the texts they are, those of the client crate among them, for which a
    /// node has functions of its own.
    pub fn without_native_scripts(mut self) -> Self {
        self.natives = Natives::default();
        self
    }

    /// A node without threads, for tests that have their own.
    ///
    /// # Errors
    /// A directive that was refused.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn threadless(self) -> Result<Arc<Shared>, StartError> {
        let acl = Acl::start(&self.settings).map_err(StartError::Acl)?;
        let renames = Renames::new(&self.settings.rename_command)?;
        Ok(self.share(renames, acl).0)
    }

    /// Starts the node's threads, binds its sockets and loads what was saved: clients that come
    /// before that is done are told so.
    ///
    /// # Errors
    /// A directive that was refused, an address that cannot be bound, a thread that cannot start, a
    /// file that cannot be loaded.
    pub fn start(self) -> Result<Node, StartError> {
        let settings = &self.settings;
        settings.validate()?;
        if self.member.is_some() && settings.replicaof.is_some() {
            let reason = "The group says whom its members follow";
            return Err(ConfigError::refused("replicaof", reason).into());
        }
        let acl = Acl::start(settings).map_err(StartError::Acl)?;
        let renames = Renames::new(&settings.rename_command)?;
        let context = tls::load(settings, &self.clock)?;
        let listeners = Listeners::bind(settings).map_err(StartError::Listen)?;
        let addresses = listeners.tcp_addresses();
        let tls_addresses = listeners.tls_addresses();
        let metrics_addresses = listeners.metrics_addresses();
        let threads = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads as usize,
        };
        let (shared, Ends { rebinds, garbage }) = self.share(renames, acl);
        if let Some(context) = context {
            shared.tls.replace(context);
        }
        let mut node =
            Node { shared, threads: Vec::new(), addresses, tls_addresses, metrics_addresses };
        let shared = Arc::clone(&node.shared);
        node.spawn("reaper", move || {
            shared::reap(&shared, &garbage);
            Ok(())
        })?;
        for index in 0..threads {
            let (arrivals, load) = node.shared.workers.add();
            let shared = Arc::clone(&node.shared);
            let name = format!("worker-{index}");
            let stripe = Some((index, threads));
            node.spawn(&name, move || workers::run(&shared, stripe, arrivals, &load))?;
        }
        let (strays, spare) = node.shared.workers.help_out();
        let shared = Arc::clone(&node.shared);
        node.spawn("spare", move || workers::run(&shared, None, strays, &spare))?;
        node.shared.loading.begin(0, node.shared.started_us.div_euclid(1_000_000));
        // Redis's words, which those who start a server and connect at once look for in its log.
        tracing::info!("Server initialized");
        let shared = Arc::clone(&node.shared);
        let accept = |node: &mut Node| {
            node.spawn("control", move || control::run(&shared, listeners, rebinds))
        };
        if !load(&mut node, accept)? {
            return Ok(node);
        }
        // A replica goes on where its file ends.
        let shared = Arc::clone(&node.shared);
        node.spawn("link", move || link::run(&shared))?;
        Ok(node)
    }
}

/// Loads what was saved, on a thread of its own: who asks the node to end does not wait for that. False
/// when somebody did. `accept` lets clients in, once all is there; when that takes long, those who come
/// are told so in place of waiting in the kernel's queue.
fn load(
    node: &mut Node,
    accept: impl FnOnce(&mut Node) -> Result<(), StartError>,
) -> Result<bool, StartError> {
    let (done, loaded) = sync_channel(1);
    let theirs = Arc::clone(&node.shared);
    let body = move || {
        file::remove_forgotten(&theirs.config.load().dir);
        // Where both are there, the append-only file knows more.
        let result = if theirs.config.load().appendonly {
            aof::start(&theirs).map_err(StartError::from)
        } else {
            loading::load_at_start(&theirs).map_err(StartError::Load)
        };
        // Nobody waits for it when the node ends.
        let _ = done.send(result);
    };
    std::thread::Builder::new()
        .name("larder-load".to_owned())
        .spawn(body)
        .map_err(StartError::Thread)?;
    let mut accept = Some(accept);
    loop {
        let is_loaded = match loaded.recv_timeout(LOOK) {
            Ok(result) => {
                result?;
                node.shared.loading.end();
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(StartError::Load("loading the data failed".to_owned()));
            }
        };
        if let Some(accept) = accept.take() {
            accept(node)?;
        }
        if is_loaded {
            return Ok(true);
        }
        if node.shared.shutdown.is_requested() {
            return Ok(false);
        }
    }
}

/// What the node's own threads take from.
struct Ends {
    rebinds: UnboundedReceiver<Rebind>,
    garbage: Receiver<Vec<Removed>>,
}

impl Builder {
    /// The parts of a node, whose threads do not run yet.
    fn share(self, renames: Renames, acl: Acl) -> (Arc<Shared>, Ends) {
        let Self { settings, config_file, clock, on_change, natives, member } = self;
        let (rebind, rebinds) = unbounded_channel();
        let (reaper, garbage) = std::sync::mpsc::channel();
        let shared = Arc::new_cyclic(|this| Shared {
            this: this.clone(),
            renames,
            acl,
            keyspace: Keyspace::new(settings.databases),
            config: Config::with_file(settings, config_file),
            tls: Tls::default(),
            on_change,
            clients: Clients::default(),
            pause: Pause::default(),
            role: Role::default(),
            failover: Default::default(),
            group: Default::default(),
            member: member.map(|options| Arc::new(Membership::new(options))),
            notifier: Default::default(),
            tracking: Default::default(),
            push: Default::default(),
            log: EffectLog::default(),
            replicas: Default::default(),
            snapshots: Default::default(),
            dump: Default::default(),
            loading: Default::default(),
            leaving: Default::default(),
            aof: Arc::default(),
            scripts: Scripts::new(natives),
            stats: Default::default(),
            errors: Default::default(),
            pressure: Default::default(),
            rest: Default::default(),
            slowlog: Default::default(),
            latency: Default::default(),
            rates: Default::default(),
            started_us: clock.unix_us(),
            clock,
            run_id: ReplicationId::random().to_string(),
            active_expire: AtomicBool::new(true),
            skips_checksums: AtomicBool::new(false),
            shutdown: Shutdown::default(),
            workers: Workers::default(),
            rebind,
            reaper,
            reaped: Reaped::default(),
        });
        let settings = shared.config.load();
        shared.notifier.set_classes(settings.notify_keyspace_events);
        shared.dump.begin(shared.started_us.div_euclid(1_000_000));
        if shared.member().is_some() {
            shared.begin_as_member();
        }
        if let Some(primary) = &settings.replicaof {
            shared.follow(primary.clone());
        }
        shared.keep_log(&settings);
        (shared, Ends { rebinds, garbage })
    }
}

/// A running node. Dropping it ends it.
///
/// ```
/// use larder_server::Node;
/// use larder_server::config::DirectiveOptions;
///
/// let node = Node::builder().maxmemory_bytes(64 << 20).start()?;
/// let mut local = node.local();
/// local.set(b"greeting", b"hello");
/// assert_eq!(local.get(b"greeting").as_deref(), Some(&b"hello"[..]));
/// node.shutdown();
/// # Ok::<(), larder_server::StartError>(())
/// ```
pub struct Node {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    metrics_addresses: Vec<SocketAddr>,
}

impl Node {
    /// A node to be configured.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), StartError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(format!("larder-{name}"))
            .spawn(move || {
                if let Err(error) = body() {
                    tracing::error!(%error, "a thread of the node failed; the node ends");
                    shared.shutdown.fail();
                }
            })
            .map_err(StartError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// The TCP addresses it listens on without TLS.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The TCP addresses on which it speaks TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// The TCP addresses on which it tells its metrics over HTTP.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics_addresses
    }

    /// A byte stream that speaks RESP with the node, for any client library.
    ///
    /// ```
    /// use larder_server::Node;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let node = Node::builder().start()?;
    /// let mut stream = node.connect();
    /// stream.write_all(b"PING\r\n").await?;
    /// let mut reply = [0; 7];
    /// stream.read_exact(&mut reply).await?;
    /// assert_eq!(&reply, b"+PONG\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(&self) -> DuplexStream {
        connect(&self.shared)
    }

    /// A handle that runs commands in the calling thread, without any encoding.
    pub fn local(&self) -> Local {
        Local::new(Arc::clone(&self.shared))
    }

    /// The node as the driver of its group sees it, if it is a member of one.
    pub fn member(&self) -> Option<MemberNode> {
        MemberNode::of(&self.shared)
    }

    /// Everything that happens to keys from now on, whatever `notify-keyspace-events` says.
    pub fn events(&self) -> broadcast::Receiver<KeyEvent> {
        self.shared.notifier.subscribe()
    }

    /// Lets a sink read the effect log from now on.
    pub fn read_log(&self, sink: Box<dyn Sink>) {
        self.shared.log.subscribe(sink);
    }

    /// The node's parts, for who looks behind its face: its group, and tests.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Blocks until somebody asks the node to end: a SHUTDOWN command or another thread.
    pub fn wait(&self) {
        self.shared.shutdown.wait();
    }

    /// Whether the node ends because it cannot go on.
    pub fn has_failed(&self) -> bool {
        self.shared.shutdown.has_failed()
    }

    /// Something that can ask the node to end while another thread waits for it.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::clone(&self.shared))
    }

    /// Ends the node: no new connections, replies sent, threads joined.
    pub fn shutdown(self) {}
}

/// A connection to a node from inside the process.
pub(super) fn connect(node: &Arc<Shared>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    // After a shutdown the pipe's other end is dropped, which the caller reads as its end.
    control::enter(node, Stream::Duplex(ours), Peer::InProcess, -1);
    theirs
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.shutdown.request();
        self.shared.workers.close();
        self.shared.snapshots.stop();
        self.shared.stop_reaper();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        self.shared.aof.close();
    }
}

/// A signal that asks a node to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl StopSignal {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// What it asks of a node.
    pub(super) fn options(self, node: &Shared) -> ShutdownOptions {
        let settings = node.config.load();
        match self {
            Self::Interrupt => settings.shutdown_on_sigint,
            Self::Terminate => settings.shutdown_on_sigterm,
        }
    }
}

/// Asks a node to end.
#[derive(Clone)]
pub struct ShutdownHandle(Arc<Shared>);

impl ShutdownHandle {
    /// Asks; the node ends when its owner drops it.
    pub fn request(&self) {
        self.0.shutdown.request();
    }

    /// Gives up what is being saved, so that nothing half written stays behind.
    pub fn abandon(&self) {
        self.0.snapshots.stop();
    }

    /// Does what SHUTDOWN does, in the way that the directive for this signal says; false when what had
    /// to be saved was not, so that the node goes on. Blocks until then.
    pub fn leave(&self, signal: StopSignal) -> bool {
        leaving::leave(&self.0, signal.options(&self.0)).is_ok()
    }
}
