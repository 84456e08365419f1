//! Cuts, delays and resets, on a clock that stands still unless all wait.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_millis(50);
const LATENCY: Duration = Duration::from_millis(200);

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

fn node(name: &str) -> Place {
    Place::Node(id(name))
}

/// Nodes 1 to 3 in zones a, b, b.
fn network() -> Network {
    let network = Network::new();
    for (node, zone) in [("1", "a"), ("2", "b"), ("3", "b")] {
        network.place(&id(node), &Zone(zone.into()));
    }
    network
}

fn connect(network: &Network, from: &str, to: &str) -> (FaultyStream<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    (network.wrap(&id(from), &id(to), near), far)
}

/// Sends a byte and says whether it arrives soon.
async fn passes<W: AsyncWriteExt + Unpin, R: AsyncReadExt + Unpin>(
    from: &mut W,
    to: &mut R,
) -> bool {
    from.write_all(b"x").await.unwrap();
    matches!(timeout(SOON, to.read_u8()).await, Ok(Ok(b'x')))
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_one_direction_until_it_is_healed() {
    let network = network();
    let (mut near, mut far) = connect(&network, "1", "2");
    assert!(passes(&mut near, &mut far).await && passes(&mut far, &mut near).await);
    network.cut(&node("1"), &node("2"));
    assert!(!passes(&mut near, &mut far).await && passes(&mut far, &mut near).await);
    network.cut(&node("2"), &node("1"));
    assert!(!passes(&mut far, &mut near).await);
    // Connections made the other way have the same faults.
    let (mut third, mut second) = connect(&network, "2", "1");
    assert!(!passes(&mut third, &mut second).await && !passes(&mut second, &mut third).await);
    network.heal(&node("1"), &node("2"));
    for stream in [&mut far, &mut second] {
        assert_eq!(timeout(SOON, stream.read_u8()).await.unwrap().unwrap(), b'x');
    }
    for stream in [&mut near, &mut third] {
        assert_eq!(timeout(SOON, stream.read_u8()).await.unwrap().unwrap(), b'x');
    }
    assert!(passes(&mut near, &mut far).await && passes(&mut far, &mut near).await);
}

#[tokio::test(start_paused = true)]
async fn a_cut_keeps_what_socket_buffers_keep_in_order() {
    let network = network();
    let (mut near, mut far) = connect(&network, "1", "2");
    network.cut(&node("1"), &node("2"));
    let writing = tokio::spawn(async move {
        for number in 0..100_000_u32 {
            near.write_all(&number.to_be_bytes()).await.unwrap();
        }
        near.shutdown().await.unwrap();
        near
    });
    tokio::time::sleep(SOON).await;
    assert!(!writing.is_finished(), "400 KB are more than a cut takes");
    network.heal_all();
    for number in 0..100_000_u32 {
        assert_eq!(far.read_u32().await.unwrap(), number);
    }
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn zones_are_cut_from_each_other_and_not_within() {
    let network = network();
    let (mut a, mut b) = connect(&network, "1", "2");
    let (mut c, mut d) = connect(&network, "2", "3");
    network.isolate(&Place::Zone(Zone("b".into())));
    assert!(!passes(&mut a, &mut b).await && !passes(&mut b, &mut a).await);
    assert!(passes(&mut c, &mut d).await && passes(&mut d, &mut c).await);
    network.heal_all();
    network.isolate(&node("3"));
    assert!(!passes(&mut c, &mut d).await);
    network.heal_all();
    let (mut a, mut b) = connect(&network, "1", "2");
    network.part(&Place::Elsewhere, &Place::Elsewhere);
    assert!(!passes(&mut a, &mut b).await && !passes(&mut d, &mut c).await);
}

#[tokio::test(start_paused = true)]
async fn a_delay_moves_everything_and_overtakes_nothing() {
    let network = network();
    let (mut near, mut far) = connect(&network, "1", "2");
    network.delay(&node("1"), &node("2"), LATENCY);
    let start = Instant::now();
    near.write_all(b"a").await.unwrap();
    near.flush().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    // What is sent after the delay was taken back does not come before what was sent under it.
    tokio::time::sleep(LATENCY / 2).await;
    network.delay(&node("1"), &node("2"), Duration::ZERO);
    near.write_all(b"b").await.unwrap();
    let mut heard = [0; 2];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, start.elapsed()), (b"ab", LATENCY));
    assert!(passes(&mut near, &mut far).await);
    // The other direction, and a round.
    network.delay(&node("2"), &node("1"), LATENCY);
    let start = Instant::now();
    near.write_all(b"c").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'c');
    assert_eq!(start.elapsed(), Duration::ZERO);
    let (answered, heard) = tokio::join!(far.write_all(b"d"), near.read_u8());
    assert_eq!((answered.is_ok(), heard.unwrap()), (true, b'd'));
    assert!(start.elapsed() >= LATENCY && start.elapsed() < LATENCY + SOON);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_not_told_across_a_cut() {
    let network = network();
    let (mut near, mut far) = connect(&network, "1", "2");
    network.part(&node("1"), &node("2"));
    near.write_all(b"last").await.unwrap();
    drop(near);
    assert!(timeout(SOON, far.read_u8()).await.is_err());
    network.heal_all();
    let mut heard = Vec::new();
    timeout(SOON, far.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, b"last");

    let (mut near, mut far) = connect(&network, "1", "2");
    network.cut(&node("2"), &node("1"));
    far.write_all(b"last").await.unwrap();
    drop(far);
    assert!(timeout(SOON, near.read_u8()).await.is_err());
    // Nor does a write show that nobody is there.
    near.write_all(b"hello").await.unwrap();
    network.heal_all();
    let mut heard = Vec::new();
    timeout(SOON, near.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, b"last");
    assert!(near.write_all(b"hello").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_reads_and_writes_that_wait() {
    let network = network();
    let (mut near, mut far) = connect(&network, "1", "2");
    let (mut other, mut end) = connect(&network, "2", "3");
    let waiting = tokio::spawn(async move {
        let read = near.read_u8().await;
        (read.map_err(|error| error.kind()), near.write_all(b"x").await.is_err())
    });
    tokio::time::sleep(SOON).await;
    network.reset(&node("2"), &node("1"));
    let expected = (Err(io::ErrorKind::ConnectionReset), true);
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), expected);
    assert_eq!(far.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(passes(&mut other, &mut end).await);
}

#[tokio::test]
async fn connections_are_dialled_through_the_faults() {
    let network = network();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    network.cut(&node("2"), &node("1"));
    let (from, to) = (id("1"), id("2"));
    assert!(timeout(SOON, network.dial(&from, &to, address)).await.is_err());
    let dialling = tokio::spawn({
        let network = network.clone();
        async move { network.dial(&from, &to, address).await }
    });
    network.heal_all();
    let mut near = dialling.await.unwrap().unwrap();
    let (mut far, peer) = listener.accept().await.unwrap();
    assert_eq!((near.local_addr().unwrap(), near.peer_addr().unwrap()), (peer, address));
    assert!(passes(&mut near, &mut far).await && passes(&mut far, &mut near).await);
    network.reset(&node("1"), &node("2"));
    let reset = far.read_u8().await.map_err(|error| error.kind());
    assert_eq!(reset, Err(io::ErrorKind::ConnectionReset));
    assert!(near.local_addr().is_err() && near.read_u8().await.is_err());
}

#[tokio::test]
async fn what_is_gone_is_forgotten() {
    let network = network();
    for _ in 0..1_000 {
        drop(connect(&network, "1", "2"));
    }
    assert!(network.0.state.lock().connections.len() <= 64);
}
