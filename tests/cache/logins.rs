//! What sessions do, the same on every make of server.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_client::sessions::builder::{Over, SessionsBuilder};
use larder_client::sessions::data::SessionData;
use larder_client::sessions::events::Event;
use larder_client::sessions::token::SessionToken;
use larder_client::sessions::{Done, Grace, Patch, Session, SessionError};
use larder_client::{Endpoints, Net, Sessions, Target};
use serde::{Deserialize, Serialize};

use crate::site::everywhere;

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

/// Sessions that are read at the primary: where several read, a replica may be behind.
fn web<T>(net: &Net) -> SessionsBuilder<T> {
    net.sessions("web").read_from(Target::Primary)
}

fn soon(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_session_from_login_to_logout() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).build().unwrap();
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
        assert_eq!(
            (edited.version(), edited.data().visits, &edited.data().cart[..]),
            (3, 1, &[3][..])
        );
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
    });
}

#[test]
fn a_token_is_nowhere_in_the_data_set() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).pepper("secret").build().unwrap();
        let (token, _) = sessions.create("ann", &ann()).await.unwrap();
        let keys = net.read(&[b"KEYS", b"*"], Target::Primary).await.unwrap();
        let keys: Vec<String> =
            keys.into_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        let keys = keys.join(" ");
        assert!(!keys.contains(&token.reveal()) && keys.contains("}:s:"));
        assert!(sessions.load(&SessionToken::random()).await.unwrap().is_none());
        let unpeppered: Sessions<Login> = web(&net).build().unwrap();
        assert!(unpeppered.load(&token).await.unwrap().is_none());
    });
}

#[test]
fn deadlines_are_the_servers() {
    everywhere(async |net| {
        let builder = web::<Login>(&net).idle(soon(1000)).absolute(soon(2500));
        let sessions = builder.touch_every(Duration::ZERO).build().unwrap();
        let (idle, _) = sessions.create("ann", &ann()).await.unwrap();
        let (used, _) = sessions.create("ann", &ann()).await.unwrap();
        let began = tokio::time::Instant::now();
        while began.elapsed() < soon(2000) {
            if let Some(session) = sessions.load(&used).await.unwrap() {
                assert!(session.remaining() <= soon(1000));
            } else {
                assert!(began.elapsed() > soon(1000), "a stall of this machine at least");
            }
            tokio::time::sleep(soon(20)).await;
        }
        assert!(sessions.load(&idle).await.unwrap().is_none());
        tokio::time::sleep(soon(600)).await;
        assert!(sessions.load(&used).await.unwrap().is_none(), "its time in all is over");
        assert!(sessions.list("ann", None).await.unwrap().is_empty());
    });
}

#[test]
fn rotation_leads_from_the_old_token_for_a_while() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).build().unwrap();
        let (first, session) = sessions.create("ann", &ann()).await.unwrap();
        let Done { value: (second, session), .. } =
            sessions.rotate(&session, Grace::For(soon(2000))).await.unwrap();
        let by_first = sessions.load(&first).await.unwrap().unwrap();
        assert_eq!(by_first.digest(), session.digest());
        assert_eq!(sessions.load(&second).await.unwrap().unwrap().version(), 2);
        tokio::time::sleep(soon(2100)).await;
        assert!(sessions.load(&first).await.unwrap().is_none());
        let Done { value: (third, _), .. } = sessions.rotate(&session, Grace::None).await.unwrap();
        assert!(sessions.load(&second).await.unwrap().is_none());
        assert!(sessions.load(&third).await.unwrap().is_some());
        assert_eq!(sessions.list("ann", None).await.unwrap().len(), 1);
    });
}

#[test]
fn a_user_has_so_many_sessions_and_may_end_all() {
    everywhere(async |net| {
        let few: Sessions<Login> = web(&net).per_user(2, Over::EvictOldest).build().unwrap();
        let mut tokens = Vec::new();
        for label in ["one", "two", "three"] {
            tokens.push(few.create_labelled("ann", &ann(), label).await.unwrap().0);
            tokio::time::sleep(soon(3)).await;
        }
        assert!(few.load(&tokens[0]).await.unwrap().is_none(), "the oldest went");
        let labels: Vec<String> =
            few.list("ann", None).await.unwrap().into_iter().map(|entry| entry.label).collect();
        assert_eq!(labels, ["three", "two"]);
        let strict: Sessions<Login> = web(&net).per_user(2, Over::Reject).build().unwrap();
        assert!(matches!(strict.create("ann", &ann()).await, Err(SessionError::TooMany)));
        let kept = few.load(&tokens[2]).await.unwrap().unwrap();
        assert_eq!(few.close_all("ann", Some(&kept)).await.unwrap().value, 1);
        assert!(few.load(&tokens[1]).await.unwrap().is_none());
        assert!(few.load(&tokens[2]).await.unwrap().is_some(), "the one that was to be kept");
        assert_eq!(few.close_all("ann", None).await.unwrap().value, 1);
        assert!(few.load(&tokens[2]).await.unwrap().is_none());
        let (again, _) = few.create("ann", &ann()).await.unwrap();
        assert!(few.load(&again).await.unwrap().is_some(), "one that begins later is not meant");
    });
}

#[test]
fn what_happens_is_told() {
    everywhere(async |net| {
        let builder = web::<Login>(&net).idle(soon(3000)).absolute(soon(4000));
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
            let told = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap();
            assert_eq!(told, event);
        }
        // The server has told of the third already.
        let (_, fourth) = sessions.create("bob of b", &third.data().clone()).await.unwrap();
        let created = Event::Created { digest: digest(&fourth), user: "bob of b".to_owned() };
        assert_eq!(events.next().await, created);
    });
}

#[test]
fn what_expires_is_told_once_where_the_server_tells_nothing() {
    everywhere(async |net| {
        let rule = "ACL SETUSER app on >secret ~* &* +@all -config";
        let rule: Vec<&[u8]> = rule.split(' ').map(str::as_bytes).collect();
        net.command(&rule).await.unwrap();
        let primary = net.nodes().into_iter().find(|node| node.is_primary).unwrap().node;
        let endpoints = Endpoints::single(&primary).unwrap();
        let app = Net::builder().endpoints(endpoints).login("app", "secret").connect().await;
        let app = app.unwrap();
        let sessions = web::<Login>(&app).idle(soon(1000)).build().unwrap();
        let mut listeners = [sessions.events().await.unwrap(), sessions.events().await.unwrap()];
        for events in &mut listeners {
            assert_eq!(events.next().await, Event::Gap, "the subscription stands");
        }
        let digest = async |user| sessions.create(user, &ann()).await.unwrap().1.digest().clone();
        let mut over = [digest("ann").await, digest("ann").await, digest("bob").await];
        over.sort();
        let (_, closed) = sessions.create("cid", &ann()).await.unwrap();
        sessions.close(&closed).await.unwrap();
        eventually_async(async || {
            let indexes = app.read(&[b"KEYS", b"web:*:u"], Target::Primary).await.unwrap();
            indexes.into_array().unwrap().is_empty()
        })
        .await;
        let last = digest("ann").await;
        for events in &mut listeners {
            let mut told = Vec::new();
            loop {
                match events.next().await {
                    Event::Expired { digest } => told.push(digest),
                    Event::Created { digest, .. } if digest == last => break,
                    _ => {}
                }
            }
            told.sort();
            assert_eq!(told, over);
        }
    });
}

/// Waits until something holds.
async fn eventually_async(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(soon(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it holds in time");
}

#[test]
fn sizes_names_and_schemas_are_checked() {
    everywhere(async |net| {
        let small: Sessions<Login> = web(&net).most_bytes(100).build().unwrap();
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
        let other: Sessions<Other> = web(&net).build().unwrap();
        assert!(other.load(&token).await.unwrap().is_none(), "another schema");
        assert!(net.sessions::<Login>("a b").build().is_err());
        assert!(web::<Login>(&net).idle(soon(1)).build().is_err());
        assert!(web::<Login>(&net).absolute(soon(100)).build().is_err());
    });
}

#[test]
fn fields_that_change_at_once_are_all_there() {
    everywhere(async |net| {
        type Data = BTreeMap<String, u32>;
        let sessions: Sessions<Data> = web(&net).build().unwrap();
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
    });
}

#[test]
fn a_handle_from_before_a_rotation_leads_on() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).build().unwrap();
        let cart = |number: u32| {
            move |patch: &mut Patch| {
                patch.set("cart", [number]);
            }
        };
        let (_, old) = sessions.create("ann", &ann()).await.unwrap();
        let (_, new) = sessions.rotate(&old, Grace::For(soon(3000))).await.unwrap().value;
        assert_eq!(sessions.patch(&old, cart(1)).await.unwrap(), 3);
        assert!(sessions.touch(&old).await.is_ok());
        let edited = sessions.edit(&old, |login| login.visits += 1).await.unwrap();
        assert_eq!((edited.data().cart.as_slice(), edited.digest()), (&[1][..], new.digest()));
        // A second rotation by the old one goes on from the new one.
        let (token, newest) = sessions.rotate(&old, Grace::For(soon(3000))).await.unwrap().value;
        assert_eq!(sessions.list("ann", None).await.unwrap().len(), 1);
        tokio::time::sleep(soon(3100)).await;
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
    });
}

/// Has a session be as old as the epoch, for all but its deadlines.
async fn age(net: &Net, field: &[u8]) {
    let keys = net.read(&[b"KEYS", b"web:*:s:*"], Target::Primary).await.expect("a server");
    for key in keys.into_array().expect("names") {
        let key = key.as_bytes().expect("a name");
        net.write(&[b"HSET", key, field, b"1"]).await.expect("a server");
    }
}

#[test]
fn a_token_is_replaced_after_its_time_by_one_request() {
    everywhere(async |net| {
        let builder = web::<Login>(&net).rotate_every(Duration::from_secs(1800));
        let sessions = builder.build().unwrap();
        let (first, _) = sessions.create("ann", &ann()).await.unwrap();
        assert_eq!(sessions.load(&first).await.unwrap().unwrap().renewed(), None);
        age(&net, b"_c").await;
        let off: Sessions<Login> = web(&net).build().unwrap();
        assert_eq!(off.load(&first).await.unwrap().unwrap().renewed(), None);
        assert_eq!(sessions.peek(&first).await.unwrap().unwrap().renewed(), None, "no use");
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (sessions, first) = (sessions.clone(), first.clone());
            requests.spawn(async move { sessions.load(&first).await.unwrap().unwrap() });
        }
        let tokens: Vec<SessionToken> = requests
            .join_all()
            .await
            .iter()
            .filter_map(|loaded| loaded.renewed().cloned())
            .collect();
        let [second] = &tokens[..] else { panic!("{} new tokens", tokens.len()) };
        let (new, old) =
            (sessions.load(second).await.unwrap(), sessions.load(&first).await.unwrap());
        let (new, old) = (new.unwrap(), old.unwrap());
        assert_eq!((new.digest(), new.version(), new.renewed()), (old.digest(), 2, None));
        age(&net, b"_i").await;
        let third = sessions.load(second).await.unwrap().unwrap();
        assert!(third.renewed().is_some_and(|third| third != second), "once more in its time");
        assert_eq!(sessions.list("ann", None).await.unwrap().len(), 1);
    });
}

#[test]
fn one_at_a_time_has_a_session_locked() {
    everywhere(async |net| {
        let minute = Duration::from_secs(60);
        let sessions: Sessions<Login> = web(&net).build().unwrap();
        let (token, begun) = sessions.create("ann", &ann()).await.unwrap();
        let locked = sessions.lock(&begun, minute).await.unwrap();
        assert_eq!((locked.version(), locked.data()), (2, &ann()));
        let is_busy = async |session: &Session<Login>| match sessions.lock(session, minute).await {
            Err(SessionError::Busy { remaining }) => remaining <= minute,
            _ => false,
        };
        assert!(is_busy(&begun).await);
        let edited = sessions.edit(&begun, |login| login.visits += 1).await.unwrap();
        assert_eq!(edited.version(), 3, "who does not lock is not kept out");
        let rotated = sessions.rotate(&begun, Grace::default()).await.unwrap().value.1;
        assert!(is_busy(&rotated).await, "it goes with the session");
        sessions.unlock(locked).await.unwrap();
        let slow = sessions.lock(&rotated, soon(1)).await.unwrap();
        tokio::time::sleep(soon(50)).await;
        let next = sessions.lock(&rotated, minute).await.expect("it ended by itself");
        assert!(next.version() > slow.version());
        let late = sessions.compare_and_set(&slow, &ann()).await;
        assert!(matches!(late, Err(SessionError::Conflict { .. })), "{late:?}");
        sessions.unlock(slow).await.unwrap();
        assert!(is_busy(&rotated).await, "nobody gives back what is another's");
        assert_eq!(sessions.compare_and_set(&next, &ann()).await.unwrap(), next.version() + 1);
        sessions.close(&rotated).await.unwrap();
        sessions.unlock(next).await.expect("no error for what is gone");
        assert!(matches!(sessions.lock(&rotated, minute).await, Err(SessionError::Gone)));
        assert!(sessions.load(&token).await.unwrap().is_none());
    });
}

#[test]
fn a_list_knows_who_asks() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).build().unwrap();
        let (_, old) = sessions.create_labelled("ann", &ann(), "mine").await.unwrap();
        sessions.create_labelled("ann", &ann(), "another").await.unwrap();
        let (_, stranger) = sessions.create("bob", &ann()).await.unwrap();
        let current = async |handle| {
            let entries = sessions.list("ann", handle).await.unwrap();
            assert_eq!(entries.len(), 2);
            let current = entries.into_iter().filter(|entry| entry.is_current);
            current.map(|entry| entry.label).collect::<Vec<_>>()
        };
        assert_eq!(current(Some(&old)).await, ["mine"]);
        sessions.rotate(&old, Grace::default()).await.unwrap();
        assert_eq!(current(Some(&old)).await, ["mine"], "by a handle from before the rotation");
        assert!(current(Some(&stranger)).await.is_empty() && current(None).await.is_empty());
    });
}

#[test]
fn a_logout_ends_what_was_rotated_without_grace() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).build().unwrap();
        let (first, old) = sessions.create("ann", &ann()).await.unwrap();
        let (token, _) = sessions.rotate(&old, Grace::None).await.unwrap().value;
        assert!(sessions.load(&first).await.unwrap().is_none());
        assert!(matches!(sessions.touch(&old).await, Err(SessionError::Gone)));
        assert!(sessions.close(&old).await.unwrap().value);
        assert!(sessions.load(&token).await.unwrap().is_none());
    });
}

#[test]
fn many_sessions_end_in_steps() {
    everywhere(async |net| {
        let sessions: Sessions<Login> = web(&net).build().unwrap();
        for _ in 0..1203 {
            sessions.create("ann", &ann()).await.unwrap();
        }
        assert_eq!(sessions.list("ann", None).await.unwrap().len(), 1203);
        let few: Sessions<Login> = web(&net).per_user(700, Over::EvictOldest).build().unwrap();
        few.create("ann", &ann()).await.unwrap();
        assert_eq!(sessions.list("ann", None).await.unwrap().len(), 700);
        assert_eq!(sessions.close_all("ann", None).await.unwrap().value, 700);
        assert!(sessions.list("ann", None).await.unwrap().is_empty());
    });
}
