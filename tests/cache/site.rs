//! The nodes a test runs on.

use std::thread;

use larder_client::{Endpoints, Net};
use larder_tests::{Redis, Server, eventually};

/// What the nodes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Larder,
    Redis,
}

/// Both.
pub(crate) const MAKES: [Make; 2] = [Make::Larder, Make::Redis];

/// A single node, or a primary and a replica.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) nodes: Vec<Server>,
}

impl Site {
    pub(crate) fn single(make: Make) -> Self {
        Self { nodes: vec![start(make)] }
    }

    /// A primary and a replica that is in sync.
    pub(crate) fn pair(make: Make) -> Self {
        let site = Self { nodes: vec![start(make), start(make)] };
        site.follow(1, 0);
        site.wait_in_sync(1);
        site
    }

    pub(crate) fn run(&self, node: usize, line: &str) -> String {
        self.nodes[node].connect().run(line).to_string()
    }

    /// Has one node follow another.
    pub(crate) fn follow(&self, replica: usize, primary: usize) {
        let port = self.nodes[primary].addr().port();
        let reply = self.run(replica, &format!("REPLICAOF 127.0.0.1 {port}"));
        assert!(reply.contains("OK"), "{reply}");
    }

    /// Waits until a replica hears its primary.
    pub(crate) fn wait_in_sync(&self, replica: usize) {
        eventually("the replica is in sync", || {
            self.nodes[replica].info("role") == "slave"
                && self.nodes[replica].info("master_link_status") == "up"
        });
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.addr().to_string()).collect()
    }

    pub(crate) async fn net(&self) -> Net {
        connect(&self.addresses()).await
    }
}

/// Runs a test on a single node and on a pair, of each make, at once.
pub(crate) fn everywhere(test: impl AsyncFn(Net) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for make in MAKES {
            for (start, what) in [(Site::single as fn(Make) -> Site, "alone"), (Site::pair, "pair")]
            {
                let run = move || {
                    let site = start(make);
                    let mut builder = tokio::runtime::Builder::new_current_thread();
                    let runtime = builder.enable_all().build().expect("a runtime");
                    runtime.block_on(async { test(site.net().await).await });
                };
                let thread = thread::Builder::new().name(format!("{make:?} {what}"));
                thread.spawn_scoped(scope, run).expect("a thread");
            }
        }
    });
}

/// Connects to nodes, whichever is the primary.
pub(crate) async fn connect(addresses: &[String]) -> Net {
    let endpoints = Endpoints::nodes(addresses.iter().map(String::as_str)).expect("addresses");
    Net::builder().endpoints(endpoints).connect().await.expect("nodes that answer")
}

fn start(make: Make) -> Server {
    match make {
        Make::Larder => Server::start(),
        // A full sync without the wait for further replicas.
        Make::Redis => Redis::with(&["--repl-diskless-sync-delay", "0"]),
    }
}
