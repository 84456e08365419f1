//! The store for `tower-sessions` beside the one that is published for Redis: the same requests of one
//! session, which overlap in the same way.
//!
//! The published one writes a session as a whole, and takes a session that is gone for an answer that it
//! cannot read. It stands for its version's crate, ours for the next one's; requests are the same to both.

use std::sync::Arc;

use larder_client::adapters::tower_sessions::Store;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{Client, ClientLike, Config};

use crate::{connect, sites};

/// A session as a request has it.
trait Request: Sized {
    type Id: Copy;

    /// One that a browser sent the id of, or did not.
    fn new(store: &Self::Store, id: Option<Self::Id>) -> Self;
    type Store;

    fn id(&self) -> Option<Self::Id>;
    async fn set(&self, entry: &str);
    async fn has(&self, entry: &str) -> bool;
    /// Its answer goes out: a failure is one of the whole request.
    async fn finish(&self) -> Result<(), String>;
    async fn logout(&self);
}

macro_rules! request {
    ($core:ident, $store:ty) => {
        impl Request for $core::Session {
            type Id = $core::session::Id;
            type Store = $store;

            fn new(store: &Self::Store, id: Option<Self::Id>) -> Self {
                Self::new(id, Arc::new(store.clone()), None)
            }

            fn id(&self) -> Option<Self::Id> {
                self.id()
            }

            async fn set(&self, entry: &str) {
                self.insert(entry, true).await.expect("a node");
            }

            async fn has(&self, entry: &str) -> bool {
                self.get::<bool>(entry).await.expect("a node").is_some()
            }

            async fn finish(&self) -> Result<(), String> {
                self.save().await.map_err(|error| error.to_string())
            }

            async fn logout(&self) {
                self.delete().await.expect("a node");
            }
        }
    };
}

request!(tower_sessions, Store);
request!(tower_sessions_core_0_14, RedisStore<Client>);

/// What became of requests.
#[derive(Debug)]
struct Outcome {
    /// Whether the entry of each of two requests at once is there.
    kept: [bool; 2],
    /// A request that changed nothing, and saw the session before a logout that it outlasted.
    unchanged: Result<(), String>,
    /// The same that changed something.
    changed: Result<(), String>,
    /// Whether the session is there after its logout.
    is_back: bool,
}

async fn outcome<R: Request>(store: &R::Store) -> Outcome {
    let login = R::new(store, None);
    login.set("user").await;
    login.finish().await.expect("a new session");
    let id = login.id();
    let begin = async || {
        let request = R::new(store, id);
        assert!(request.has("user").await);
        request
    };
    let (cart, page) = (begin().await, begin().await);
    cart.set("cart").await;
    page.set("page").await;
    cart.finish().await.expect("a node");
    page.finish().await.expect("a node");
    let later = begin().await;
    let kept = [later.has("cart").await, later.has("page").await];
    let (reads, writes, logout) = (begin().await, begin().await, begin().await);
    writes.set("wish").await;
    logout.logout().await;
    let (unchanged, changed) = (reads.finish().await, writes.finish().await);
    let is_back = R::new(store, id).has("user").await;
    Outcome { kept, unchanged, changed, is_back }
}

#[tokio::test]
async fn ours_loses_nothing_and_says_what_is_gone() {
    for site in sites() {
        let store = Store::new(&connect(&site).await, "web");
        let outcome = outcome::<tower_sessions::Session>(&store).await;
        assert_eq!(outcome.kept, [true, true], "{outcome:?}");
        assert_eq!(outcome.unchanged, Ok(()), "a request that wanted nothing did not fail");
        assert!(outcome.changed.as_ref().is_err_and(|why| why.contains("gone")), "{outcome:?}");
        assert!(!outcome.is_back, "{outcome:?}");
    }
}

#[tokio::test]
async fn the_published_one_loses_an_entry_and_fails_requests() {
    for site in sites() {
        let url = format!("redis://{}", site[0].addr());
        let client = Client::new(Config::from_url(&url).expect("a URL"), None, None, None);
        client.init().await.expect("a node");
        let store = RedisStore::new(client.clone());
        let outcome = outcome::<tower_sessions_core_0_14::Session>(&store).await;
        assert_eq!(outcome.kept, [false, true], "{outcome:?}");
        assert!(outcome.unchanged.is_err() && outcome.changed.is_err(), "{outcome:?}");
        assert!(!outcome.is_back, "{outcome:?}");
        client.quit().await.expect("a node");
    }
}
