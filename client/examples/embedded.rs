//! A cache inside the program: the node, its client and a few commands, without a server or a port.
//!
//! `cargo run -p larder-client --features embedded --example embedded`

use larder_client::{Client, redis, redis::AsyncCommands};
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

    let client = Client::builder()
        .embedded(Arc::clone(&node))
        .response_timeout(Some(Duration::from_millis(250)))
        .build()?;
    let mut connection = client.connect().await?;

    // Everything that redis-rs offers works as it does against a server.
    let () = connection.set_ex("user:17:name", "Ada", 3600).await?;
    let (visits, name): (i64, String) = redis::pipe()
        .incr("user:17:visits", 1)
        .get("user:17:name")
        .query_async(&mut connection)
        .await?;
    println!("{name} was here {visits} time(s)");

    // The same data without any encoding, for the hot paths of the same process.
    let mut local = node.local();
    local.add(b"user:17:visits", 1)?;
    let visits: i64 = connection.get("user:17:visits").await?;
    println!("and {visits} time(s) by now");
    Ok(())
}
