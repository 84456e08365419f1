//! A whole group inside this process: for tests of an application's failover, and for development.

use super::endpoints::{EndpointSettings, Endpoints};
use super::face::Request;
use super::observer::Observer;
use super::placement::{self, Placed};
use super::port::Port;
use super::scratch::Scratch;
use super::supervisor::{Order, Plan, Stall, Supervisor};
use super::timing::Timing;
use super::view::{GroupView, NodeView};
use crate::config::{DirectiveOptions, Settings, group_name};
use crate::node::{Local, StartError};
use larder_replication::group::config::{Member, NodeId, Zone};
use larder_replication::group::disk::{DiskThread, FileDisk};
use larder_replication::group::event::Event;
use larder_replication::group::link::Secret;
use larder_replication::group::network::{Network, Place};
use larder_replication::group::ports::{Disk, MemoryDisk};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;

/// Nodes that a group has at most: a primary and five replicas.
const MAX_NODES: usize = 6;
/// The file of a member's ports in its folder.
const PORTS: &str = "ports";
/// How long a group may take to do what is asked of it before that counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the state of a group is looked at by who waits for it.
const LOOK: Duration = Duration::from_millis(1);

/// What a group in this process shall be. Every directive is a method, by [`DirectiveOptions`], and
/// holds for each of its nodes.
///
/// Nothing is needed: without a port the kernel chooses one for each node and endpoint, on the
/// loopback interface; without a folder everything is in memory, and what a node has to keep in a file
/// goes with the group.
#[derive(Clone, Debug)]
pub struct GroupBuilder {
    name: String,
    zones: Vec<Zone>,
    replicas: Option<usize>,
    settings: Settings,
    folder: Option<PathBuf>,
    timing: Timing,
    primary_port: u16,
    reader_port: u16,
    replace_after: Option<Duration>,
}

impl Default for GroupBuilder {
    fn default() -> Self {
        let (save, dbfilename) = (Vec::new(), String::new());
        let bind = vec!["127.0.0.1".to_owned()];
        Self {
            name: "larder".to_owned(),
            zones: ["a", "b", "c"].map(|zone| Zone(zone.to_owned())).to_vec(),
            replicas: None,
            settings: Settings {
                port: 0,
                bind,
                save,
                dbfilename,
                threads: 1,
                ..Settings::default()
            },
            folder: None,
            timing: Timing::fast(),
            primary_port: 0,
            reader_port: 0,
            replace_after: Some(Duration::from_millis(500)),
        }
    }
}

impl DirectiveOptions for GroupBuilder {
    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }
}

impl GroupBuilder {
    /// The group's name, by ElastiCache's rules: its nodes are `name-001` and so on.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The zones that the nodes are spread over, the most wanted first.
    pub fn zones<Z: Into<String>>(mut self, zones: impl IntoIterator<Item = Z>) -> Self {
        self.zones = zones.into_iter().map(|zone| Zone(zone.into())).collect();
        self
    }

    /// How many replicas the primary has, up to 5; one less than there are zones unless it is said.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// How fast the group notices the loss of its primary; [`Timing::fast`] unless it is said.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// A folder in which the nodes keep their data and what they have to remember.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The port that always leads to the primary.
    pub fn primary_endpoint_port(mut self, port: u16) -> Self {
        self.primary_port = port;
        self
    }

    /// The port that leads to the replicas in turn.
    pub fn reader_endpoint_port(mut self, port: u16) -> Self {
        self.reader_port = port;
        self
    }

    /// How long after its death the place of a node is refilled, in its own zone; `None` leaves it
    /// empty until [`Group::revive`]. Half a second unless it is said.
    pub fn replace_after(mut self, after: Option<Duration>) -> Self {
        self.replace_after = after;
        self
    }

    /// Takes the settings of each node.
    pub fn settings(mut self, settings: Settings) -> Self {
        let bind = vec!["127.0.0.1".to_owned()];
        self.settings = Settings { port: 0, bind, ..settings };
        self
    }

    /// Starts all members and the endpoints, and waits until the primary has all its replicas.
    ///
    /// # Errors
    /// A name or number that no group has, what a node refuses, a group that does not come about.
    pub fn start(self) -> Result<Group, StartError> {
        self.check()?;
        let nodes =
            self.replicas.map_or(self.zones.len().clamp(2, MAX_NODES), |replicas| replicas + 1);
        let placed = placement::place(&self.name, &self.zones, nodes);
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| wrong(error.to_string()))?;
        let ports = placed.iter().map(|placed| self.ports(placed));
        let ports = ports.collect::<io::Result<Vec<(Port, Port)>>>().map_err(StartError::Listen)?;
        let member = |(placed, (client, group)): (&Placed, &(Port, Port))| Member {
            id: placed.id.clone(),
            zone: placed.zone.clone(),
            client_address: (!placed.is_witness).then(|| client.address()),
            group_address: group.address(),
        };
        let members: Vec<Member> = placed.iter().zip(&ports).map(member).collect();
        let network = Network::new();
        let observer = Observer::new();
        let has_folder = self.folder.is_some() || self.settings.dir != Settings::default().dir;
        let scratch = (!has_folder).then(|| Scratch::make(&self.name)).transpose();
        let scratch = scratch.map_err(|error| wrong(error.to_string()))?;
        let mut supervisors = Vec::new();
        for (me, (client, group)) in members.iter().zip(ports) {
            network.place(&me.id, &me.zone);
            let mut plan = self.plan(me, &members, &secret, &network, (client, group))?;
            if let Some(scratch) = &scratch {
                plan.settings.dir = scratch.path().join(&me.id.0);
                std::fs::create_dir(&plan.settings.dir).map_err(|e| wrong(e.to_string()))?;
            }
            supervisors.push(Supervisor::start(plan, &observer)?);
        }
        let bind = |port| Ok(vec![Port::take(port)?.listen()?]);
        let settings = EndpointSettings {
            zone: None,
            max_lag_ms: self.settings.reader_endpoint_max_lag_ms,
            hold: Duration::from_millis(self.settings.endpoint_hold_time_ms),
        };
        let primary = bind(self.primary_port).map_err(StartError::Listen)?;
        let reader = bind(self.reader_port).map_err(StartError::Listen)?;
        let endpoints = Endpoints::start(primary, reader, &settings, &observer)?;
        let group = Group {
            name: self.name,
            network,
            supervisors,
            observer,
            endpoints,
            paused: Mutex::default(),
            replace_after: self.replace_after,
            _scratch: scratch,
        };
        group.wait_whole().map_err(|late| wrong(late.to_string()))?;
        Ok(group)
    }

    /// A member's ports for clients and for the group. What the group remembers names them, so that
    /// with a folder they are the same in the next life.
    fn ports(&self, placed: &Placed) -> io::Result<(Port, Port)> {
        let Some(folder) = &self.folder else { return Ok((Port::take(0)?, Port::take(0)?)) };
        let folder = folder.join(&placed.id.0);
        let file = folder.join(PORTS);
        let known = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut known = known.split_whitespace().map_while(|port| port.parse().ok());
        let mut take = || Port::take(known.next().unwrap_or(0));
        let (client, group) = (take()?, take()?);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(file, format!("{} {}\n", client.address().port(), group.address().port()))?;
        Ok((client, group))
    }

    /// What one member is.
    fn plan(
        &self,
        me: &Member,
        members: &[Member],
        secret: &[u8],
        network: &Network,
        (client, group): (Port, Port),
    ) -> Result<Plan, StartError> {
        let mut settings = self.settings.clone();
        settings.availability_zone = me.zone.0.clone();
        settings.port = client.address().port();
        let disk: Arc<dyn Disk> = match &self.folder {
            None => Arc::new(MemoryDisk::default()),
            Some(folder) => {
                let folder = folder.join(&me.id.0);
                settings.dir = folder.clone();
                let disk = FileDisk::open(&folder.join("group"));
                let disk = disk.map_err(|error| wrong(error.to_string()))?;
                Arc::new(DiskThread::start(disk).map_err(StartError::Thread)?)
            }
        };
        Ok(Plan {
            group: self.name.to_ascii_lowercase(),
            me: me.clone(),
            members: members.to_vec(),
            secret: Secret::new(secret).map_err(|error| wrong(error.to_string()))?,
            secret_bytes: Arc::from(secret),
            timing: self.timing,
            settings,
            config_file: None,
            on_change: None,
            disk,
            dial: Arc::new(network.dialer(&me.id)),
            // The port for clients is held here as well, while the node is away.
            listen: Box::new(move || {
                let _held = &client;
                Ok(vec![group.listen()?])
            }),
            network: Some(network.clone()),
        })
    }

    fn check(&self) -> Result<(), StartError> {
        group_name(&self.name).map_err(wrong)?;
        if self.zones.is_empty() {
            return Err(wrong("a group needs a zone"));
        }
        if self.replicas.is_some_and(|replicas| replicas >= MAX_NODES) {
            return Err(wrong("a primary has at most 5 replicas"));
        }
        Ok(())
    }
}

fn wrong(text: impl Into<String>) -> StartError {
    StartError::Group(text.into())
}

/// A running group. Dropping it ends it.
///
/// ```
/// use larder_server::{Group, config::{DirectiveOptions, WriteAcks}};
/// use std::io::{BufRead, BufReader, Write};
/// use std::net::TcpStream;
///
/// let group = Group::builder()
///     .name("sessions")
///     .zones(["a", "b", "c"])
///     .write_acks(WriteAcks::Quorum)
///     .start()?;
/// let mut call = |line: &str| -> std::io::Result<String> {
///     loop {
///         // An application would keep its connection; this one comes anew each time.
///         let mut stream = TcpStream::connect(group.primary_endpoint())?;
///         stream.write_all(format!("{line}\r\n").as_bytes())?;
///         let mut reply = String::new();
///         BufReader::new(stream).read_line(&mut reply)?;
///         // A new primary refuses until it has heard that it is one.
///         if !reply.starts_with("-READONLY") {
///             return Ok(reply);
///         }
///     }
/// };
/// assert_eq!(call("INCR visits")?, ":1\r\n");
/// let first = group.primary().expect("a group that started has one");
/// group.kill(&first)?;
/// group.wait_until(|group| group.primary.as_ref().is_some_and(|now| *now != first))?;
/// assert_eq!(call("INCR visits")?, ":2\r\n", "nothing is lost");
/// group.wait_whole()?;
/// assert!(group.events().iter().any(|event| event.message.starts_with("Failover from primary")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group {
    name: String,
    network: Network,
    supervisors: Vec<Supervisor>,
    pub(super) observer: Arc<Observer>,
    endpoints: Endpoints,
    paused: Mutex<HashMap<NodeId, Stall>>,
    replace_after: Option<Duration>,
    /// Dropped last: the nodes have ended by then.
    _scratch: Option<Scratch>,
}

/// Why a group did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no such node.
    #[error("the group has no node {0}")]
    NoNode(String),
    /// The group refused.
    #[error("{0}")]
    Refused(String),
    /// It did not come about in time.
    #[error("not within {PATIENCE:?}: the group is {0:?}")]
    Late(Box<GroupView>),
}

impl Group {
    /// A group to be configured.
    pub fn builder() -> GroupBuilder {
        GroupBuilder::default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the primary is always found.
    pub fn primary_endpoint(&self) -> SocketAddr {
        self.endpoints.primary()[0]
    }

    /// Where the replicas are found in turn, the primary when there is none.
    pub fn reader_endpoint(&self) -> SocketAddr {
        self.endpoints.reader()[0]
    }

    /// What the group is like now, as the latest of its members knows it.
    pub fn view(&self) -> GroupView {
        let is_running = |id: &str| self.member(id).is_ok_and(Supervisor::is_running);
        let config = self.observer.config();
        let is_in_sync = |id: &str| {
            let member = self.member(id).ok().map(Supervisor::shown);
            member.is_some_and(|member| member.is_in_sync(&config) && member.is_of(config.epoch))
        };
        GroupView::new(&config, is_running, is_in_sync)
    }

    /// The name of the primary.
    pub fn primary(&self) -> Option<String> {
        self.view().primary
    }

    /// All nodes by name.
    pub fn nodes(&self) -> Vec<NodeView> {
        self.view().nodes
    }

    /// A handle that runs commands on a node in the calling thread; none while the node is down.
    pub fn local(&self, node: &str) -> Option<Local> {
        self.member(node).ok()?.local()
    }

    /// A byte stream that speaks RESP with a node, as [`Node::connect`](crate::Node::connect) gives;
    /// none while the node is down. It ends with the node's life.
    pub fn connect(&self, node: &str) -> Option<DuplexStream> {
        self.member(node).ok()?.connect()
    }

    /// The latest events, in order.
    pub fn events(&self) -> Vec<Event> {
        self.observer.config().events.clone()
    }

    /// Waits until the group is as it should be.
    ///
    /// # Errors
    /// It did not become so within half a minute.
    pub fn wait_until(
        &self,
        mut is_so: impl FnMut(&GroupView) -> bool,
    ) -> Result<GroupView, GroupError> {
        let mut waited = Duration::ZERO;
        loop {
            let view = self.view();
            if is_so(&view) {
                return Ok(view);
            }
            if waited >= PATIENCE {
                return Err(GroupError::Late(Box::new(view)));
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// Waits until there is a primary, all other nodes with data are in sync with it, and all that run
    /// know it.
    ///
    /// # Errors
    /// They were not within half a minute.
    pub fn wait_whole(&self) -> Result<GroupView, GroupError> {
        self.wait_until(|view| {
            let latest = self.observer.config().revision;
            let mut running = self.supervisors.iter().filter(|member| member.is_running());
            view.is_whole() && running.all(|member| member.face().config().revision == latest)
        })
    }

    /// Ends a node as if its process died: what it held in memory is lost. Its place is refilled in
    /// its own zone, when [`GroupBuilder::replace_after`] says so.
    ///
    /// # Errors
    /// There is no such node.
    pub fn kill(&self, node: &str) -> Result<(), GroupError> {
        self.member(node)?.order(Order::PowerOff(self.replace_after));
        self.wait_until(|_| self.member(node).is_ok_and(|member| !member.is_running())).map(drop)
    }

    /// Starts a node that was killed.
    ///
    /// # Errors
    /// There is no such node.
    pub fn revive(&self, node: &str) -> Result<(), GroupError> {
        self.member(node)?.order(Order::PowerOn);
        Ok(())
    }

    /// Lets a node stand still, as a process that the kernel stopped: it says and hears nothing.
    ///
    /// # Errors
    /// There is no such node.
    pub fn pause(&self, node: &str) -> Result<(), GroupError> {
        let member = self.member(node)?;
        self.network.isolate(&Place::Node(member.me().id.clone()));
        self.paused.lock().insert(member.me().id.clone(), member.stall());
        Ok(())
    }

    /// Lets a node that stood still go on.
    ///
    /// # Errors
    /// There is no such node.
    pub fn resume(&self, node: &str) -> Result<(), GroupError> {
        let id = &self.member(node)?.me().id;
        self.network.heal(&Place::Node(id.clone()), &Place::Elsewhere);
        self.paused.lock().remove(id);
        Ok(())
    }

    /// Cuts the network between two nodes: what they say to each other arrives when it is healed.
    /// Clients and endpoints are not concerned by any cut.
    ///
    /// # Errors
    /// There is no such node.
    pub fn cut(&self, one: &str, other: &str) -> Result<(), GroupError> {
        self.network.part(&self.place(one)?, &self.place(other)?);
        Ok(())
    }

    /// Cuts a node off from all others.
    ///
    /// # Errors
    /// There is no such node.
    pub fn isolate(&self, node: &str) -> Result<(), GroupError> {
        self.network.isolate(&self.place(node)?);
        Ok(())
    }

    /// Cuts a zone off from all others.
    pub fn cut_zone(&self, zone: &str) {
        self.network.isolate(&Place::Zone(Zone(zone.to_owned())));
    }

    /// Lets everything take longer between two nodes, in each direction.
    ///
    /// # Errors
    /// There is no such node.
    pub fn add_latency(&self, one: &str, other: &str, latency: Duration) -> Result<(), GroupError> {
        let (one, other) = (self.place(one)?, self.place(other)?);
        self.network.delay(&one, &other, latency);
        self.network.delay(&other, &one, latency);
        Ok(())
    }

    /// Takes back all cuts and latencies.
    pub fn heal(&self) {
        self.network.heal_all();
        for id in self.paused.lock().keys() {
            self.network.isolate(&Place::Node(id.clone()));
        }
    }

    /// Takes the power from all nodes of a zone for a time, as ElastiCache's fault injection does:
    /// what they held is lost, and their places are not refilled before the time is over.
    ///
    /// # Errors
    /// The group refuses: another zone is interrupted, or there would be no majority.
    pub fn interrupt_zone(&self, zone: &str, duration: Duration) -> Result<(), GroupError> {
        let zone = Zone(zone.to_owned());
        let for_ms = duration.as_millis() as u64;
        self.ask(Request::InterruptZone { zone, for_ms })
    }

    /// Hands the primary over, to a replica or to whichever has most, and waits until that is done.
    ///
    /// # Errors
    /// The group refuses, or it did not come about.
    pub fn failover(&self, to: Option<&str>) -> Result<String, GroupError> {
        let from = self.primary();
        let target = match to {
            Some(id) => Some(self.member(id)?.me().id.clone()),
            None => None,
        };
        self.ask(Request::Failover(target))?;
        let view = self.wait_until(|view| match to {
            Some(to) => view.primary.as_deref() == Some(to),
            None => view.primary.is_some() && view.primary != from,
        })?;
        Ok(view.primary.unwrap_or_default())
    }

    /// Takes the power from the primary's node for a moment, as ElastiCache's call of that name.
    ///
    /// # Errors
    /// The group refuses: there is no replica in sync.
    pub fn test_failover(&self) -> Result<(), GroupError> {
        self.ask(Request::TestFailover)
    }

    /// Restarts all nodes one after another, the primary last and after it handed over.
    ///
    /// # Errors
    /// The group refuses: there is no replica in sync.
    pub fn restart(&self) -> Result<(), GroupError> {
        self.ask(Request::Restart)
    }

    /// Ends the group.
    pub fn shutdown(self) {}

    fn ask(&self, request: Request) -> Result<(), GroupError> {
        let primary = self.primary();
        let running = self.supervisors.iter().filter(|member| member.is_running());
        let asked = running.min_by_key(|member| Some(&member.me().id.0) != primary.as_ref());
        let asked = asked.ok_or_else(|| GroupError::Refused("no node runs".to_owned()))?;
        asked.face().ask(request).map_err(|error| {
            let text = error.to_string();
            GroupError::Refused(text.strip_prefix("ERR ").unwrap_or(&text).to_owned())
        })
    }

    fn member(&self, id: &str) -> Result<&Supervisor, GroupError> {
        let member = self.supervisors.iter().find(|member| member.me().id.0 == id);
        member.ok_or_else(|| GroupError::NoNode(id.to_owned()))
    }

    fn place(&self, id: &str) -> Result<Place, GroupError> {
        Ok(Place::Node(self.member(id)?.me().id.clone()))
    }
}
