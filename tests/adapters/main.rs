//! The client's adapters for other crates, against Larder and stock Redis, and against a primary with a
//! replica of either kind.

mod published;
mod tower_sessions;

use larder_client::{Endpoints, Net};
use larder_tests::{Redis, Server, eventually};

/// Single nodes, and pairs of which the second follows the first.
fn sites() -> Vec<Vec<Server>> {
    let redis = || Redis::with(&["--repl-diskless-sync-delay", "0"]);
    let mut sites = vec![vec![Server::start()], vec![redis()]];
    for pair in [[Server::start(), Server::start()], [redis(), redis()]] {
        let port = pair[0].addr().port();
        pair[1].connect().expect(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK");
        eventually("the replica is in sync", || pair[1].info("master_link_status") == "up");
        sites.push(pair.into());
    }
    sites
}

async fn connect(site: &[Server]) -> Net {
    let addresses: Vec<String> = site.iter().map(|node| node.addr().to_string()).collect();
    let endpoints = Endpoints::nodes(addresses.iter().map(String::as_str)).expect("addresses");
    Net::builder().endpoints(endpoints).connect().await.expect("nodes that answer")
}
