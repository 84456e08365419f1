//! Connections to a real node, over both ways.

use crate::{Client, Error};
use larder_server::Node;
use larder_server::config::DirectiveOptions;
use redis::{AsyncCommands, RedisResult, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn node() -> Arc<Node> {
    Arc::new(Node::builder().threads(1).start().expect("a node that listens nowhere starts"))
}

#[tokio::test]
async fn a_node_inside_the_process_is_a_server() {
    let node = node();
    let client = Client::builder().embedded(Arc::clone(&node)).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    let () = connection.set_ex("key", "value", 100).await.unwrap();
    assert_eq!(node.local().get(b"key").as_deref(), Some(&b"value"[..]));
    // Only RESP3 has a type for this.
    let info: Value =
        redis::cmd("CONFIG").arg("GET").arg("port").query_async(&mut connection).await.unwrap();
    assert!(matches!(info, Value::Map(_)), "{info:?}");
    let error: RedisResult<i64> = connection.incr("key", 1).await;
    assert_eq!(error.unwrap_err().detail(), Some("value is not an integer or out of range"));
}

#[tokio::test]
async fn clones_share_a_connection_and_connections_a_client() {
    let client = Client::builder().embedded(node()).build().unwrap();
    let connection = client.connect().await.unwrap();
    let counts = (0..100).map(|_| {
        let mut connection = connection.clone();
        tokio::spawn(async move {
            let () = connection.incr("count", 1).await.unwrap();
            redis::cmd("CLIENT").arg("ID").query_async::<i64>(&mut connection).await.unwrap()
        })
    });
    let mut ids = Vec::new();
    for count in counts.collect::<Vec<_>>() {
        ids.push(count.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let mut other = client.connect().await.unwrap();
    assert_eq!(other.get::<_, i64>("count").await.unwrap(), 100);
    assert_ne!(
        vec![redis::cmd("CLIENT").arg("ID").query_async::<i64>(&mut other).await.unwrap()],
        ids
    );
}

#[tokio::test]
async fn large_values_pass() {
    let client = Client::builder().embedded(node()).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    let value = vec![b'v'; 3 << 20];
    let () = connection.set("key", &value).await.unwrap();
    assert!(connection.get::<_, Vec<u8>>("key").await.unwrap() == value);
}

#[tokio::test]
async fn passwords_and_databases() {
    let node = Node::builder().threads(1).requirepass("secret".to_owned()).start().unwrap();
    let node = Arc::new(node);
    let builder = || Client::builder().embedded(Arc::clone(&node));
    for wrong in
        [builder(), builder().password("wrong"), builder().username("nobody").password("secret")]
    {
        let error = wrong.build().unwrap().connect().await.unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{error}");
    }
    let client = builder().password("secret").database(7).build().unwrap();
    let () = client.connect().await.unwrap().set("key", "value").await.unwrap();
    let mut local = node.local();
    assert_eq!(local.get(b"key"), None);
    local.call(&[b"SELECT", b"7"]);
    assert!(local.get(b"key").is_some());
    let error = builder().password("secret").database(16).build().unwrap().connect().await;
    assert!(matches!(error, Err(Error::Connect(_))));
}

#[tokio::test]
async fn an_address_leads_to_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let path = path.to_str().unwrap();
    let node = Node::builder()
        .threads(1)
        .requirepass("secret".to_owned())
        .unixsocket(path.to_owned())
        .start()
        .unwrap();
    let address = format!("unix://{path}?db=3&protocol=resp2");
    let client = Client::builder().address(address).password("secret").build().unwrap();
    let mut connection = client.connect().await.unwrap();
    let info: Value =
        redis::cmd("CONFIG").arg("GET").arg("port").query_async(&mut connection).await.unwrap();
    assert!(matches!(info, Value::Map(_)), "{info:?}");
    let () = connection.set("key", "value").await.unwrap();
    let mut local = node.local();
    local.call(&[b"SELECT", b"3"]);
    assert!(local.get(b"key").is_some());
    let elsewhere = format!("unix://{path}.not");
    let error = Client::builder().address(elsewhere).build().unwrap().connect().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("redis://{}", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(50);
    let client = Client::builder().address(address).connect_timeout(Some(timeout)).build().unwrap();
    let (error, mut accepted) =
        tokio::join!(client.connect(), async { listener.accept().await.unwrap().0 });
    assert!(matches!(error, Err(Error::ConnectTimeout(given)) if given == timeout));
    // It is not left open either.
    let mut sent = Vec::new();
    accepted.read_to_end(&mut sent).await.unwrap();
    assert!(sent.starts_with(b"*"));
}

#[tokio::test]
async fn a_node_that_ends_ends_its_connections() {
    let node = node();
    let client = Client::builder().embedded(Arc::clone(&node)).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    drop(client);
    let node = Arc::into_inner(node).expect("a connection does not keep its node");
    tokio::task::spawn_blocking(|| node.shutdown()).await.unwrap();
    let error: RedisResult<String> = redis::cmd("PING").query_async(&mut connection).await;
    assert!(error.unwrap_err().is_connection_dropped());
}
