//! The two services that are compared: a Larder group, and Redis with Sentinel.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use larder_benches::process::CpuTime;
use larder_benches::{Error, Result};

use crate::client::{after, ask_once, info};
use crate::ports::free_ports;
use crate::program::{Program, wait_for};
use crate::writers::{Door, MASTER_NAME, master};

/// How long a service may be in trouble before the run ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// Zones of the members, in turn.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// A service of several servers, one of which is primary.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its name in tables.
    pub(crate) name: String,
    servers: Vec<Program>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A Larder group: each server's arguments, and its primary endpoint.
    Group { args: Vec<Vec<String>>, endpoints: Vec<SocketAddr> },
    /// Those who watch the servers, which are stock ones.
    Sentinel { sentinels: Vec<Program> },
}

impl Service {
    /// Starts a Larder group of `size` servers and waits until all are in sync.
    ///
    /// # Errors
    /// When a server does not start, or they do not come together.
    pub(crate) fn group(program: &Path, name: &str, size: usize, more: &[&str]) -> Result<Self> {
        let ports = free_ports(3 * size)?;
        let (mut servers, mut args, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
        let id = |index: usize| format!("bench-{:03}", index + 1);
        let peers: Vec<String> = (0..size)
            .map(|index| {
                let (client, group) = (ports[3 * index], ports[3 * index + 1]);
                format!("{}={}@{client}/{group}", id(index), ZONES[index % 3])
            })
            .collect();
        for index in 0..size {
            let [client, _, endpoint] = [0, 1, 2].map(|at| ports[3 * index + at]);
            let server = Program::new(format!("{name} {}", id(index)), client, program)?;
            let mut words: Vec<String> = [
                "--bind",
                "127.0.0.1",
                "--port",
                &client.port().to_string(),
                "--save",
                "",
                "--dir",
                &server.folder().display().to_string(),
                "--group",
                "bench",
                "--node-id",
                &id(index),
                "--zone",
                ZONES[index % 3],
                "--primary-endpoint-port",
                &endpoint.port().to_string(),
            ]
            .map(str::to_owned)
            .into();
            words.extend(more.iter().map(|word| (*word).to_owned()));
            words.push("--peers".into());
            words.extend(peers.iter().cloned());
            servers.push(server);
            args.push(words);
            endpoints.push(endpoint);
        }
        for (server, words) in servers.iter_mut().zip(&args) {
            server.launch(words)?;
        }
        let kind = Kind::Group { args, endpoints };
        let mut service = Self { name: name.to_owned(), servers, kind };
        service.servers.iter_mut().try_for_each(Program::wait_answer)?;
        service.wait_whole()?;
        Ok(service)
    }

    /// Starts stock servers, the first one as primary of the others, and as many Sentinels.
    ///
    /// # Errors
    /// As for [`group`](Self::group).
    pub(crate) fn sentinel(
        server_program: &Path,
        sentinel_program: &Path,
        size: usize,
        down_after_ms: u64,
    ) -> Result<Self> {
        let ports = free_ports(size + 3)?;
        let mut servers = Vec::new();
        for (index, address) in ports[..size].iter().enumerate() {
            let name = format!("redis {}", index + 1);
            let mut server = Program::new(name, *address, server_program)?;
            let primary = (index > 0).then_some(ports[0]);
            server.launch(&stock_args(*address, primary))?;
            server.wait_answer()?;
            servers.push(server);
        }
        let mut sentinels = Vec::new();
        for (index, address) in ports[size..].iter().enumerate() {
            let name = format!("sentinel {}", index + 1);
            let mut sentinel = Program::new(name, *address, sentinel_program)?;
            let file = sentinel.folder().join("sentinel.conf");
            let text = format!(
                "port {}\nbind 127.0.0.1\n\
                 sentinel monitor {MASTER_NAME} 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds {MASTER_NAME} {down_after_ms}\n\
                 sentinel failover-timeout {MASTER_NAME} 10000\n",
                address.port(),
                ports[0].port()
            );
            std::fs::write(&file, text).map_err(Error::io("sentinel.conf"))?;
            sentinel.launch(&[file.display().to_string(), "--sentinel".into()])?;
            sentinel.wait_answer()?;
            sentinels.push(sentinel);
        }
        let kind = Kind::Sentinel { sentinels };
        let service = Self { name: "sentinel".to_owned(), servers, kind };
        service.wait_whole()?;
        Ok(service)
    }

    /// Which server is primary, as those who decide it know.
    ///
    /// # Errors
    /// When nobody knows.
    pub(crate) fn primary(&self) -> Result<usize> {
        let unknown = || Error::Stalled(format!("{}: nobody knows a primary", self.name));
        match &self.kind {
            Kind::Sentinel { sentinels } => {
                let told = sentinels.iter().find_map(|sentinel| master(sentinel.address).ok());
                let address = told.ok_or_else(unknown)?;
                self.servers.iter().position(|server| server.address == address).ok_or_else(unknown)
            }
            Kind::Group { .. } => {
                let known = self.running().filter_map(|server| {
                    let status = ask_once(server.address, &["GROUP", "STATUS"]).ok()?;
                    let epoch: u64 = after(&status, "epoch")?.parse().ok()?;
                    Some((epoch, after(&status, "primary")?.to_owned()))
                });
                let (_, id) = known.max().ok_or_else(unknown)?;
                let number: Option<usize> =
                    id.rsplit('-').next().and_then(|number| number.parse().ok());
                number
                    .and_then(|number| number.checked_sub(1))
                    .filter(|index| *index < self.servers.len())
                    .ok_or_else(unknown)
            }
        }
    }

    /// Waits until there is a primary, all others follow it, and all who decide agree.
    ///
    /// # Errors
    /// When that does not come.
    pub(crate) fn wait_whole(&self) -> Result<()> {
        let waited = wait_for("a whole service", PATIENCE, || self.is_whole().unwrap_or(false));
        waited.map_err(|error| {
            let said: Vec<String> = self.servers.iter().map(Program::log_end).collect();
            Error::Stalled(format!("{}: {error}: {}", self.name, said.join("; ")))
        })
    }

    fn is_whole(&self) -> Result<bool> {
        let primary = self.primary()?;
        let followers = self.servers.len() - 1;
        for (index, server) in self.servers.iter().enumerate() {
            let is_right = if index == primary {
                let known = info(server.address, "replication", "connected_slaves")?;
                let lines = ask_once(server.address, &["INFO", "replication"])?;
                let online = lines.first().map_or(0, |text| text.matches("state=online").count());
                info(server.address, "replication", "role")? == "master"
                    && known == followers.to_string()
                    && online == followers
            } else {
                info(server.address, "replication", "master_link_status")? == "up"
            };
            if !is_right {
                return Ok(false);
            }
        }
        match &self.kind {
            Kind::Group { .. } => {
                let status = ask_once(self.servers[primary].address, &["GROUP", "STATUS"])?;
                let in_sync = format!("*{}", self.servers.len());
                Ok(after(&status, "in-sync") == Some(in_sync.as_str()))
            }
            Kind::Sentinel { sentinels } => {
                let address = self.servers[primary].address;
                for sentinel in sentinels {
                    let command = ["SENTINEL", "MASTER", MASTER_NAME];
                    let known = ask_once(sentinel.address, &command)?;
                    let count = |name: &str| after(&known, name).unwrap_or_default().to_owned();
                    let is_right = master(sentinel.address)? == address
                        && count("num-slaves") == followers.to_string()
                        && count("num-other-sentinels") == (sentinels.len() - 1).to_string()
                        && count("flags") == "master";
                    if !is_right {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// How writers get to the primary: by an endpoint that does not die with it, or by asking.
    pub(crate) fn door(&self, primary: usize) -> Door {
        match &self.kind {
            Kind::Group { endpoints, .. } => {
                Door::Endpoint(endpoints[(primary + 1) % endpoints.len()])
            }
            Kind::Sentinel { sentinels } => {
                Door::Sentinels(sentinels.iter().map(|sentinel| sentinel.address).collect())
            }
        }
    }

    /// The primary endpoint that a server serves, where it does.
    pub(crate) fn endpoint(&self, index: usize) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Group { endpoints, .. } => endpoints.get(index).copied(),
            Kind::Sentinel { .. } => None,
        }
    }

    /// A server's process id, while it runs.
    pub(crate) fn pid(&self, index: usize) -> Option<u32> {
        self.servers[index].pid()
    }

    /// Kills a server; gives the moment.
    pub(crate) fn kill(&mut self, index: usize) -> std::time::Instant {
        self.servers[index].kill()
    }

    /// Starts a server that was killed: empty, as nobody saved anything.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn revive(&mut self, index: usize) -> Result<()> {
        let primary = self.primary().map(|primary| self.servers[primary].address)?;
        let server = &mut self.servers[index];
        match &self.kind {
            Kind::Group { args, .. } => server.launch(&args[index])?,
            // As a primary it would be empty and stay so until a Sentinel sees it: it is spared that.
            Kind::Sentinel { .. } => server.launch(&stock_args(server.address, Some(primary)))?,
        }
        server.wait_answer()
    }

    /// Asks for a planned change of the primary.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn hand_over(&self, primary: usize) -> Result<()> {
        match &self.kind {
            Kind::Group { .. } => ask_once(self.servers[primary].address, &["GROUP", "FAILOVER"]),
            Kind::Sentinel { sentinels } => {
                ask_once(sentinels[0].address, &["SENTINEL", "FAILOVER", MASTER_NAME])
            }
        }
        .map(drop)
    }

    /// Waits until another server than this one is primary.
    ///
    /// # Errors
    /// When that does not come.
    pub(crate) fn wait_other_primary(&self, than: usize) -> Result<usize> {
        let mut primary = than;
        wait_for("another primary", PATIENCE, || {
            primary = self.primary().unwrap_or(than);
            primary != than
        })?;
        Ok(primary)
    }

    /// Where a server takes commands.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        self.servers[index].address
    }

    /// Full syncs that the running servers have given so far.
    ///
    /// # Errors
    /// When one does not answer.
    pub(crate) fn full_syncs(&self) -> Result<u64> {
        self.running().try_fold(0, |sum, server| {
            let count = info(server.address, "stats", "sync_full")?;
            Ok(sum + count.parse::<u64>().unwrap_or(0))
        })
    }

    /// CPU time of all processes, Sentinels among them.
    ///
    /// # Errors
    /// When one is gone.
    pub(crate) fn cpu(&self) -> Result<Vec<(u32, CpuTime)>> {
        let watchers = match &self.kind {
            Kind::Sentinel { sentinels } => &sentinels[..],
            Kind::Group { .. } => &[],
        };
        let all = self.servers.iter().chain(watchers);
        all.filter_map(Program::pid).map(|pid| Ok((pid, CpuTime::of(pid)?))).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Program> {
        self.servers.iter().filter(|server| server.is_running())
    }
}

/// Arguments of a stock server.
fn stock_args(address: SocketAddr, primary: Option<SocketAddr>) -> Vec<String> {
    let port = address.port().to_string();
    let mut words =
        vec!["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    // A replica that joins need not wait for others; that has nothing to do with a failover.
    words.extend(["--repl-diskless-sync-delay", "0"]);
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if let Some(primary) = primary {
        words.push("--replicaof".into());
        words.push(primary.ip().to_string());
        words.push(primary.port().to_string());
    }
    words
}
