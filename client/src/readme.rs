//! The README's examples, as they stand there.
//!
//! Each is compiled; none runs, since most speak of servers elsewhere. A test compares the texts.

#![allow(
    clippy::let_and_return,
    dead_code,
    unused_variables,
    reason = "the examples end where they have made their point"
)]

use crate::adapters::axum::{LoggedIn, SessionLayer, Visit};
use crate::cache::load::Loaded;
use crate::sessions::builder::Over;
use crate::sessions::data::SessionData;
use crate::sessions::{Grace, SessionError, cookie};
use crate::{Cache, Endpoints, Net, Sessions};
use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Redirect;
use axum::routing::post;
use larder_server::{Group, Node};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Serialize, Deserialize)]
struct User;

#[derive(Serialize, Deserialize)]
struct Page;

/// What the sessions of the second example that has them carry.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Login {
    cart: Vec<u32>,
}

impl SessionData for Login {}

struct Row {
    lsn: u64,
}

/// A database, which the examples only ask.
#[derive(Clone, Copy)]
struct Database;

impl Database {
    async fn user(self, _: u64) -> std::io::Result<Option<User>> {
        Ok(None)
    }

    async fn users(self, _: Vec<u64>) -> std::io::Result<HashMap<u64, Option<User>>> {
        Ok(HashMap::new())
    }

    async fn rename(self, _: u64, _: &str) -> std::io::Result<()> {
        Ok(())
    }

    async fn save(self, _: &User) -> std::io::Result<()> {
        Ok(())
    }

    async fn page(self, _: u64) -> std::io::Result<Page> {
        Ok(Page)
    }
}

fn unauthorized() -> Result<(), Error> {
    Err("nobody is logged in".into())
}

#[rustfmt::skip]
async fn connect() -> Result<(), Error> {
    let net = Net::builder()
        .endpoints(Endpoints::elasticache("my-group.xxxxxx.ng.0001.use1.cache.amazonaws.com:6379",
                                          "my-group-ro.xxxxxx.ng.0001.use1.cache.amazonaws.com:6379")?)
        .zone("us-east-1a")
        .connect().await?;
    let users: Cache<u64, User> = net.cache("users").build();
    drop(users);
    Ok(())
}

#[rustfmt::skip]
async fn read_through(users: Cache<u64, User>, db: Database, id: u64) -> Result<(), Error> {
    let user = users.fetch(&id, move |cx| async move { db.user(*cx.key()).await }).await?;   // Option<Arc<User>>
    drop(user);
    Ok(())
}

#[rustfmt::skip]
async fn change(users: Cache<u64, User>, db: Database, id: u64) -> Result<(), Error> {
    let load = move |_| async move { db.user(1).await };
    let (renamed, done) = users.after_commit(&id, db.rename(id, "Ada")).await?;
    let cookie = done.token.map(|token| token.to_string()).unwrap_or_default();              // 22 characters
    if let Ok(token) = cookie.parse() {
        let user = users.fetch(&id, load).after(token).await?;                               // elsewhere: reads its own write
    }
    let () = renamed;
    Ok(())
}

#[rustfmt::skip]
async fn write_through(users: Cache<u64, User>, db: Database, id: u64, user: User) -> Result<(), Error> {
    let (user, done) = users.write_through(&id, async { db.save(&user).await.map(|()| Some(user)) }).await?;
    drop((user, done));
    Ok(())
}

#[rustfmt::skip]
async fn tags(pages: Cache<u64, Page>, db: Database) -> Result<(), Error> {
    let load = move |_| async move { db.page(7).await.map(|page| Loaded::new(page).tags(["shop", "product:7"])) };
    let page = pages.fetch(&7, load).await?;
    pages.drop_tag("product:7").await;
    pages.clear().await;                                                                     // the whole namespace
    drop(page);
    Ok(())
}

#[rustfmt::skip]
async fn many(users: Cache<u64, User>, db: Database, ids: [u64; 2]) -> Result<(), Error> {
    let users = users.fetch_many(ids, |missing| db.users(missing)).await?;                   // both HashMap<u64, Option<..>>
    drop(users);
    Ok(())
}

#[rustfmt::skip]
async fn lagging(users: Cache<u64, User>, id: u64, row: Row) {
    users.invalidate(&id).hold_off(Duration::from_secs(2)).await;
    users.invalidate(&id).min_version(row.lsn).await;                // loaders say Loaded::new(user).version(lsn)
}

#[rustfmt::skip]
fn endpoints(node: Arc<Node>, group: Arc<Group>) -> Result<(), Error> {
    Endpoints::in_process(&node);                                    // a Larder node in this process (feature `embedded`)
    Endpoints::in_process(&group);                                   // or a whole group, followed through the deaths of its nodes
    Endpoints::single("localhost:6379")?;                            // one node
    Endpoints::nodes(["10.0.1.5:6379", "10.0.2.5", "10.0.3.5"])?;    // a group, whoever is the primary
    Endpoints::sentinel(["10.0.1.5:26379", "10.0.2.5:26379"], "main")?;
    Endpoints::elasticache("primary:6379", "reader:6379")?;          // and .tls(Tls::system()?).login("app", "secret")
    Ok(())
}

#[rustfmt::skip]
async fn sessions(net: Net, headers: &mut HeaderMap) -> Result<(), Error> {
    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Login { visits: u32, cart: Vec<u32> }
    impl SessionData for Login {}                                              // each field is one of a hash, in JSON

    let sessions: Sessions<Login> = net.sessions("web").per_user(5, Over::EvictOldest).build()?;
    let (token, session) = sessions.create("ann", &Login::default()).await?;   // at the login
    headers.insert(SET_COOKIE, cookie::set(&token, None).parse()?);
    let Some(session) = sessions.load(&token).await? else { return unauthorized() };
    sessions.patch(&session, |patch| { patch.set("cart", [3]); }).await?;      // Err(Gone) after a logout
    sessions.edit(&session, |login| login.visits += 1).await?;                 // compare and set, tried again
    let (token, session) = sessions.rotate(&session, Grace::None).await?.value;   // a change of privileges
    sessions.close(&session).await?;                                           // the logout
    sessions.close_all("ann", None).await?;
    let mut events = sessions.events().await?;                                 // created, rotated, closed, expired
    drop((token, events.next().await));
    Ok(())
}

#[rustfmt::skip]
fn axum(sessions: Sessions<Login>) -> Router {
    async fn log_in(visit: Visit<Login>) -> Result<Redirect, SessionError> {
        visit.log_in("ann", &Login::default()).await?;           // always a new token; the session there was ends
        Ok(Redirect::to("/"))
    }
    async fn add(mine: LoggedIn<Login>) -> Result<Redirect, SessionError> {         // 401 for whoever has no session
        mine.edit(|login| login.cart.push(3)).await?;            // 401 as well if it vanished meanwhile, 503 for an outage
        Ok(Redirect::to("/cart"))
    }
    let app = Router::new().route("/login", post(log_in)).route("/add", post(add)).layer(SessionLayer::new(&sessions));
    app
}

#[test]
fn the_examples_are_those_of_the_readme() {
    let lines = |text: &'static str| -> Vec<&'static str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    };
    let compiled = lines(include_str!("readme.rs"));
    let readme = include_str!("../README.md");
    let blocks: Vec<&str> = readme.split("```rust\n").skip(1).collect();
    assert_eq!(blocks.len(), 10);
    for block in blocks {
        let block = lines(block.split("```").next().unwrap_or_default());
        let is_there = compiled.windows(block.len()).any(|window| window == block);
        assert!(is_there, "not compiled as it stands: {block:#?}");
    }
}
