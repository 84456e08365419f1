//! The store under `tower-sessions` itself, and under a router of axum's.

use super::{BASE, Store};
use crate::{Endpoints, Net};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::routing::{get, post};
use larder_server::Node;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tower::ServiceExt;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Error;
use tower_sessions::{Session, SessionManagerLayer, SessionStore};

async fn store() -> (Arc<Node>, Net, Store) {
    let node = Arc::new(Node::builder().start().expect("it succeeds"));
    let net = Net::builder()
        .endpoints(Endpoints::in_process(&node))
        .connect()
        .await
        .expect("it succeeds");
    let store = Store::new(&net, "web");
    (node, net, store)
}

fn session(store: &Store, id: Option<Id>) -> Session {
    Session::new(id, Arc::new(store.clone()), None)
}

/// A stored session with these entries.
async fn stored(store: &Store, entries: &[(&str, i64)]) -> Id {
    let session = session(store, None);
    for (name, value) in entries {
        session.insert(name, value).await.expect("it succeeds");
    }
    session.save().await.expect("it succeeds");
    session.id().expect("it succeeds")
}

async fn entry(store: &Store, id: Id, name: &str) -> Option<i64> {
    session(store, Some(id)).get(name).await.expect("it succeeds")
}

#[tokio::test]
async fn requests_that_change_different_entries_lose_nothing() {
    let (_node, _net, store) = store().await;
    let id = stored(&store, &[("cart", 1), ("page", 1), ("old", 1)]).await;
    let (first, second) = (session(&store, Some(id)), session(&store, Some(id)));
    first.load().await.expect("it succeeds");
    second.load().await.expect("it succeeds");
    first.insert("cart", 2).await.expect("it succeeds");
    first.insert("new", 2).await.expect("it succeeds");
    second.insert("page", 2).await.expect("it succeeds");
    second.remove::<i64>("old").await.expect("it succeeds");
    first.save().await.expect("it succeeds");
    second.save().await.expect("it succeeds");
    let mut got = HashMap::new();
    for name in ["cart", "page", "new", "old"] {
        got.insert(name, entry(&store, id, name).await);
    }
    let expected = [("cart", Some(2)), ("page", Some(2)), ("new", Some(2)), ("old", None)];
    assert_eq!(got, HashMap::from(expected));
}

#[tokio::test]
async fn a_save_brings_nothing_back() {
    let (_node, _net, store) = store().await;
    let id = stored(&store, &[("cart", 1)]).await;
    let (changed, unchanged) = (session(&store, Some(id)), session(&store, Some(id)));
    changed.insert("cart", 2).await.expect("it succeeds");
    unchanged.load().await.expect("it succeeds");
    session(&store, Some(id)).delete().await.expect("it succeeds");
    let error = changed.save().await.unwrap_err();
    assert!(error.to_string().contains("the session is gone"), "{error}");
    unchanged.save().await.expect("it succeeds");
    assert!(store.load(&id).await.expect("it succeeds").is_none());
}

#[tokio::test]
async fn a_session_that_was_cleared_holds_nothing() {
    let (_node, _net, store) = store().await;
    let id = stored(&store, &[("cart", 1), ("page", 1)]).await;
    let cleared = session(&store, Some(id));
    cleared.load().await.expect("it succeeds");
    cleared.clear().await;
    cleared.insert("page", 3).await.expect("it succeeds");
    cleared.save().await.expect("it succeeds");
    assert_eq!(entry(&store, id, "cart").await, None);
    assert_eq!(entry(&store, id, "page").await, Some(3));
}

#[tokio::test]
async fn an_id_in_use_is_not_given_again() {
    let (_node, _net, store) = store().await;
    let id = stored(&store, &[("cart", 1)]).await;
    let expiry_date = OffsetDateTime::now_utc() + Duration::from_secs(60);
    let mut record = Record { id, data: HashMap::new(), expiry_date };
    store.create(&mut record).await.expect("it succeeds");
    assert_ne!(record.id, id);
    assert_eq!(entry(&store, id, "cart").await, Some(1));
    assert!(
        store
            .load(&record.id)
            .await
            .expect("it succeeds")
            .expect("it succeeds")
            .data
            .contains_key(BASE)
    );
}

#[tokio::test]
async fn records_end_at_their_date_and_hide_their_ids() {
    let (_node, net, store) = store().await;
    let expiry_date = OffsetDateTime::now_utc() + Duration::from_millis(300);
    let mut record = Record { id: Id::default(), data: HashMap::new(), expiry_date };
    store.create(&mut record).await.expect("it succeeds");
    assert!(store.load(&record.id).await.expect("it succeeds").is_some());
    let keys = net
        .command(&[b"KEYS", b"*"])
        .await
        .expect("it succeeds")
        .into_array()
        .expect("it succeeds");
    assert_eq!(keys.len(), 1);
    assert!(!keys[0].as_str().expect("it succeeds").contains(&record.id.to_string()));
    let peppered = store.clone().pepper("salt");
    assert!(peppered.load(&record.id).await.expect("it succeeds").is_none());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(store.load(&record.id).await.expect("it succeeds").is_none());
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let (_node, _net, store) = store().await;
    let session = session(&store, None);
    session.insert("cart", "x".repeat(super::MOST_BYTES)).await.expect("it succeeds");
    let error = session.save().await.unwrap_err();
    assert!(matches!(error, tower_sessions::session::Error::Store(Error::Encode(_))), "{error}");
}

/// A site with a login, a counter and a logout.
fn site(store: &Store) -> Router {
    let count = |session: Session| async move {
        let Some(count) = session.get::<u32>("count").await.expect("it succeeds") else {
            return (StatusCode::UNAUTHORIZED, String::new());
        };
        session.insert("count", count + 1).await.expect("it succeeds");
        (StatusCode::OK, count.to_string())
    };
    let login = |session: Session| async move {
        session.insert("count", 0).await.expect("it succeeds");
        session.cycle_id().await.expect("it succeeds");
    };
    Router::new()
        .route("/login", post(login))
        .route("/count", get(count))
        .route(
            "/logout",
            post(|session: Session| async move { session.flush().await.expect("it succeeds") }),
        )
        .layer(SessionManagerLayer::new(store.clone()))
}

async fn ask(site: &Router, method: &str, path: &str, cookie: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).header(header::COOKIE, cookie);
    let response = site
        .clone()
        .oneshot(request.body(Body::empty()).expect("it succeeds"))
        .await
        .expect("it succeeds");
    let set = response
        .headers()
        .get(header::SET_COOKIE)
        .map(|cookie| cookie.to_str().expect("it succeeds"));
    let cookie = set.and_then(|cookie| cookie.split(';').next()).unwrap_or_default().to_owned();
    (response.status(), cookie)
}

#[tokio::test]
async fn a_router_logs_in_counts_and_logs_out() {
    let (_node, _net, store) = store().await;
    let site = site(&store);
    assert_eq!(ask(&site, "GET", "/count", "").await.0, StatusCode::UNAUTHORIZED);
    let (status, cookie) = ask(&site, "POST", "/login", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(cookie.starts_with("id="), "{cookie}");
    for _ in 0..3 {
        assert_eq!(ask(&site, "GET", "/count", &cookie).await.0, StatusCode::OK);
    }
    let id: Id = cookie.trim_start_matches("id=").parse().expect("it succeeds");
    assert_eq!(entry(&store, id, "count").await, Some(3));
    let (_, renewed) = ask(&site, "POST", "/login", &cookie).await;
    assert_eq!(ask(&site, "GET", "/count", &cookie).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&site, "POST", "/logout", &renewed).await.0, StatusCode::OK);
    assert_eq!(ask(&site, "GET", "/count", &renewed).await.0, StatusCode::UNAUTHORIZED);
}
