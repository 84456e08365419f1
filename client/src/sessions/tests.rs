//! What needs a look inside; what sessions do is tested against every make of server, in
//! `tests/cache`.

use super::*;
use crate::topology::endpoints::Endpoints;
use futures_util::FutureExt;
use larder_server::Node;
use larder_server::config::DirectiveOptions;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Login {
    name: String,
    visits: u32,
    #[serde(default)]
    cart: Vec<u32>,
}

impl SessionData for Login {
    const SCHEMA: &'static str = "login-1";
}

fn ann() -> Login {
    Login { name: "Ann".to_owned(), visits: 0, cart: Vec::new() }
}

async fn net() -> (Arc<Node>, Net) {
    let node = Arc::new(Node::builder().start().expect("it starts"));
    let net = Net::builder()
        .endpoints(Endpoints::in_process(&node))
        .connect()
        .await
        .expect("it connects");
    (node, net)
}

#[tokio::test]
async fn a_session_that_the_index_lost_ends_with_the_others() {
    let (node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, _) = sessions.create("ann", &ann()).await.unwrap();
    let index = format!("web:{{{}}}:u", sessions.inner.tag("ann"));
    assert_eq!(node.local().call(&[b"DEL", index.as_bytes()]), larder_server::Reply::Int(1));
    assert_eq!(sessions.close_all("ann", None).await.unwrap().value, 0);
    assert!(sessions.load(&token).await.unwrap().is_none());
}

/// A node that can be given another history, as another primary has.
async fn net_of_many_histories() -> (Arc<Node>, Net) {
    let allowed = larder_server::config::ProtectedAction::Local;
    let node = Arc::new(Node::builder().enable_debug_command(allowed).start().expect("it starts"));
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await;
    (node, net.expect("it connects"))
}

/// Another primary, which has all that is there now.
async fn fail_over(node: &Node, net: &Net) {
    let epoch = net.epoch();
    node.local().call(&[&b"DEBUG"[..], b"CHANGE-REPL-ID"]);
    assert_ne!(net.epoch_after(epoch).await, epoch);
}

#[tokio::test]
async fn a_logout_that_another_primary_has_not_heard_of_stays_one() {
    let (node, net) = net_of_many_histories().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, session) = sessions.create("ann", &ann()).await.unwrap();
    let (inner, tag) = (&sessions.inner, sessions.inner.tag("ann"));
    let keys = inner.keys(&tag, session.digest());
    node.local().call(&[&b"COPY"[..], &keys[0], b"copy"]);
    assert!(sessions.close(&session).await.unwrap().value);
    // Its task is stopped, as one that is about to run.
    inner.settling.get().unwrap().abort();
    node.local().call(&[&b"RENAME"[..], b"copy", &keys[0]]);
    node.local().call(&[&b"DEL"[..], &keys[1]]);
    fail_over(&node, &net).await;
    assert!(sessions.load(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_logout_that_was_lost_with_the_rotation_before_it_stays_one() {
    let (node, net) = net_of_many_histories().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, session) = sessions.create("ann", &ann()).await.unwrap();
    let (inner, tag) = (&sessions.inner, sessions.inner.tag("ann"));
    let before = inner.keys(&tag, session.digest());
    node.local().call(&[&b"COPY"[..], &before[0], b"copy"]);
    let (_, rotated) = sessions.rotate(&session, Grace::default()).await.unwrap().value;
    assert!(sessions.close(&rotated).await.unwrap().value);
    inner.settling.get().unwrap().abort();
    let after = inner.keys(&tag, rotated.digest());
    node.local().call(&[&b"RENAME"[..], b"copy", &before[0]]);
    node.local().call(&[&b"DEL"[..], &before[1], &after[1]]);
    fail_over(&node, &net).await;
    assert!(sessions.load(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_logout_that_was_lost_stays_one_for_who_comes_by_the_token_before() {
    let (node, net) = net_of_many_histories().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let other: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, session) = sessions.create("ann", &ann()).await.unwrap();
    let (inner, tag) = (&sessions.inner, sessions.inner.tag("ann"));
    // Who closes it knows nothing of the rotation.
    let (_, rotated) = other.rotate(&session, Grace::default()).await.unwrap().value;
    let keys = inner.keys(&tag, rotated.digest());
    node.local().call(&[&b"COPY"[..], &keys[0], b"copy"]);
    assert!(sessions.close(&rotated).await.unwrap().value);
    for sessions in [&sessions, &other] {
        sessions.inner.settling.get().unwrap().abort();
    }
    node.local().call(&[&b"RENAME"[..], b"copy", &keys[0]]);
    node.local().call(&[&b"DEL"[..], &keys[1]]);
    fail_over(&node, &net).await;
    assert!(sessions.load(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_patch_that_is_sent_again_is_applied_once() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, session) = sessions.create("ann", &ann()).await.unwrap();
    let (inner, tag) = (&sessions.inner, sessions.inner.tag("ann"));
    let field = |name: &str, value: u32| {
        let mut patch = Patch::default();
        patch.set(name, value);
        patch
    };
    let patch = async |call: &str, patch: Patch| {
        let digest = session.digest().as_str();
        let keys = inner.keys(&tag, session.digest());
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let (name, value) = &patch.set[0];
        let args = [call, digest, "60000", "", "1000", "0", "1", name];
        let mut args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        args.push(value);
        let given = inner.net.run(&inner.scripts.patch, &keys, &args, Target::Primary).await;
        given.unwrap().into_array().unwrap()[1].as_int().unwrap()
    };
    assert_eq!(patch("call-0000001", field("visits", 1)).await, 2);
    assert_eq!(patch("call-0000002", field("visits", 2)).await, 3);
    assert_eq!(patch("call-0000003", field("visits", 3)).await, 4);
    // It gives the version that it made, not the one that others made since.
    assert_eq!(patch("call-0000001", field("visits", 1)).await, 2);
    let read = sessions.load(&token).await.unwrap().unwrap();
    assert_eq!((read.data().visits, read.version()), (3, 4));
    for number in 4..200 {
        let call = format!("call-{number:07}");
        assert_eq!(patch(&call, field("visits", number)).await, i64::from(number) + 1);
        assert_eq!(patch(&call, field("visits", 999)).await, i64::from(number) + 1);
    }
    // Many may be made while one waits for another primary.
    assert_eq!(patch("call-0000001", field("visits", 1)).await, 2);
    let read = sessions.load(&token).await.unwrap().unwrap();
    assert_eq!((read.data().visits, read.version()), (199, 200));
}

#[tokio::test]
async fn a_session_of_an_older_generation_takes_no_change() {
    let (node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, lost) = sessions.create("ann", &ann()).await.unwrap();
    let (kept, handle) = sessions.create("ann", &ann()).await.unwrap();
    // The index knows one of them only.
    let index = format!("web:{{{}}}:u", sessions.inner.tag("ann"));
    let parts = [b"ZREM", index.as_bytes(), lost.digest().as_str().as_bytes()];
    assert_eq!(node.local().call(&parts), larder_server::Reply::Int(1));
    assert_eq!(sessions.close_all("ann", Some(&handle)).await.unwrap().value, 0);
    let visit = |patch: &mut Patch| {
        patch.set("visits", 1);
    };
    let patched = sessions.patch(&lost, visit).await;
    assert!(matches!(patched, Err(SessionError::Gone)));
    assert!(matches!(sessions.touch(&lost).await, Err(SessionError::Gone)));
    assert!(matches!(sessions.rotate(&lost, Grace::None).await, Err(SessionError::Gone)));
    assert!(matches!(sessions.edit(&lost, |_| ()).await, Err(SessionError::Gone)));
    assert!(sessions.load(&token).await.unwrap().is_none());
    assert!(sessions.load(&kept).await.unwrap().is_some());
    assert!(sessions.patch(&handle, visit).await.is_ok());
    // Void ones cannot be kept.
    assert_eq!(sessions.close_all("ann", Some(&lost)).await.unwrap().value, 1);
    assert!(sessions.load(&token).await.unwrap().is_none());
    assert!(sessions.load(&kept).await.unwrap().is_none());
}

#[tokio::test]
async fn the_server_tells_of_what_expires_in_any_database() {
    let node = Arc::new(Node::builder().start().expect("it starts"));
    let builder = Net::builder().endpoints(Endpoints::in_process(&node)).database(7);
    let net = builder.connect().await.expect("it connects");
    let idle = Duration::from_millis(50);
    let sessions: Sessions<Login> = net.sessions("web").idle(idle).build().unwrap();
    let mut events = sessions.events().await.unwrap();
    assert_eq!(events.next().await, events::Event::Gap);
    let (_, session) = sessions.create("ann", &ann()).await.unwrap();
    assert!(matches!(events.next().await, events::Event::Created { .. }));
    // What others say is not listened to where the server speaks for itself.
    let digest = session.digest().clone();
    let told = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    assert_eq!(told.unwrap(), events::Event::Expired { digest });
}

#[tokio::test]
async fn a_gap_is_told_of_also_when_somebody_gave_up_waiting_for_it() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let mut events = sessions.events().await.unwrap();
    // It is heard of, and the server is asked about its notifications.
    let mut given_up = 0;
    while !events.has_gap() {
        let once = events.next().now_or_never();
        assert!(once.is_none() && given_up < 4000, "a gap needs an answer of the server");
        given_up += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let limit = Duration::from_secs(20);
    let gap = tokio::time::timeout(limit, events.next()).await;
    assert_eq!(gap.expect("it is told of"), events::Event::Gap);
}
