//! The store for `tower-sessions` under requests that race.

use larder_client::adapters::tower_sessions::Store;
use std::sync::Arc;
use tower_sessions::session::Id;
use tower_sessions::{Session, SessionStore};

/// Requests of one session at once.
const REQUESTS: usize = 8;
const ROUNDS: usize = 40;

fn session(store: &Store, id: Option<Id>) -> Session {
    Session::new(id, Arc::new(store.clone()), None)
}

/// Each request sets an entry of its own; some rounds have a logout among them. Gives how many
/// saves found the session gone.
async fn round(store: &Store, with_logout: bool) -> usize {
    let login = session(store, None);
    login.insert("user", "ada").await.expect("an entry");
    login.save().await.expect("a new session");
    let id = login.id().expect("its id");
    let requests: Vec<_> = (0..REQUESTS)
        .map(|request| {
            let session = session(store, Some(id));
            tokio::spawn(async move {
                session.load().await.expect("a node");
                if session.is_empty().await || session.get::<String>("user").await.ok()??.is_empty()
                {
                    return None;
                }
                session.insert(&format!("entry{request}"), request).await.expect("an entry");
                Some(session.save().await)
            })
        })
        .collect();
    if with_logout {
        tokio::task::yield_now().await;
        session(store, Some(id)).delete().await.expect("a node");
    }
    let mut gone = 0;
    for request in requests {
        match request.await.expect("a request") {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                assert!(with_logout && error.to_string().contains("gone"), "{error}");
                gone += 1;
            }
            None => assert!(with_logout, "the session was lost"),
        }
    }
    let left = store.load(&id).await.expect("a node");
    if with_logout {
        assert!(left.is_none(), "the session came back after the logout");
        return gone;
    }
    let left = left.expect("the session");
    for request in 0..REQUESTS {
        let entry = left.data.get(&format!("entry{request}"));
        assert_eq!(entry, Some(&serde_json::json!(request)), "an entry was lost");
    }
    gone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_entry_is_lost_and_no_session_comes_back() {
    for site in crate::sites() {
        let store = Store::new(&crate::connect(&site).await, "web");
        for number in 0..ROUNDS {
            round(&store, number % 2 == 0).await;
        }
    }
}
