//! The server binary: a command line, a log and signals around one [`Node`], one member of a group,
//! or a whole [`Group`].
//!
//! Exit codes: 0 after help, version, SHUTDOWN or a signal; 1 when the configuration is wrong,
//! the node cannot start or go on, or a second SIGINT does not let it end in peace.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use larder_server::config::{
    GroupLaunch, Launch, Loaded, LogFormat, LogLevel, Settings, Start, parse_command_line,
};
use larder_server::group::{NodeRole, Timing};
use larder_server::{Group, GroupMember, Node, StopSignal};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Whatever keeps the binary from running, for its last line.
type Failure = Box<dyn Error + Send + Sync>;

/// Keys and values are many small blocks of few sizes: what this allocator packs best.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match parse_command_line(std::env::args_os()) {
        Ok(Start::Print(text)) => {
            // Nobody is left to tell when the reader has gone away.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Start::Run(launch)) => exit_code(run(*launch)),
        Ok(Start::Group(launch)) => exit_code(run_group(*launch)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn exit_code(ran: Result<(), Failure>) -> ExitCode {
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            // A disk that is full may be the reason, and where this goes.
            let _ = writeln!(io::stderr(), "larder-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a node, or a member of a group, until a SHUTDOWN command or a signal ends it.
fn run(launch: Launch) -> Result<(), Failure> {
    let Launch { loaded, config_file } = launch;
    let (settings, log_level) = prepare(loaded, config_file.as_deref())?;
    let pid_file = PidFile::write(&settings);
    let on_change = move |settings: &Settings| {
        // Fails only when the log is gone, and then there is nobody to be told less or more.
        let _ = log_level.reload(level(settings.loglevel));
    };
    let has_failed = if settings.group.is_empty() {
        run_node(settings, config_file, on_change)?
    } else {
        run_member(settings, config_file, on_change)?;
        false
    };
    drop(pid_file);
    if has_failed {
        return Err("the node could not go on".into());
    }
    tracing::info!("Larder is now ready to exit, bye bye...");
    Ok(())
}

/// What has to be done before there are threads, and the log.
fn prepare(
    loaded: Loaded,
    config_file: Option<&Path>,
) -> Result<(Settings, LogLevelHandle), Failure> {
    let settings = loaded.settings;
    if settings.daemonize {
        // Before there are threads, which would stay behind. The folder stays, as `dir` may be relative.
        nix::unistd::daemon(true, false)?;
    }
    let log_level = start_log(&settings)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = config_file.map(|file| file.display().to_string()),
        "Larder is starting, PID: {}",
        std::process::id()
    );
    for name in loaded.without_effect {
        tracing::warn!("directive '{name}' is set, but has no effect here");
    }
    if settings.disable_thp {
        disable_huge_pages();
    }
    Ok((settings, log_level))
}

/// Runs a node; tells whether it could not go on.
fn run_node(
    settings: Settings,
    config_file: Option<PathBuf>,
    on_change: impl Fn(&Settings) + Send + Sync + 'static,
) -> Result<bool, Failure> {
    let signals = listen_for_signals(&settings)?;
    let node =
        Node::builder().settings(settings).config_file(config_file).on_change(on_change).start()?;
    let shutdown = node.shutdown_handle();
    let abandoned = shutdown.clone();
    signals.lead_to(Signalled {
        leave: Box::new(move |signal| shutdown.leave(signal)),
        abandon: Box::new(move || abandoned.abandon()),
    });
    for address in node.addresses() {
        tracing::info!("listening on {address}");
    }
    for address in node.tls_addresses() {
        tracing::info!("listening on {address} with TLS");
    }
    for address in node.metrics_addresses() {
        tracing::info!("telling metrics on http://{address}/metrics");
    }
    tracing::info!("Ready to accept connections");
    node.wait();
    tracing::info!("shutting down");
    let has_failed = node.has_failed();
    node.shutdown();
    Ok(has_failed)
}

/// Runs one member of a group.
fn run_member(
    settings: Settings,
    config_file: Option<PathBuf>,
    on_change: impl Fn(&Settings) + Send + Sync + 'static,
) -> Result<(), Failure> {
    let (group, id) = (settings.group.clone(), settings.node_id.clone());
    let signals = listen_for_signals(&settings)?;
    let member = GroupMember::start(settings, config_file, on_change)?;
    let member = member.ok_or("no group is named")?;
    let shutdown = member.shutdown_handle();
    let abandoned = shutdown.clone();
    signals.lead_to(Signalled {
        leave: Box::new(move |signal| shutdown.leave(signal)),
        abandon: Box::new(move || abandoned.abandon()),
    });
    for address in member.primary_endpoints() {
        tracing::info!("{address} leads to the primary");
    }
    for address in member.reader_endpoints() {
        tracing::info!("{address} leads to the replicas");
    }
    tracing::info!("{id} is ready as a member of {group}");
    member.wait();
    tracing::info!("shutting down");
    drop(member);
    Ok(())
}

/// Runs a whole group until a signal ends it.
fn run_group(launch: GroupLaunch) -> Result<(), Failure> {
    let GroupLaunch { name, zones, replicas, port, reader_port, loaded, keeps_data } = launch;
    let (settings, _log_level) = prepare(loaded, None)?;
    let folder = keeps_data.then(|| settings.dir.clone());
    let signals = listen_for_signals(&settings)?;
    let mut builder = Group::builder()
        .settings(settings)
        .name(name)
        .zones(zones)
        .replicas(replicas)
        .timing(Timing::production())
        .primary_endpoint_port(port)
        .reader_endpoint_port(reader_port);
    if let Some(folder) = folder {
        builder = builder.folder(folder);
    }
    let group = builder.start()?;
    let (ask, asked) = std::sync::mpsc::channel();
    signals.lead_to(Signalled {
        // Whoever waits for it may be leaving already.
        leave: Box::new(move |_| ask.send(()).is_ok()),
        abandon: Box::new(|| ()),
    });
    print_table(&group)?;
    // An error is the end of the sender, which is as good as its word.
    let _ = asked.recv();
    tracing::info!("shutting down");
    group.shutdown();
    tracing::info!("Larder is now ready to exit, bye bye...");
    Ok(())
}

/// What runs where.
fn print_table(group: &Group) -> io::Result<()> {
    let nodes = group.nodes();
    let widest = |cell: fn(&larder_server::group::NodeView) -> &str, title: &str| {
        nodes.iter().map(|node| cell(node).len()).chain([title.len()]).max().unwrap_or(0)
    };
    let (ids, zones) = (widest(|node| &node.id, "node"), widest(|node| &node.zone, "zone"));
    let mut out = io::stdout().lock();
    writeln!(out, "{:ids$}  {:zones$}  {:8} address", "node", "zone", "role")?;
    for node in &nodes {
        let role = match node.role {
            NodeRole::Primary => "primary",
            NodeRole::Replica => "replica",
            NodeRole::Witness => "witness",
        };
        let address = node.address.map_or("-".to_owned(), |address| address.to_string());
        writeln!(out, "{:ids$}  {:zones$}  {role:8} {address}", node.id, node.zone)?;
    }
    writeln!(out, "primary endpoint  {}", group.primary_endpoint())?;
    writeln!(out, "reader endpoint   {}", group.reader_endpoint())?;
    out.flush()
}

/// Makes the heap grow by small pages, whatever the allocator asks for.
///
/// The command that first touches a huge page waits until all of it is there: up to 5 ms in a
/// virtual machine whose own memory comes in small pages. The price is address translation, some
/// 5 to 10 % of a GET among a million keys.
fn disable_huge_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::warn!("cannot disable transparent huge pages, latency may suffer: {error}");
    }
}

/// Changes how much is logged.
type LogLevelHandle = reload::Handle<Targets, Registry>;

/// Sends what the node reports to the log that the settings name.
fn start_log(settings: &Settings) -> Result<LogLevelHandle, Failure> {
    let file = match settings.logfile.as_str() {
        "" => None,
        file => Some(settings.path(file)),
    };
    if let Some(file) = &file {
        append_to(file).map_err(|error| format!("Can't open the log file: {error}"))?;
    }
    let colours = file.is_none() && io::stdout().is_terminal();
    // The file is opened for each line: after a rotation the next line is in the new one.
    let writer = move || -> Box<dyn Write> {
        match file.as_deref().map(append_to) {
            None => Box::new(io::stdout()),
            Some(Ok(file)) => Box::new(file),
            Some(Err(_)) => Box::new(io::stderr()),
        }
    };
    let (filter, handle) = reload::Layer::new(level(settings.loglevel));
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(colours)
        .with_writer(writer)
        // It would go to a stream that may be as full as the log.
        .log_internal_errors(false);
    let log = tracing_subscriber::registry().with(filter);
    match settings.log_format {
        LogFormat::Text => log.with(lines).try_init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init(),
    }?;
    Ok(handle)
}

fn append_to(file: &Path) -> io::Result<fs::File> {
    OpenOptions::new().create(true).append(true).open(file)
}

/// Redis's levels in those of `tracing`. A warning of Redis is a warning or an error here. Consensus
/// says several lines for each message that it cannot send, 20 times a second while a member is down,
/// which is of interest only to who looks for a fault in it.
fn level(level: LogLevel) -> Targets {
    let (own, consensus) = match level {
        LogLevel::Debug => (LevelFilter::TRACE, LevelFilter::TRACE),
        LogLevel::Verbose => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Notice => (LevelFilter::INFO, LevelFilter::OFF),
        LogLevel::Warning => (LevelFilter::WARN, LevelFilter::OFF),
        LogLevel::Nothing => (LevelFilter::OFF, LevelFilter::OFF),
    };
    Targets::new().with_default(own).with_target("openraft", consensus)
}

/// What signals bring about.
struct Signalled {
    /// Asks what runs to end, and waits for it; false where it does not.
    leave: Box<dyn Fn(StopSignal) -> bool + Send + Sync>,
    /// Gives up what is being saved.
    abandon: Box<dyn Fn() + Send + Sync>,
}

/// Where signals lead; nowhere while what they shall end is still starting.
#[derive(Clone)]
struct Signals {
    target: Arc<OnceLock<Signalled>>,
    /// Whether one came and the end is not there yet.
    asked: Arc<AtomicBool>,
    pid_file: Option<PathBuf>,
}

impl Signals {
    fn lead_to(&self, target: Signalled) {
        // Each start has signals of its own.
        let _ = self.target.set(target);
    }

    /// What a signal does, as in Redis: one that comes again changes nothing, unless it is SIGINT, which
    /// somebody sent from a keyboard.
    fn take(&self, signal: StopSignal) {
        let is_again = self.asked.swap(true, Ordering::Relaxed);
        let Some(target) = self.target.get() else {
            tracing::warn!("Received shutdown signal during loading, scheduling shutdown.");
            if let Some(file) = &self.pid_file {
                // Somebody may have removed it, which is just as good.
                let _ = fs::remove_file(file);
            }
            std::process::exit(0);
        };
        if is_again && signal == StopSignal::Interrupt {
            tracing::warn!("You insist... exiting now.");
            (target.abandon)();
            std::process::exit(1);
        }
        tracing::warn!("Received {} scheduling shutdown...", signal.name());
        if is_again {
            return;
        }
        // In a thread of its own: it may take long, and another signal counts.
        let signals = self.clone();
        let begun = std::thread::Builder::new().name("larder-leave".to_owned()).spawn(move || {
            if signals.target.get().is_some_and(|target| !(target.leave)(signal)) {
                signals.asked.store(false, Ordering::Relaxed);
            }
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "cannot start a thread for the shutdown");
            self.asked.store(false, Ordering::Relaxed);
        }
    }
}

/// Takes SIGTERM and SIGINT from now on, on a thread of its own.
fn listen_for_signals(settings: &Settings) -> io::Result<Signals> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pid_file = (!settings.pidfile.is_empty()).then(|| settings.path(&settings.pidfile));
    let signals = Signals { target: Arc::default(), asked: Arc::default(), pid_file };
    for (kind, stop) in [
        (SignalKind::terminate(), StopSignal::Terminate),
        (SignalKind::interrupt(), StopSignal::Interrupt),
    ] {
        let mut received = {
            let _inside = runtime.enter();
            signal(kind)?
        };
        let signals = signals.clone();
        runtime.spawn(async move {
            while received.recv().await.is_some() {
                signals.take(stop);
            }
        });
    }
    std::thread::Builder::new()
        .name("larder-signals".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(signals)
}

/// The file with the process id, while the node runs.
struct PidFile(PathBuf);

impl PidFile {
    /// A node without its file is better than no node: a failure is only logged.
    fn write(settings: &Settings) -> Option<Self> {
        if settings.pidfile.is_empty() {
            return None;
        }
        let file = settings.path(&settings.pidfile);
        match fs::write(&file, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self(file)),
            Err(error) => {
                tracing::warn!("cannot write the pid file {}: {error}", file.display());
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        tracing::info!("Removing the pid file.");
        // Somebody may have removed it, which is just as good.
        let _ = fs::remove_file(&self.0);
    }
}
