//! Frames and handshakes under every change that can be made to them; calls over connections in
//! memory, on a clock that stands still unless all wait.

use super::*;
use crate::group::config::{NodeId, Zone};
use crate::group::network::{Network, Place};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.repeat(MIN_SECRET_BYTES).as_bytes()).unwrap()
}

fn member(name: &str) -> Member {
    Member {
        id: id(name),
        zone: Zone("a".into()),
        client_address: None,
        group_address: ([127, 0, 0, 1], 1).into(),
    }
}

/// Both ends' keys of one connection from `n1` to `n2`.
fn keys() -> (Keys, Keys) {
    let secret = secret("s");
    let caller = Caller::new(&secret, &id("n1"), &id("n2"), [1; PROOF_BYTES]).unwrap();
    let answerer = Answerer::hear(&secret, &id("n2"), caller.hello(), [2; PROOF_BYTES]).unwrap();
    let challenge = answerer.challenge().try_into().unwrap();
    let (proven, proof) = caller.prove(&challenge);
    let (from, own, answerers) = answerer.check(&proof).unwrap();
    assert_eq!(from, id("n1"));
    (proven.check(&own).unwrap(), answerers)
}

/// Frames that say 0, 1, 2, ..., each on its own.
fn sealed(sealer: &mut Sealer, count: u8) -> Vec<Vec<u8>> {
    let seal = |number| {
        let mut out = BytesMut::new();
        sealer.seal(Kind::Request, number, &[number as u8; 5], &mut out).unwrap();
        out.to_vec()
    };
    (0..u64::from(count)).map(seal).collect()
}

fn open_all(opener: &mut Opener, bytes: &[u8]) -> (usize, Option<FrameError>) {
    let mut arrived = BytesMut::from(bytes);
    let mut opened = 0;
    loop {
        match opener.open(&mut arrived) {
            Ok(Some(frame)) => {
                assert_eq!(frame.payload, vec![frame.id as u8; 5]);
                opened += 1;
            }
            Ok(None) => return (opened, None),
            Err(error) => {
                assert_eq!(opener.open(&mut arrived), Err(error), "it is an error for ever");
                return (opened, Some(error));
            }
        }
    }
}

proptest! {
    #[test]
    fn frames_arrive_as_they_were_sent(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8),
        cut in 1usize..400,
    ) {
        let (mut caller, mut answerer) = keys();
        let mut sent = BytesMut::new();
        for (at, payload) in payloads.iter().enumerate() {
            caller.sealer.seal(Kind::Request, at as u64, payload, &mut sent).unwrap();
        }
        let mut arrived = BytesMut::new();
        let mut opened = Vec::new();
        for piece in sent.chunks(cut) {
            arrived.extend_from_slice(piece);
            while let Some(frame) = answerer.opener.open(&mut arrived).unwrap() {
                prop_assert_eq!(frame.id, opened.len() as u64);
                opened.push(frame.payload.to_vec());
            }
        }
        prop_assert_eq!(opened, payloads);
        prop_assert!(arrived.is_empty());
    }

    #[test]
    fn no_changed_bit_gets_through(at in 0usize..102, bit in 0u8..8) {
        let (mut caller, mut answerer) = keys();
        let mut sent = sealed(&mut caller.sealer, 3).concat();
        prop_assert_eq!(sent.len(), 102);
        sent[at] ^= 1 << bit;
        let (opened, error) = open_all(&mut answerer.opener, &sent);
        // A longer length waits for what never comes, and what does come does not fit.
        prop_assert!(opened == at / 34 && (error.is_some() || at % 34 < 4), "{opened} {error:?}");
    }

    #[test]
    fn arbitrary_bytes_open_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_, mut answerer) = keys();
        prop_assert_eq!(open_all(&mut answerer.opener, &bytes).0, 0);
    }

    #[test]
    fn no_changed_bit_of_a_handshake_gets_through(at in 0usize..144, bit in 0u8..8) {
        let secret = secret("s");
        let flip = |bytes: &[u8], start: usize| -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            if let Some(byte) = at.checked_sub(start).and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << bit;
            }
            bytes
        };
        let caller = Caller::new(&secret, &id("n1"), &id("n2"), [1; PROOF_BYTES]).unwrap();
        prop_assert_eq!(caller.hello().len(), 48);
        let hello = flip(caller.hello(), 0);
        let Ok(answerer) = Answerer::hear(&secret, &id("n2"), &hello, [2; PROOF_BYTES]) else {
            return Ok(());
        };
        let challenge = flip(answerer.challenge(), 48).try_into().unwrap();
        let (proven, proof) = caller.prove(&challenge);
        let Ok((_, own, _)) = answerer.check(&flip(&proof, 80).try_into().unwrap()) else {
            return Ok(());
        };
        prop_assert!(proven.check(&flip(&own, 112).try_into().unwrap()).is_err());
    }
}

#[test]
fn frames_are_neither_moved_nor_repeated_nor_left_out_nor_sent_back() {
    let (mut caller, mut answerer) = keys();
    let frames = sealed(&mut caller.sealer, 3);
    let join =
        |order: &[usize]| order.iter().flat_map(|at| frames[*at].clone()).collect::<Vec<_>>();
    for (order, fits) in [(&[0, 2][..], 1), (&[1], 0), (&[0, 0], 1), (&[0, 2, 1], 1)] {
        let (_, mut fresh) = keys();
        let outcome = open_all(&mut fresh.opener, &join(order));
        assert_eq!(outcome, (fits, Some(FrameError::Forged)), "{order:?}");
    }
    assert_eq!(open_all(&mut answerer.opener, &join(&[0, 1, 2])), (3, None));
    assert_eq!(open_all(&mut caller.opener, &join(&[0])), (0, Some(FrameError::Forged)));
}

#[test]
fn a_length_that_cannot_be_is_refused_before_anything_is_kept_for_it() {
    for length in [0, 8, 9 + MAX_PAYLOAD_BYTES as u32 + 1, u32::MAX] {
        let (_, mut answerer) = keys();
        let mut arrived = BytesMut::from(&length.to_be_bytes()[..]);
        let error = FrameError::Length(length as usize);
        assert_eq!(answerer.opener.open(&mut arrived), Err(error));
    }
    let (mut caller, mut answerer) = keys();
    let mut out = BytesMut::new();
    let long = vec![7; MAX_PAYLOAD_BYTES + 1];
    assert!(caller.sealer.seal(Kind::Request, 1, &long, &mut out).is_err() && out.is_empty());
    caller.sealer.seal(Kind::Request, 1, &long[1..], &mut out).unwrap();
    assert!(
        answerer.opener.open(&mut out).unwrap().is_some_and(|frame| frame.payload == long[1..])
    );
}

#[test]
fn a_handshake_needs_the_same_secret_and_the_right_names() {
    let (right, wrong) = (secret("s"), secret("t"));
    let caller = || Caller::new(&right, &id("n1"), &id("n2"), [1; PROOF_BYTES]).unwrap();
    let hear = |secret, me: &str, hello: &[u8]| {
        Answerer::hear(secret, &id(me), hello, [2; PROOF_BYTES]).map(|_| ())
    };
    assert!(matches!(
        hear(&right, "n3", caller().hello()),
        Err(HandshakeError::Misdirected { .. })
    ));
    assert!(matches!(
        hear(&right, "n1", Caller::new(&right, &id("n1"), &id("n1"), [1; 32]).unwrap().hello()),
        Err(HandshakeError::Misdirected { .. })
    ));
    let caller_of_wrong = caller();
    let answerer =
        Answerer::hear(&wrong, &id("n2"), caller_of_wrong.hello(), [2; PROOF_BYTES]).unwrap();
    let (proven, proof) = caller_of_wrong.prove(&[2; PROOF_BYTES]);
    assert!(matches!(answerer.check(&proof), Err(HandshakeError::Proof)));
    // The caller's own proof, sent back.
    assert!(matches!(proven.check(&proof), Err(HandshakeError::Proof)));
    let mut version = caller().hello().to_vec();
    version[9] = 2;
    assert_eq!(hear(&right, "n2", &version), Err(HandshakeError::Version(2)));
    assert_eq!(hear(&right, "n2", b"GET / HTTP/1.1\r\n\r\n"), Err(HandshakeError::NoHello));
    for name in ["", &"n".repeat(256)] {
        let named = Caller::new(&right, &id(name), &id("n2"), [1; PROOF_BYTES]);
        assert!(matches!(named.map(|_| ()), Err(HandshakeError::Name)));
    }
    assert_eq!(Secret::new(b"short").map(|_| ()), Err(WeakSecret(5)));
    assert_eq!(format!("{right:?}"), "Secret");
}

/// Leads every call to one listener, over memory, as long as it is not cut.
struct Wires {
    listener: LinkListener,
    is_cut: AtomicBool,
    dialled: AtomicUsize,
    network: Network,
}

impl Dial for Wires {
    fn dial<'a>(&'a self, _: &'a Member) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            self.dialled.fetch_add(1, Ordering::Relaxed);
            if self.is_cut.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = tokio::io::duplex(1 << 16);
            let listener = self.listener.clone();
            tokio::spawn(async move { listener.attend(far).await });
            Ok(Box::new(self.network.wrap(&id("n1"), &id("n2"), near)) as Box<dyn Stream>)
        })
    }
}

/// Answers a number of milliseconds after that time, with who asked; 9999 panics, 9998 takes for ever,
/// 9997 answers too much.
fn handler() -> Handler {
    Arc::new(|from, request| {
        Box::pin(async move {
            let millis: u64 = std::str::from_utf8(&request).unwrap().parse().unwrap();
            match millis {
                9999 => panic!("a handler may"),
                9998 => std::future::pending().await,
                9997 => vec![0; MAX_PAYLOAD_BYTES + 1].into(),
                _ => {
                    sleep(Duration::from_millis(millis)).await;
                    format!("{from} {millis}").into()
                }
            }
        })
    })
}

fn wires(limits: ListenLimits) -> (Arc<Links>, Arc<Wires>) {
    let listener = LinkListener::new(id("n2"), secret("s"), handler(), limits);
    let wires = Arc::new(Wires {
        listener,
        is_cut: AtomicBool::new(false),
        dialled: AtomicUsize::new(0),
        network: Network::new(),
    });
    let links = Links::new(id("n1"), secret("s"), wires.clone(), CallLimits::default());
    (Arc::new(links), wires)
}

async fn ask(links: &Links, millis: u64) -> Result<String, CallError> {
    let answer = links.call(&member("n2"), millis.to_string().into()).await?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_any_order_over_one_connection() {
    let (links, wires) = wires(ListenLimits::default());
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut calls = Vec::new();
    for millis in [300, 100, 0, 200] {
        let (links, order) = (links.clone(), order.clone());
        calls.push(tokio::spawn(async move {
            assert_eq!(ask(&links, millis).await, Ok(format!("n1 {millis}")));
            order.lock().push(millis);
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(*order.lock(), [0, 100, 200, 300]);
    // Kept open, also in silence.
    sleep(Duration::from_secs(100)).await;
    assert_eq!(ask(&links, 1).await, Ok("n1 1".into()));
    assert_eq!(wires.dialled.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_in_time_whatever_the_handler_does() {
    let (links, _wires) = wires(ListenLimits::default());
    assert_eq!(ask(&links, 9999).await, Err(CallError::Refused));
    assert_eq!(ask(&links, 9997).await, Err(CallError::Refused));
    assert_eq!(ask(&links, 9998).await, Err(CallError::TimedOut));
    assert_eq!(ask(&links, 5).await, Ok("n1 5".into()));
    let long = vec![0; MAX_PAYLOAD_BYTES + 1].into();
    let refused = links.call(&member("n2"), long).await;
    assert_eq!(refused, Err(CallError::TooLong(MAX_PAYLOAD_BYTES + 1)));
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_are_bounded() {
    let (links, _wires) = wires(ListenLimits { requests: 4, ..ListenLimits::default() });
    let limits = CallLimits::default();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..limits.calls + 10 {
        let links = links.clone();
        calls.spawn(async move { ask(&links, 9998).await });
    }
    let mut outcomes = [0; 3];
    while let Some(outcome) = calls.join_next().await {
        let place = match outcome.unwrap() {
            Err(CallError::Busy) => 0,
            Err(CallError::Refused) => 1,
            Err(CallError::TimedOut) => 2,
            other => panic!("{other:?}"),
        };
        outcomes[place] += 1;
    }
    // The caller's bound, then the listener's.
    assert_eq!(outcomes, [10, limits.calls - 4, 4]);
    // Given up without waiting for the answer: the place is free again.
    for _ in 0..3 * limits.calls {
        let _ = timeout(Duration::from_millis(1), ask(&links, 100)).await;
    }
    let bytes = limits.bytes as usize / MAX_PAYLOAD_BYTES;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..=bytes {
        let links = links.clone();
        let request = vec![b'5'; MAX_PAYLOAD_BYTES];
        calls.spawn(async move { links.call(&member("n2"), request.into()).await });
    }
    let outcomes = calls.join_all().await;
    let busy = outcomes.iter().filter(|outcome| **outcome == Err(CallError::Busy)).count();
    assert_eq!(busy, 1, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_made_again_in_bounded_time_and_number() {
    let (links, wires) = wires(ListenLimits::default());
    assert_eq!(ask(&links, 0).await, Ok("n1 0".into()));
    wires.is_cut.store(true, Ordering::Relaxed);
    // A second caller of the same name takes the place of the first one's connection.
    let other = Arc::new(Wires {
        listener: wires.listener.clone(),
        is_cut: AtomicBool::new(false),
        dialled: AtomicUsize::new(0),
        network: Network::new(),
    });
    let second = Links::new(id("n1"), secret("s"), other, CallLimits::default());
    assert_eq!(ask(&second, 0).await, Ok("n1 0".into()));
    drop(second);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ask(&links, 0).await, Err(CallError::Unreachable));
    let before = wires.dialled.load(Ordering::Relaxed);
    sleep(Duration::from_secs(5)).await;
    let attempts = wires.dialled.load(Ordering::Relaxed) - before;
    assert!((10..=30).contains(&attempts), "{attempts}");
    wires.is_cut.store(false, Ordering::Relaxed);
    sleep(CallLimits::default().max_pause).await;
    assert_eq!(ask(&links, 0).await, Ok("n1 0".into()));
    // Nobody calls and nobody is there: it is left alone.
    wires.is_cut.store(true, Ordering::Relaxed);
    links.forget(&id("n2"));
    assert_eq!(ask(&links, 0).await, Err(CallError::Unreachable));
    sleep(Duration::from_secs(100)).await;
    let before = wires.dialled.load(Ordering::Relaxed);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(wires.dialled.load(Ordering::Relaxed), before);
    wires.is_cut.store(false, Ordering::Relaxed);
    assert_eq!(ask(&links, 0).await, Ok("n1 0".into()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_across_a_cut_is_given_up_and_made_anew_when_it_is_healed() {
    let (links, wires) = wires(ListenLimits::default());
    assert_eq!(ask(&links, 0).await, Ok("n1 0".into()));
    let places = ["n1", "n2"].map(|name| Place::Node(id(name)));
    let limits = CallLimits::default();
    sleep(2 * limits.silence).await;
    wires.network.part(&places[0], &places[1]);
    let call = timeout(4 * limits.silence, ask(&links, 0)).await;
    assert!(matches!(call, Ok(Err(CallError::Unreachable))), "{call:?}");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ask(&links, 0).await, Err(CallError::Unreachable));
    wires.network.heal_all();
    sleep(limits.connect + limits.max_pause).await;
    assert_eq!(ask(&links, 0).await, Ok("n1 0".into()));
    // One direction alone is no connection either, which is noticed without any call.
    wires.network.cut(&places[1], &places[0]);
    sleep(limits.idle_ping + 4 * limits.silence).await;
    assert_eq!(ask(&links, 0).await, Err(CallError::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_know_the_secret_is_told_nothing() {
    let (_, wires) = wires(ListenLimits::default());
    let attend = |listener: LinkListener| {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move { listener.attend(far).await });
        near
    };
    // A hello is answered with a nonce, a wrong proof not at all.
    let mut stream: DuplexStream = attend(wires.listener.clone());
    let wrong = secret("t");
    let caller = Caller::new(&wrong, &id("n1"), &id("n2"), [1; PROOF_BYTES]).unwrap();
    stream.write_all(caller.hello()).await.unwrap();
    let mut challenge = [0; PROOF_BYTES];
    stream.read_exact(&mut challenge).await.unwrap();
    let (_, proof) = caller.prove(&challenge);
    stream.write_all(&proof).await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    // What is no hello gets nothing.
    let mut stream = attend(wires.listener.clone());
    stream.write_all(&[b'*'; 200]).await.unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    assert!(said.is_empty());
    let links = Links::new(id("n1"), wrong, wires, CallLimits::default());
    assert_eq!(ask(&links, 0).await, Err(CallError::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn handshakes_are_bounded_in_time_and_number() {
    let limits = ListenLimits { handshakes: 3, ..ListenLimits::default() };
    let (links, wires) = wires(limits);
    let mut silent = Vec::new();
    for _ in 0..3 {
        let (near, far) = tokio::io::duplex(64);
        let listener = wires.listener.clone();
        tokio::spawn(async move { listener.attend(far).await });
        silent.push(near);
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(ask(&links, 0).await, Err(CallError::Unreachable));
    sleep(limits.handshake).await;
    for stream in &mut silent {
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
    sleep(CallLimits::default().max_pause).await;
    assert_eq!(ask(&links, 0).await, Ok("n1 0".into()));
}

#[tokio::test(start_paused = true)]
async fn a_listener_gives_a_silent_connection_up() {
    let limits = ListenLimits::default();
    let (_, wires) = wires(limits);
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let listener = wires.listener.clone();
    let attended = tokio::spawn(async move { listener.attend(far).await });
    let keys = caller::introduce(&mut near, &secret("s"), &id("n1"), &id("n2")).await;
    assert!(keys.is_ok());
    sleep(limits.silence / 2).await;
    assert!(!attended.is_finished());
    timeout(limits.silence, attended).await.unwrap().unwrap();
}

#[tokio::test]
async fn members_call_each_other_over_tcp() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Member { group_address: socket.local_addr().unwrap(), ..member("n2") };
    let listener = LinkListener::new(id("n2"), secret("s"), handler(), ListenLimits::default());
    let serving = tokio::spawn(async move { listener.serve(socket, Arc::new(Plain)).await });
    let links = Links::new(id("n1"), secret("s"), Arc::new(Plain), CallLimits::default());
    for millis in 0..3 {
        let answer = links.call(&to, millis.to_string().into()).await;
        assert_eq!(answer, Ok(Bytes::from(format!("n1 {millis}"))));
    }
    serving.abort();
    let _ = serving.await;
    assert!(links.call(&to, "0".into()).await.is_err());
}
