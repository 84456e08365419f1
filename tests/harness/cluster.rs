//! A group of real processes: three nodes in three zones, each with its own folder and ports.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::connection::Conn;
use crate::process::{eventually, program};
use crate::value::{Value, info_field};

/// Below what the kernel gives to outgoing connections, so that a port stays free while its node is
/// down.
const FIRST_PORT: u16 = 10_100;
const PORTS: u16 = 20_000;

/// How long a member may be in trouble before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One member's process.
#[derive(Debug)]
pub struct Node {
    /// Its id in the group.
    pub id: String,
    /// Its availability zone.
    pub zone: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Leads to the primary; served by this process.
    pub primary_endpoint: SocketAddr,
    /// Leads to a replica; served by this process.
    pub reader_endpoint: SocketAddr,
    /// Where it says that it is a Sentinel.
    pub sentinel: SocketAddr,
    dir: TempDir,
    command: Command,
    child: Option<Child>,
}

/// The whole group.
#[derive(Debug)]
pub struct Cluster {
    /// The group's name.
    pub name: String,
    /// All members, as `--peers` names them.
    peers: Vec<String>,
    /// Its members; witnesses come last.
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Starts three nodes with further directives and waits until all are in sync.
    pub fn start(args: &[&str]) -> Self {
        Self::with_witness(3, args)
    }

    /// Starts members, of which all beyond the third are witnesses.
    pub fn with_witness(members: usize, args: &[&str]) -> Self {
        let name = "sessions".to_owned();
        let ports: Vec<[u16; 5]> =
            (0..members).map(|_| std::array::from_fn(|_| free_port())).collect();
        let zone = |index: usize| ["a", "b", "c", "d"][index % 4];
        let id = |index: usize| format!("{name}-{:03}", index + 1);
        let peers = ports.iter().enumerate().map(|(index, [client, group, ..])| {
            let client = if index < 3 { format!("127.0.0.1:{client}") } else { String::new() };
            format!("{}={}@{client}/127.0.0.1:{group}", id(index), zone(index))
        });
        let peers: Vec<String> = peers.collect();
        let nodes = ports.iter().enumerate().map(|(index, ports)| {
            let mut node = Node::new(&name, &id(index), zone(index), *ports, &peers, args);
            if index >= 3 {
                node.command.arg("--witness");
            }
            node
        });
        let nodes = nodes.collect();
        let mut cluster = Self { nodes, peers, name };
        cluster.nodes.iter_mut().for_each(Node::launch);
        cluster.wait_whole();
        cluster
    }

    /// Starts one more node, which the group does not know yet; tells how GROUP ADD-NODE names it.
    pub fn add(&mut self, zone: &str) -> String {
        let id = format!("{}-{:03}", self.name, self.nodes.len() + 1);
        let ports: [u16; 5] = std::array::from_fn(|_| free_port());
        let peer = format!("{id}={zone}@127.0.0.1:{}/127.0.0.1:{}", ports[0], ports[1]);
        self.peers.push(peer.clone());
        let mut node = Node::new(&self.name, &id, zone, ports, &self.peers, &[]);
        node.launch();
        self.nodes.push(node);
        peer
    }

    /// Waits until there is a primary and all nodes are in sync with it.
    pub fn wait_whole(&self) {
        let with_data = self.nodes.len().min(3);
        eventually("the group is whole", || {
            let alive: Vec<&Node> = self.nodes.iter().filter(|node| node.is_running()).collect();
            alive.iter().all(|node| {
                let status = node.status();
                let in_sync =
                    status.as_ref().map_or(0, |status| field(status, "in-sync").items().len());
                let interrupted =
                    status.as_ref().is_some_and(|s| field(s, "interrupted-zone").kind() != '_');
                in_sync == with_data || (interrupted && in_sync > 0)
            })
        });
        // Who came back counts as in sync by its name until the primary misses who it was before.
        let with_data = || self.nodes.iter().take(3).filter(|node| node.is_running());
        eventually("all have data", || {
            with_data().all(|node| {
                node.info("role") == "master" || node.info("master_link_status") == "up"
            })
        });
    }

    /// The node that is primary, as the latest of all members knows it.
    pub fn primary(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let known = self.nodes.iter().filter_map(|node| {
                let status = node.status()?;
                let epoch = field(&status, "epoch").int();
                let primary = field(&status, "primary");
                (primary.kind() == '$').then(|| (epoch, primary.text()))
            });
            if let Some((_, id)) = known.max()
                && let Some(index) = self.nodes.iter().position(|node| node.id == id)
            {
                return index;
            }
            assert!(Instant::now() < deadline, "nobody knows a primary");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until another node than this one is primary; tells which.
    pub fn wait_other_primary(&self, than: usize) -> usize {
        let mut primary = than;
        eventually("another primary", || {
            primary = self.primary();
            primary != than
        });
        primary
    }

    /// Any node that runs, but for this one.
    pub fn other(&self, than: usize) -> &Node {
        let others = self.nodes.iter().enumerate();
        let mut others = others.filter(|(index, node)| *index != than && node.is_running());
        others.next().map(|(_, node)| node).expect("another node runs")
    }

    /// Has the group take the power from the zone of a node for a while: the node ends and loses its
    /// memory. Waits until it has everything again; until then it counts as in sync by its name only.
    pub fn interrupt_zone(&self, node: usize, time: Duration) {
        let (Node { zone, id, .. }, witness) = (&self.nodes[node], self.other(node));
        let known = witness.connect().run("GROUP EVENTS COUNT 1").items();
        let last = known.last().map_or(0, |event| field(event, "number").int());
        let wish = format!("GROUP INTERRUPT-ZONE {zone} {}ms", time.as_millis());
        eventually("the group may take the power", || witness.connect().run(&wish).text() == "OK");
        let told = |message: String| {
            eventually(&message, || {
                let since = witness.connect().run(&format!("GROUP EVENTS AFTER {last}")).items();
                since.iter().any(|event| field(event, "message").text() == message)
            });
        };
        told(format!("Power of availability zone {zone} restored"));
        told(format!("Finished recovery for cache nodes {id}"));
    }

    /// The messages of all events, as one node knows them.
    pub fn events(&self, node: &Node) -> Vec<String> {
        let events = node.connect().run("GROUP EVENTS COUNT 1000").items();
        events.iter().map(|event| field(event, "message").text()).collect()
    }
}

/// The value behind a name in a map, which in RESP2 is a list.
pub fn field(map: &Value, name: &str) -> Value {
    let items = map.items();
    let pair = items.chunks(2).find(|pair| pair[0].text() == name);
    pair.unwrap_or_else(|| panic!("{map} has no {name}"))[1].clone()
}

impl Node {
    /// One that is not started yet; its ports are for clients, the group, the primary endpoint, the
    /// reader endpoint, and those who want a Sentinel.
    fn new(
        group: &str,
        id: &str,
        zone: &str,
        ports: [u16; 5],
        peers: &[String],
        args: &[&str],
    ) -> Self {
        let [client, _, primary, reader, sentinel] = ports.map(|port| port.to_string());
        let dir = folder();
        let mut command = Command::new(program());
        command
            .args(["--bind", "127.0.0.1", "--port", &client, "--save", ""])
            .args(["--dir", &dir.path().display().to_string()])
            .args(["--group", group, "--node-id", id, "--zone", zone])
            .args(["--primary-endpoint-port", &primary, "--reader-endpoint-port", &reader])
            .args(["--group-sentinel-port", &sentinel])
            .arg("--peers")
            .args(peers)
            .args(args);
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            id: id.to_owned(),
            zone: zone.to_owned(),
            addr: at(ports[0]),
            primary_endpoint: at(ports[2]),
            reader_endpoint: at(ports[3]),
            sentinel: at(ports[4]),
            dir,
            command,
            child: None,
        }
    }

    /// Starts its process; the node answers some time later.
    pub fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log"));
        let log = log.expect("a log file");
        self.command.stdin(Stdio::null());
        self.command.stdout(log.try_clone().expect("a second handle to the log")).stderr(log);
        self.child = Some(self.command.spawn().expect("the server starts"));
    }

    /// Ends its process by a signal that cannot be caught.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when the process is gone already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal by its name, `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
        assert!(status.expect("a shell").success(), "kill -{name}");
    }

    /// Waits until its process ended by itself.
    pub fn wait_exit(&mut self) -> bool {
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("the child is ours") {
                return status.success();
            }
            assert!(Instant::now() < deadline, "{} still runs:\n{}", self.id, self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether its process was started and not ended by the test.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// A connection.
    #[track_caller]
    pub fn connect(&self) -> Conn {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Conn::tcp(self.addr) {
                Ok(conn) => return conn,
                Err(error) => {
                    assert!(Instant::now() < deadline, "{}: {error}:\n{}", self.id, self.log());
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// What it knows of the group; nothing while it does not answer.
    pub fn status(&self) -> Option<Value> {
        self.ask("GROUP STATUS")
    }

    /// One field of INFO; nothing while it does not answer.
    pub fn try_info(&self, name: &str) -> Option<String> {
        info_field(&self.ask("INFO everything")?.text(), name).map(str::to_owned)
    }

    fn ask(&self, command: &str) -> Option<Value> {
        self.child.as_ref()?;
        let mut conn = Conn::tcp(self.addr).ok()?;
        conn.set_patience(Duration::from_millis(500)).ok()?;
        conn.try_send(format!("{command}\r\n").as_bytes()).ok()?;
        let reply = conn.try_reply().ok()?.value;
        (!reply.is_error("") && reply != Value::Closed).then_some(reply)
    }

    /// One field of INFO.
    pub fn info(&self, name: &str) -> String {
        let text = self.connect().run("INFO everything").text();
        info_field(&text, name).unwrap_or_default().to_owned()
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- end of the log of {} ---\n{}", self.id, tail.join("\n"));
        }
    }
}

/// A folder for a member, in memory where there is such a place: each test is about processes and
/// networks, and a disk that others keep busy for seconds is a fault of its own.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

/// A port that nothing listens on, another one at each call.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test binaries that run at the same time begin at different places.
        let start = (std::process::id() as u16).wrapping_mul(97) % PORTS;
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + (start.wrapping_add(offset)) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
