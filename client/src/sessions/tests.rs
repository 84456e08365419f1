//! Sessions on a node in this process.

use super::builder::Over;
use super::events::Event;
use super::*;
use crate::topology::endpoints::Endpoints;
use larder_server::Node;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

fn soon(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn a_session_from_login_to_logout() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (token, begun) = sessions.create("ann", &ann()).await.unwrap();
    let read = sessions.load(&token).await.unwrap().unwrap();
    assert_eq!((read.user(), read.data(), read.version()), ("ann", &ann(), 1));
    assert_eq!(read.digest(), begun.digest());
    assert_eq!(
        sessions
            .patch(&read, |patch| {
                patch.set("cart", [3]);
            })
            .await
            .unwrap(),
        2
    );
    let conflict = sessions.compare_and_set(&read, &ann()).await;
    assert!(matches!(conflict, Err(SessionError::Conflict { current: 2 })));
    let edited = sessions.edit(&read, |login| login.visits += 1).await.unwrap();
    assert_eq!((edited.version(), edited.data().visits, &edited.data().cart[..]), (3, 1, &[3][..]));
    assert!(sessions.close(&read).await.unwrap().value);
    assert!(!sessions.close(&read).await.unwrap().value, "it is closed already");
    assert!(sessions.load(&token).await.unwrap().is_none());
    let late = sessions
        .patch(&read, |patch| {
            patch.set("cart", [4]);
        })
        .await;
    assert!(matches!(late, Err(SessionError::Gone)));
    assert!(matches!(sessions.touch(&read).await, Err(SessionError::Gone)));
    assert!(matches!(sessions.rotate(&read, Grace::None).await, Err(SessionError::Gone)));
    assert!(sessions.load(&token).await.unwrap().is_none(), "nothing brought it back");
}

#[tokio::test]
async fn a_token_is_nowhere_in_the_data_set() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").pepper("secret").build().unwrap();
    let (token, _) = sessions.create("ann", &ann()).await.unwrap();
    let keys = net.read(&[b"KEYS", b"*"], Target::Primary).await.unwrap();
    let keys: Vec<String> =
        keys.into_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    let keys = keys.join(" ");
    assert!(!keys.contains(&token.reveal()) && keys.contains("}:s:"));
    assert!(sessions.load(&SessionToken::random()).await.unwrap().is_none());
    let unpeppered: Sessions<Login> = net.sessions("web").build().unwrap();
    assert!(unpeppered.load(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn deadlines_are_the_servers() {
    let (_node, net) = net().await;
    let builder = net.sessions::<Login>("web").idle(soon(200)).absolute(soon(450));
    let sessions = builder.touch_every(Duration::ZERO).build().unwrap();
    let (idle, _) = sessions.create("ann", &ann()).await.unwrap();
    let (used, _) = sessions.create("ann", &ann()).await.unwrap();
    let began = tokio::time::Instant::now();
    while began.elapsed() < soon(350) {
        if let Some(session) = sessions.load(&used).await.unwrap() {
            assert!(session.remaining() <= soon(200));
        } else {
            assert!(began.elapsed() > soon(200), "a stall of this machine at least");
        }
        tokio::time::sleep(soon(20)).await;
    }
    assert!(sessions.load(&idle).await.unwrap().is_none());
    tokio::time::sleep(soon(150)).await;
    assert!(sessions.load(&used).await.unwrap().is_none(), "its time in all is over");
    assert!(sessions.list("ann").await.unwrap().is_empty());
}

#[tokio::test]
async fn rotation_leads_from_the_old_token_for_a_while() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (first, session) = sessions.create("ann", &ann()).await.unwrap();
    let Done { value: (second, session), .. } =
        sessions.rotate(&session, Grace::For(soon(150))).await.unwrap();
    let by_first = sessions.load(&first).await.unwrap().unwrap();
    assert_eq!(by_first.digest(), session.digest());
    assert_eq!(sessions.load(&second).await.unwrap().unwrap().version(), 2);
    tokio::time::sleep(soon(200)).await;
    assert!(sessions.load(&first).await.unwrap().is_none());
    let Done { value: (third, _), .. } = sessions.rotate(&session, Grace::None).await.unwrap();
    assert!(sessions.load(&second).await.unwrap().is_none());
    assert!(sessions.load(&third).await.unwrap().is_some());
    assert_eq!(sessions.list("ann").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_may_end_all() {
    let (_node, net) = net().await;
    let few: Sessions<Login> = net.sessions("web").per_user(2, Over::EvictOldest).build().unwrap();
    let mut tokens = Vec::new();
    for label in ["one", "two", "three"] {
        tokens.push(few.create_labelled("ann", &ann(), label).await.unwrap().0);
        tokio::time::sleep(soon(3)).await;
    }
    assert!(few.load(&tokens[0]).await.unwrap().is_none(), "the oldest went");
    let labels: Vec<String> =
        few.list("ann").await.unwrap().into_iter().map(|entry| entry.label).collect();
    assert_eq!(labels, ["three", "two"]);
    let strict: Sessions<Login> = net.sessions("web").per_user(2, Over::Reject).build().unwrap();
    assert!(matches!(strict.create("ann", &ann()).await, Err(SessionError::TooMany)));
    let kept = few.load(&tokens[2]).await.unwrap().unwrap();
    assert_eq!(few.close_all("ann", Some(&kept)).await.unwrap().value, 1);
    assert!(few.load(&tokens[1]).await.unwrap().is_none());
    assert!(few.load(&tokens[2]).await.unwrap().is_some(), "the one that was to be kept");
    assert_eq!(few.close_all("ann", None).await.unwrap().value, 1);
    assert!(few.load(&tokens[2]).await.unwrap().is_none());
    let (again, _) = few.create("ann", &ann()).await.unwrap();
    assert!(few.load(&again).await.unwrap().is_some(), "one that begins later is not meant");
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

#[tokio::test]
async fn what_happens_is_told() {
    let (_node, net) = net().await;
    let builder = net.sessions::<Login>("web").idle(soon(300)).absolute(soon(400));
    let sessions = builder.per_user(1, Over::EvictOldest).build().unwrap();
    let mut events = sessions.events().await.unwrap();
    assert_eq!(events.next().await, Event::Gap, "the subscription stands");
    let (_, first) = sessions.create("ann", &ann()).await.unwrap();
    let (_, second) = sessions.create("ann", &ann()).await.unwrap();
    let rotated = sessions.rotate(&second, Grace::None).await.unwrap().value.1;
    sessions.close(&rotated).await.unwrap();
    let (_, third) = sessions.create("bob of b", &ann()).await.unwrap();
    let ann = || "ann".to_owned();
    let digest = |session: &Session<Login>| session.digest().clone();
    let expected = [
        Event::Created { digest: digest(&first), user: ann() },
        Event::Evicted { digest: digest(&first), user: ann() },
        Event::Created { digest: digest(&second), user: ann() },
        Event::Rotated { from: digest(&second), to: digest(&rotated), user: ann() },
        Event::Closed { digest: digest(&rotated), user: ann() },
        Event::Created { digest: digest(&third), user: "bob of b".to_owned() },
        Event::Expired { digest: digest(&third) },
    ];
    for event in expected {
        let told = tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap();
        assert_eq!(told, event);
    }
}

#[tokio::test]
async fn sizes_names_and_schemas_are_checked() {
    let (_node, net) = net().await;
    let small: Sessions<Login> = net.sessions("web").most_bytes(100).build().unwrap();
    let large = Login { name: "x".repeat(200), ..ann() };
    assert!(matches!(small.create("ann", &large).await, Err(SessionError::TooLarge { .. })));
    let (token, session) = small.create("ann", &ann()).await.unwrap();
    let many: Vec<u32> = (1000..1030).collect();
    let patched = small
        .patch(&session, |patch| {
            patch.set("cart", &many);
        })
        .await;
    assert!(matches!(patched, Err(SessionError::TooLarge { most_bytes: 100 })));
    let ours = small
        .patch(&session, |patch| {
            patch.set("_v", 7);
        })
        .await;
    assert!(matches!(ours, Err(SessionError::Data(_))));
    type Other = BTreeMap<String, u32>;
    let other: Sessions<Other> = net.sessions("web").build().unwrap();
    assert!(other.load(&token).await.unwrap().is_none(), "another schema");
    assert!(net.sessions::<Login>("a b").build().is_err());
    assert!(net.sessions::<Login>("web").idle(soon(1)).build().is_err());
    assert!(net.sessions::<Login>("web").absolute(soon(100)).build().is_err());
}

#[tokio::test]
async fn fields_that_change_at_once_are_all_there() {
    let (_node, net) = net().await;
    type Data = BTreeMap<String, u32>;
    let sessions: Sessions<Data> = net.sessions("web").build().unwrap();
    let (token, session) = sessions.create("ann", &Data::new()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..20u32 {
        let (sessions, session) = (sessions.clone(), session.clone());
        writers.spawn(async move {
            let field = format!("f{number}");
            sessions
                .patch(&session, |patch| {
                    patch.set(field, number);
                })
                .await
                .unwrap();
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let read = sessions.load(&token).await.unwrap().unwrap();
    assert_eq!((read.data().len(), read.version()), (20, 21));
    sessions
        .patch(&read, |patch| {
            patch.remove("f0").set("f1", 7);
        })
        .await
        .unwrap();
    let read = sessions.load(&token).await.unwrap().unwrap();
    assert_eq!((read.data().len(), read.data()["f1"]), (19, 7));
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
    for number in 4..12 {
        let call = format!("call-{number:07}");
        assert_eq!(patch(&call, field("visits", number)).await, i64::from(number) + 1);
        assert_eq!(patch(&call, field("visits", 99)).await, i64::from(number) + 1);
    }
}

#[tokio::test]
async fn a_handle_from_before_a_rotation_leads_on() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let cart = |number: u32| {
        move |patch: &mut Patch| {
            patch.set("cart", [number]);
        }
    };
    let (_, old) = sessions.create("ann", &ann()).await.unwrap();
    let (_, new) = sessions.rotate(&old, Grace::For(soon(400))).await.unwrap().value;
    assert_eq!(sessions.patch(&old, cart(1)).await.unwrap(), 3);
    assert!(sessions.touch(&old).await.is_ok());
    let edited = sessions.edit(&old, |login| login.visits += 1).await.unwrap();
    assert_eq!((edited.data().cart.as_slice(), edited.digest()), (&[1][..], new.digest()));
    // A second rotation by the old one goes on from the new one.
    let (token, newest) = sessions.rotate(&old, Grace::For(soon(400))).await.unwrap().value;
    assert_eq!(sessions.list("ann").await.unwrap().len(), 1);
    tokio::time::sleep(soon(450)).await;
    for handle in [&old, &new] {
        assert!(matches!(sessions.patch(handle, cart(2)).await, Err(SessionError::Gone)));
        assert!(matches!(sessions.touch(handle).await, Err(SessionError::Gone)));
        assert!(matches!(sessions.rotate(handle, Grace::None).await, Err(SessionError::Gone)));
    }
    assert!(sessions.patch(&newest, cart(3)).await.is_ok());
    assert!(sessions.load(&token).await.unwrap().is_some());
    // A logout is not too late.
    assert!(sessions.close(&old).await.unwrap().value);
    assert!(sessions.load(&token).await.unwrap().is_none());
    assert!(matches!(sessions.patch(&newest, cart(4)).await, Err(SessionError::Gone)));
}

#[tokio::test]
async fn a_logout_ends_what_was_rotated_without_grace() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    let (first, old) = sessions.create("ann", &ann()).await.unwrap();
    let (token, _) = sessions.rotate(&old, Grace::None).await.unwrap().value;
    assert!(sessions.load(&first).await.unwrap().is_none());
    assert!(matches!(sessions.touch(&old).await, Err(SessionError::Gone)));
    assert!(sessions.close(&old).await.unwrap().value);
    assert!(sessions.load(&token).await.unwrap().is_none());
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
async fn many_sessions_end_in_steps() {
    let (_node, net) = net().await;
    let sessions: Sessions<Login> = net.sessions("web").build().unwrap();
    for _ in 0..1203 {
        sessions.create("ann", &ann()).await.unwrap();
    }
    assert_eq!(sessions.list("ann").await.unwrap().len(), 1203);
    let few: Sessions<Login> =
        net.sessions("web").per_user(700, Over::EvictOldest).build().unwrap();
    few.create("ann", &ann()).await.unwrap();
    assert_eq!(sessions.list("ann").await.unwrap().len(), 700);
    assert_eq!(sessions.close_all("ann", None).await.unwrap().value, 700);
    assert!(sessions.list("ann").await.unwrap().is_empty());
}
