//! Requests and responses of an application whose sessions are on a node in this process.

use super::{LoggedIn, SessionLayer, Visit};
use crate::sessions::builder::SessionsBuilder;
use crate::sessions::token::SessionToken;
use crate::sessions::{Grace, Patch, SessionError, Sessions};
use crate::{Endpoints, Net};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use larder_server::Node;
use larder_server::config::DirectiveOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

type Cart = BTreeMap<String, u32>;

async fn log_in(visit: Visit<Cart>) -> Result<(), SessionError> {
    visit.log_in("ann", &Cart::new()).await.map(drop)
}

async fn log_out(visit: Visit<Cart>) -> Result<(), SessionError> {
    visit.log_out().await
}

async fn who(mine: Option<LoggedIn<Cart>>) -> String {
    mine.map_or("nobody".to_owned(), |mine| mine.user().to_owned())
}

async fn add(mine: LoggedIn<Cart>) -> Result<String, SessionError> {
    let edited = mine.edit(|cart| *cart.entry("tea".to_owned()).or_default() += 1).await?;
    Ok(edited.data()["tea"].to_string())
}

/// Somebody logs out in another window while the request is under way.
async fn too_late(mine: LoggedIn<Cart>) -> Result<(), SessionError> {
    mine.visit().sessions().close(&mine).await?;
    let set = |patch: &mut Patch| _ = patch.set("tea", 1);
    mine.patch(set).await.map(drop)
}

/// A login whose page cannot be made.
async fn half(visit: Visit<Cart>) -> Result<StatusCode, SessionError> {
    visit.rotate(Grace::None).await?;
    Ok(StatusCode::INTERNAL_SERVER_ERROR)
}

struct Site {
    app: Router,
    sessions: Sessions<Cart>,
    _node: Arc<Node>,
}

async fn site() -> Site {
    site_with(|sessions| sessions).await
}

async fn site_with(wish: fn(SessionsBuilder<Cart>) -> SessionsBuilder<Cart>) -> Site {
    let node = Arc::new(Node::builder().threads(1).start().expect("it starts"));
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await;
    let sessions = wish(net.expect("it connects").sessions("web"));
    let sessions = sessions.build().expect("sound settings");
    let app = Router::new()
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/who", get(who))
        .route("/add", post(add))
        .route("/late", post(too_late))
        .route("/half", post(half))
        .route("/static", get(async || "a picture"))
        .layer(SessionLayer::new(&sessions).max_age(Duration::from_secs(60)));
    Site { app, sessions, _node: node }
}

impl Site {
    async fn send(&self, method: &str, path: &str, cookie: &str) -> Response {
        let request = Request::builder().method(method).uri(path).header(COOKIE, cookie);
        let request = request.body(Body::empty()).expect("a request");
        self.app.clone().oneshot(request).await.expect("a router does not fail")
    }

    async fn log_in(&self, before: &str) -> String {
        cookie(&self.send("POST", "/login", before).await).expect("a login sets the cookie")
    }

    async fn who(&self, cookie: &str) -> String {
        text(self.send("GET", "/who", cookie).await).await
    }
}

/// The cookie that a browser would send back.
fn cookie(response: &Response) -> Option<String> {
    let line = response.headers().get(SET_COOKIE)?.to_str().expect("a line of text");
    assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age="), "{line}");
    Some(line.split(';').next().expect("a value").to_owned())
}

async fn text(response: Response) -> String {
    let body = to_bytes(response.into_body(), 1 << 16).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn from_login_to_logout() {
    let site = site().await;
    assert_eq!(site.who("").await, "nobody");
    assert_eq!(site.send("POST", "/add", "").await.status(), StatusCode::UNAUTHORIZED);
    let mine = site.log_in("theme=dark").await;
    assert_eq!(site.who(&format!("theme=dark; {mine}")).await, "ann");
    assert_eq!(text(site.send("POST", "/add", &mine).await).await, "1");
    assert_eq!(text(site.send("POST", "/add", &mine).await).await, "2");
    let bye = site.send("POST", "/logout", &mine).await;
    assert_eq!(cookie(&bye).as_deref(), Some("__Host-sid="), "the cookie is taken back");
    assert_eq!(site.who(&mine).await, "nobody", "the old one is worth nothing");
    assert_eq!(site.send("POST", "/logout", &mine).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_login_ends_what_there_was_and_takes_no_token_from_outside() {
    let site = site().await;
    let planted = format!("__Host-sid={}", SessionToken::random().reveal());
    let first = site.log_in(&planted).await;
    assert_ne!(first, planted);
    let second = site.log_in(&first).await;
    assert_ne!(second, first);
    assert_eq!(site.who(&first).await, "nobody");
    assert_eq!(site.who(&second).await, "ann");
    assert_eq!(site.sessions.list("ann", None).await.expect("an answer").len(), 1);
}

#[tokio::test]
async fn data_that_cannot_be_read_keep_nobody_in_or_out() {
    let site = site().await;
    let net = Net::builder().endpoints(Endpoints::in_process(&site._node)).connect().await;
    let former = net.expect("it connects").sessions::<BTreeMap<String, String>>("web").build();
    let former = former.expect("sound settings");
    let data = BTreeMap::from([("tea".to_owned(), "one".to_owned())]);
    for path in ["/login", "/logout"] {
        let (token, _) = former.create("ann", &data).await.expect("an answer");
        let before = format!("__Host-sid={}", token.reveal());
        let seen = site.send("GET", "/who", &before).await;
        assert_eq!(seen.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let response = site.send("POST", path, &before).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(former.load(&token).await.expect("an answer").is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_session_that_vanishes_under_a_request_is_a_401() {
    let site = site().await;
    let mine = site.log_in("").await;
    let late = site.send("POST", "/late", &mine).await;
    assert_eq!(late.status(), StatusCode::UNAUTHORIZED);
    assert!(text(late).await.is_empty());
    assert_eq!(site.who(&mine).await, "nobody", "nothing brought it back");
}

#[tokio::test]
async fn a_new_token_goes_out_with_an_error_as_well() {
    let site = site().await;
    let mine = site.log_in("").await;
    let failed = site.send("POST", "/half", &mine).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let next = cookie(&failed).expect("the new token");
    assert_eq!(site.who(&next).await, "ann");
    assert_eq!(site.who(&mine).await, "nobody");
}

#[tokio::test]
async fn a_token_that_was_renewed_goes_out_by_itself() {
    let site = site_with(|sessions| sessions.rotate_every(Duration::ZERO)).await;
    let first = site.log_in("").await;
    let second = cookie(&site.send("GET", "/who", &first).await).expect("another token");
    assert_ne!(first, second);
    assert_eq!((site.who(&second).await, site.who(&first).await), ("ann".into(), "ann".into()));
    let picture = site.send("GET", "/static", &second).await;
    assert_eq!(cookie(&picture), None, "it was not looked up");
}

#[tokio::test]
async fn only_what_a_session_went_into_is_kept_by_no_cache() {
    let site = site().await;
    let mine = site.log_in("").await;
    let response = site.send("GET", "/who", &mine).await;
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    let picture = site.send("GET", "/static", &mine).await;
    assert!(!picture.headers().contains_key(CACHE_CONTROL));
}

#[tokio::test]
async fn without_the_layer_or_the_nodes_it_says_so() {
    let bare = Router::new().route("/who", get(who));
    let request = Request::get("/who").body(Body::empty()).expect("a request");
    let response = bare.oneshot(request).await.expect("a router does not fail");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

    let silent = Endpoints::single("127.0.0.1:1").expect("an address");
    let net = Net::builder().endpoints(silent).failover_timeout(Duration::ZERO).start();
    let sessions = net.expect("sound settings").sessions::<Cart>("web").build();
    let layer = SessionLayer::new(&sessions.expect("sound settings"));
    let app = Router::new().route("/who", get(who)).layer(layer);
    let cookie = format!("__Host-sid={}", SessionToken::random().reveal());
    let request = Request::get("/who").header(COOKIE, cookie).body(Body::empty());
    let response = app.oneshot(request.expect("a request")).await.expect("a router does not fail");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}
