//! Scripts and commands, sent to nodes inside the process.

use super::Net;
use crate::{Endpoints, Error, Message, Script, Target, Token, Value};
use larder_server::Node;
use larder_server::config::DirectiveOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn node() -> Arc<Node> {
    Arc::new(Node::builder().threads(1).start().expect("a node that listens nowhere starts"))
}

async fn net(node: &Arc<Node>) -> Net {
    let net = Net::builder().endpoints(Endpoints::in_process(node)).connect().await;
    net.expect("a node in the process can be reached")
}

#[tokio::test]
async fn scripts_and_commands_are_answered() {
    let node = node();
    let net = net(&node).await;
    let double = Script::new("return redis.call('GET', KEYS[1]) * ARGV[1]");
    net.write(&[b"SET", b"n", b"21"]).await.unwrap();
    for _ in 0..2 {
        let doubled = net.run(&double, &[b"n"], &[b"2"], Target::Primary).await.unwrap();
        assert_eq!(doubled, Value::Int(42));
    }
    let error = net.command(&[b"INCR", b"n", b"x"]).await.unwrap_err();
    assert_eq!(error.code(), Some("ERR"));
    let (_, token) = net.run_marked(&double, &[b"n"], &[b"2"]).await.unwrap();
    let token: Token = token.unwrap().to_string().parse().unwrap();
    let read = net.read(&[b"GET", b"n"], Target::After(token)).await.unwrap();
    assert_eq!(read.as_int().unwrap(), 21);
    assert_eq!(net.wait_replicas(0, Duration::from_millis(10)).await.unwrap(), 0);
    let nodes = net.nodes();
    assert!(nodes.len() == 1 && nodes[0].is_primary);
    assert!((net.server_now_ms() - crate::topology::member::now_ms()).abs() < 5_000);
}

#[tokio::test]
async fn channels_are_heard_from_the_gap_on() {
    let node = node();
    let net = net(&node).await;
    let mut heard = net.subscribe(["news"]);
    assert_eq!(heard.next().await, Message::Gap);
    net.command(&[b"PUBLISH", b"other", b"no"]).await.unwrap();
    net.command(&[b"PUBLISH", b"news", b"yes"]).await.unwrap();
    let message = heard.next().await;
    assert_eq!(
        message,
        Message::Published { channel: "news".to_owned(), payload: b"yes".to_vec() }
    );
    // Another one stands at once, and is told so too.
    let mut also = net.subscribe(["news"]);
    let gap = tokio::time::timeout(Duration::from_secs(20), also.next()).await;
    assert_eq!(gap.expect("it stands"), Message::Gap);
}

#[tokio::test]
async fn passwords_and_databases() {
    let node = Node::builder().threads(1).requirepass("secret".to_owned()).start().unwrap();
    let node = Arc::new(node);
    let builder = || {
        Net::builder()
            .endpoints(Endpoints::in_process(&node))
            .connect_timeout(Duration::from_millis(100))
    };
    for wrong in [builder(), builder().password("wrong"), builder().login("nobody", "secret")] {
        assert!(matches!(wrong.connect().await, Err(Error::NoNode)));
    }
    let net = builder().password("secret").database(7).connect().await.unwrap();
    net.write(&[b"SET", b"key", b"value"]).await.unwrap();
    let mut local = node.local();
    assert_eq!(local.get(b"key"), None);
    local.call(&[b"SELECT", b"7"]);
    assert!(local.get(b"key").is_some());
    assert!(!format!("{:?}", builder().password("secret")).contains("secret"));
    assert!(matches!(Net::builder().start(), Err(Error::Settings(_))));
}

#[tokio::test]
async fn a_socket_file_leads_to_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let path = path.to_str().unwrap();
    let node = Node::builder().threads(1).unixsocket(path.to_owned()).start().unwrap();
    let net = Net::builder().endpoints(Endpoints::single(path).unwrap()).connect().await.unwrap();
    let value = vec![b'v'; 3 << 20];
    net.write(&[b"SET", b"key", &value]).await.unwrap();
    assert!(node.local().get(b"key").is_some());
    let read = net.read(&[b"GET", b"key"], Target::default()).await.unwrap();
    assert!(read.as_bytes() == Some(&*value));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connecting = Net::builder()
        .endpoints(Endpoints::single(&address).unwrap())
        .connect_timeout(Duration::from_millis(50))
        .connect();
    let (error, mut accepted) =
        tokio::join!(connecting, async { listener.accept().await.unwrap().0 });
    assert!(matches!(error, Err(Error::NoNode)));
    // It is not left open either.
    let mut sent = Vec::new();
    accepted.read_to_end(&mut sent).await.unwrap();
    assert!(sent.starts_with(b"*"));
}

#[tokio::test]
async fn who_gives_up_waiting_for_replicas_holds_nobody_up() {
    let node = node();
    let net = net(&node).await;
    let long = net.wait_replicas(1, Duration::from_secs(1000));
    let begun = async {
        loop {
            let clients = net.command(&[b"CLIENT", b"LIST"]).await.unwrap();
            if clients.as_str().unwrap().contains("cmd=wait") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = long => panic!("there is no replica"),
        () = begun => {}
    }
    assert_eq!(net.wait_replicas(0, Duration::from_secs(20)).await.unwrap(), 0);
}

#[tokio::test]
async fn the_last_handle_closes_the_connections() {
    let node = node();
    let net = net(&node).await;
    drop(net.clone());
    net.command(&[b"PING"]).await.unwrap();
    drop(net);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while Arc::strong_count(&node) > 1 {
        assert!(tokio::time::Instant::now() < deadline, "the net still holds its node");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
