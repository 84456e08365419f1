//! Endpoints before nodes that say their name.

use super::*;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Far more than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that greets each connection with its name and then sends back what it gets.
struct Node {
    target: Target,
    task: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn node(name: &str, zone: &str) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target {
        node: NodeId(name.into()),
        zone: Zone(zone.into()),
        address: listener.local_addr().unwrap(),
        epoch: 1,
    };
    let greeting = name.as_bytes()[0];
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                socket.write_u8(greeting).await?;
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await?;
                write.shutdown().await
            });
        }
    });
    Node { target, task }
}

fn replica(node: &Node) -> ReplicaTarget {
    ReplicaTarget { target: node.target.clone(), lag_ms: 0, is_up: true }
}

fn led_by(node: &Node, epoch: u64, is_planned: bool) -> Routes {
    let target = Target { epoch, ..node.target.clone() };
    Routes { primary: Some(target), is_planned, replicas: Vec::new() }
}

async fn endpoint(
    kind: EndpointKind,
    routes: Routes,
    limits: EndpointLimits,
) -> (Endpoint, watch::Sender<Routes>) {
    let (sender, receiver) = watch::channel(routes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Endpoint::start(listener, kind, receiver, limits).unwrap(), sender)
}

async fn connect(endpoint: &Endpoint) -> TcpStream {
    TcpStream::connect(endpoint.address()).await.unwrap()
}

/// Connects and says which node answers.
async fn greeted(endpoint: &Endpoint) -> (TcpStream, char) {
    let mut socket = connect(endpoint).await;
    let name = timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap();
    (socket, char::from(name))
}

async fn echoes(socket: &mut TcpStream) -> bool {
    let mut heard = [0; 5];
    socket.write_all(b"hello").await.is_ok()
        && timeout(PATIENCE, socket.read_exact(&mut heard)).await.is_ok_and(|read| read.is_ok())
        && heard == *b"hello"
}

async fn is_reset(socket: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, socket.read_u8()).await.unwrap();
    read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_lost_primarys_connections_are_reset_a_planned_ones_stay() {
    let (a, b, c) = (node("a", "x").await, node("b", "y").await, node("c", "z").await);
    let routes = led_by(&a, 1, false);
    let (endpoint, routes) =
        endpoint(EndpointKind::Primary, routes, EndpointLimits::default()).await;
    let (mut first, name) = greeted(&endpoint).await;
    assert!(name == 'a' && echoes(&mut first).await);
    routes.send(led_by(&b, 2, true)).unwrap();
    let (mut second, name) = greeted(&endpoint).await;
    assert!(name == 'b' && echoes(&mut first).await && echoes(&mut second).await);
    routes.send(led_by(&c, 3, false)).unwrap();
    assert!(is_reset(&mut first).await && is_reset(&mut second).await);
    let (mut third, name) = greeted(&endpoint).await;
    assert!(name == 'c' && echoes(&mut third).await);
    let figures = endpoint.figures();
    assert_eq!((figures.accepted, figures.dropped, figures.refused), (3, 2, 0), "{figures:?}");
    assert_eq!((figures.bytes_in, figures.bytes_out), (20, 23), "{figures:?}");
    drop(endpoint);
    assert!(third.read_u8().await.is_err());
}

#[tokio::test]
async fn new_connections_are_held_until_a_primary_is_there() {
    let (a, b) = (node("a", "x").await, node("b", "y").await);
    let limits = EndpointLimits { held: 2, hold: PATIENCE, ..EndpointLimits::default() };
    let (endpoint, routes) = endpoint(EndpointKind::Primary, Routes::default(), limits).await;
    let mut held = connect(&endpoint).await;
    held.write_all(b"early").await.unwrap();
    let mut other = connect(&endpoint).await;
    wait_for(|| endpoint.figures().held == 2).await;
    // One more than the bound.
    let mut refused = connect(&endpoint).await;
    assert!(refused.read_u8().await.is_err());
    routes.send(led_by(&a, 1, false)).unwrap();
    let mut heard = [0; 6];
    timeout(PATIENCE, held.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!((&heard, other.read_u8().await.unwrap()), (b"aearly", b'a'));
    // A primary that does not answer is as none, until the group has noticed.
    let gone = a.target.clone();
    drop(a);
    wait_for(|| std::net::TcpStream::connect(gone.address).is_err()).await;
    let mut waiting = connect(&endpoint).await;
    wait_for(|| endpoint.figures().held == 1).await;
    routes.send(led_by(&b, 2, false)).unwrap();
    assert_eq!(timeout(PATIENCE, waiting.read_u8()).await.unwrap().unwrap(), b'b');
    let figures = endpoint.figures();
    assert_eq!((figures.held, figures.held_then_served, figures.refused), (0, 3, 1));
}

#[tokio::test]
async fn a_crowd_that_waits_for_a_node_does_not_storm_it() {
    let a = node("a", "x").await;
    let routes = led_by(&a, 1, false);
    let address = a.target.address;
    drop(a);
    wait_for(|| std::net::TcpStream::connect(address).is_err()).await;
    let limits = EndpointLimits { hold: PATIENCE, ..EndpointLimits::default() };
    let (endpoint, routes_sender) = endpoint(EndpointKind::Primary, routes.clone(), limits).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(connect(&endpoint).await);
    }
    wait_for(|| endpoint.figures().held == 200).await;
    // News that change nothing move nobody.
    for lag_ms in 0..20 {
        let mut news = routes.clone();
        let target = Target { node: NodeId("r".into()), ..routes.primary.clone().unwrap() };
        news.replicas.push(ReplicaTarget { target, lag_ms, is_up: true });
        routes_sender.send(news).unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    let attempts = endpoint.figures().failed_connects;
    assert!(attempts < 300, "{attempts}");
    // It comes back by itself, in the same place.
    let listener = TcpListener::bind(address).await.unwrap();
    let accepting = tokio::spawn(async move {
        let mut sockets = Vec::new();
        while sockets.len() < 200 {
            sockets.push(listener.accept().await.unwrap());
        }
        sockets
    });
    timeout(PATIENCE, accepting).await.unwrap().unwrap();
    wait_for(|| endpoint.figures().held_then_served == 200).await;
}

#[tokio::test]
async fn who_was_held_for_too_long_is_refused() {
    let limits = EndpointLimits { hold: Duration::from_millis(100), ..EndpointLimits::default() };
    let (endpoint, _routes) = endpoint(EndpointKind::Primary, Routes::default(), limits).await;
    let start = Instant::now();
    assert!(connect(&endpoint).await.read_u8().await.is_err());
    assert!(start.elapsed() >= limits.hold);
    wait_for(|| endpoint.figures().refused == 1 && endpoint.figures().connections == 0).await;
}

#[tokio::test]
async fn readers_are_spread_and_leave_who_is_down() {
    let (p, a, b) = (node("p", "x").await, node("a", "y").await, node("b", "y").await);
    let kind = EndpointKind::Reader { zone: None, max_lag_ms: 100 };
    let with = |replicas| Routes { replicas, ..led_by(&p, 1, false) };
    let both = with(vec![replica(&a), replica(&b)]);
    let (endpoint, routes) = endpoint(kind, both.clone(), EndpointLimits::default()).await;
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(greeted(&endpoint).await);
    }
    assert_eq!(readers.iter().filter(|(_, name)| *name == 'a').count(), 5);
    let mut down = both.clone();
    down.replicas[0].is_up = false;
    routes.send(down).unwrap();
    for (mut socket, name) in readers.drain(..) {
        assert_eq!(is_reset_or_echoes(&mut socket).await, name == 'a', "{name}");
        if name == 'b' {
            readers_keep(&mut socket).await;
        }
    }
    assert_eq!(greeted(&endpoint).await.1, 'b');
    routes.send(with(Vec::new())).unwrap();
    let (_reader, name) = greeted(&endpoint).await;
    assert_eq!(name, 'p', "no replica is left");
    let figures = endpoint.figures();
    assert!(figures.dropped >= 5 && figures.refused == 0, "{figures:?}");
}

/// True where the connection was reset, false where it works.
async fn is_reset_or_echoes(socket: &mut TcpStream) -> bool {
    let waited = timeout(Duration::from_millis(200), socket.read_u8()).await;
    matches!(waited, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset)
}

async fn readers_keep(socket: &mut TcpStream) {
    assert!(echoes(socket).await);
}

#[tokio::test]
async fn an_end_is_passed_on_and_the_other_direction_goes_on() {
    let a = node("a", "x").await;
    let (endpoint, _routes) =
        endpoint(EndpointKind::Primary, led_by(&a, 1, false), EndpointLimits::default()).await;
    let (mut socket, _) = greeted(&endpoint).await;
    socket.write_all(b"last words").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, b"last words");
    wait_for(|| endpoint.figures().connections == 0).await;
    assert_eq!(endpoint.figures().dropped, 0);
}

#[tokio::test]
async fn a_slow_reader_slows_its_writer_and_loses_nothing() {
    const BYTES: usize = 32 << 20;
    let a = node("a", "x").await;
    let (endpoint, _routes) =
        endpoint(EndpointKind::Primary, led_by(&a, 1, false), EndpointLimits::default()).await;
    let (socket, _) = greeted(&endpoint).await;
    let (mut read, mut write) = socket.into_split();
    let writing = tokio::spawn(async move {
        let block: Vec<u8> = (0..=255).cycle().take(1 << 16).collect();
        for _ in 0..BYTES / block.len() {
            write.write_all(&block).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    // It comes to rest: what lies between is bounded by sockets and two buffers.
    let mut before = u64::MAX;
    while before != endpoint.figures().bytes_in {
        before = endpoint.figures().bytes_in;
        sleep(Duration::from_millis(300)).await;
    }
    assert!(before < BYTES as u64 && !writing.is_finished(), "{before}");
    let mut heard = Vec::new();
    timeout(2 * PATIENCE, read.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(heard.iter().copied().eq((0..=255).cycle().take(BYTES)));
}

#[tokio::test]
async fn connections_are_bounded() {
    let a = node("a", "x").await;
    let limits = EndpointLimits { connections: 3, ..EndpointLimits::default() };
    let (endpoint, _routes) = endpoint(EndpointKind::Primary, led_by(&a, 1, false), limits).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(greeted(&endpoint).await.0);
    }
    assert!(connect(&endpoint).await.read_u8().await.is_err());
    assert_eq!(endpoint.figures().refused, 1);
    drop(sockets.pop());
    wait_for(|| endpoint.figures().connections == 2).await;
    greeted(&endpoint).await;
}

#[tokio::test]
async fn who_may_not_connect_is_closed_at_once() {
    let a = node("a", "x").await;
    let (_routes, receiver) = watch::channel(led_by(&a, 1, false));
    let listener = TcpListener::bind("[::]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let kind = EndpointKind::Primary;
    // As the mapped form of an address of version 4 as well.
    let admission: Admission = Arc::new(|ip| ip == IpAddr::from([127, 0, 0, 1]));
    let endpoint =
        Endpoint::start_for(admission, listener, kind, receiver, EndpointLimits::default())
            .unwrap();
    let mut admitted = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(admitted.read_u8().await.unwrap(), b'a');
    let mut refused = TcpStream::connect(("::1", port)).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    let figures = endpoint.figures();
    assert_eq!((figures.accepted, figures.refused, figures.connections), (2, 1, 1));
}

async fn wait_for(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it never was so");
        sleep(Duration::from_millis(5)).await;
    }
}
