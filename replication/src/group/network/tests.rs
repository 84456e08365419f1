//! Cuts, delays and resets, on a clock that stands still unless all wait.

use super::*;
use proptest::prelude::*;
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

/// What happens between two nodes.
#[derive(Clone, Debug)]
enum Happening {
    Write(bool, usize),
    Cut(bool),
    Delay(bool, u64),
    Heal,
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (any::<bool>(), 1usize..40_000).prop_map(|(side, length)| Happening::Write(side, length)),
        1 => any::<bool>().prop_map(Happening::Cut),
        1 => (any::<bool>(), 0u64..300).prop_map(|(side, ms)| Happening::Delay(side, ms)),
        1 => Just(Happening::Heal),
        2 => (0u64..200).prop_map(Happening::Pass),
    ]
}

/// Sends bytes that tell their place, in pieces as they are asked for; then ends.
async fn send<W: AsyncWriteExt + Unpin>(
    mut stream: W,
    mut lengths: tokio::sync::mpsc::UnboundedReceiver<usize>,
) {
    let mut place = 0_usize;
    while let Some(length) = lengths.recv().await {
        let bytes: Vec<u8> = (place..place + length).map(|place| (place % 251) as u8).collect();
        stream.write_all(&bytes).await.unwrap();
        place += length;
    }
    stream.shutdown().await.unwrap();
}

async fn play(happenings: &[Happening]) {
    let network = network();
    let ends = [node("1"), node("2")];
    let way = |side: bool| (&ends[usize::from(side)], &ends[usize::from(!side)]);
    // Little room in the transport, so that it is often full.
    let (near, far) = duplex(3_000);
    let near = network.wrap(&id("1"), &id("2"), near);
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let (to_far, lengths) = tokio::sync::mpsc::unbounded_channel();
    let (to_near, other_lengths) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(send(near_write, lengths));
    tokio::spawn(send(far_write, other_lengths));
    let heard = [tokio::spawn(hear(Box::new(far_read))), tokio::spawn(hear(Box::new(near_read)))];
    let mut sent = [0, 0];
    for happening in happenings {
        match *happening {
            Happening::Write(side, length) => {
                sent[usize::from(side)] += length;
                [&to_far, &to_near][usize::from(side)].send(length).unwrap();
            }
            Happening::Cut(side) => network.cut(way(side).0, way(side).1),
            Happening::Delay(side, ms) => {
                network.delay(way(side).0, way(side).1, Duration::from_millis(ms));
            }
            Happening::Heal => network.heal_all(),
            Happening::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
    }
    network.heal_all();
    drop((to_far, to_near));
    for (heard, sent) in heard.into_iter().zip(sent) {
        let heard = timeout(Duration::from_secs(60), heard).await.unwrap().unwrap();
        assert_eq!(heard.len(), sent);
        assert!(heard.iter().enumerate().all(|(place, byte)| *byte == (place % 251) as u8));
    }
}

async fn hear(mut stream: Box<dyn tokio::io::AsyncRead + Unpin + Send>) -> Vec<u8> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    heard
}

proptest! {
    #[test]
    fn whatever_happens_to_it_a_connection_is_a_stream(
        happenings in proptest::collection::vec(happening(), 1..40),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(play(&happenings));
    }
}
