//! A data set inside the program: the node, its client and a few commands, without a server or a
//! port.
//!
//! `cargo run -p larder-client --features embedded --example embedded`

use larder_client::{Endpoints, Net, Target};
use larder_server::Node;
use larder_server::config::{DirectiveOptions, MaxmemoryPolicy};
use std::sync::Arc;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A node that keeps 64 MB of what is used most often.
    let node = Node::builder()
        .maxmemory_bytes(64 << 20)
        .maxmemory_policy(MaxmemoryPolicy::AllkeysLfu)
        .start()?;
    let node = Arc::new(node);

    let net = Net::builder()
        .endpoints(Endpoints::in_process(&node))
        .response_timeout(Duration::from_millis(250))
        .connect()
        .await?;

    net.write(&[b"SET", b"user:17:name", b"Ada", b"EX", b"3600"]).await?;
    // What must not run twice is not sent twice.
    let visits = net.command(&[b"INCR", b"user:17:visits"]).await?.as_int()?;
    let name = net.read(&[b"GET", b"user:17:name"], Target::default()).await?;
    println!("{} was here {visits} time(s)", name.as_str().unwrap_or("nobody"));

    // The same data without any encoding, for the hot paths of the same process.
    let mut local = node.local();
    local.add(b"user:17:visits", 1)?;
    let visits = net.read(&[b"GET", b"user:17:visits"], Target::Primary).await?;
    println!("and {} time(s) by now", visits.as_int()?);
    Ok(())
}
