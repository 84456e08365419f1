//! A customer's way through the shop, on each database.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::Redis;

use crate::database::Database;
use crate::http::{Answer, Visitor};
use crate::process::Program;

/// More than a failover or a run of the load takes, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shop that runs.
pub(crate) struct Shop {
    program: Program,
    pub(crate) address: SocketAddr,
}

impl Shop {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder-shop"));
        for name in ["DATABASE_URL", "LARDER_ENDPOINT", "LARDER_ZONE", "LARDER_PASSWORD"] {
            command.env_remove(name);
        }
        command.env("SHOP_ADDRESS", "127.0.0.1:0").envs(environment.iter().copied());
        let mut program = Program::start(command, tempfile::tempdir().expect("a folder"));
        let address = program.line_after("http://").parse().expect("an address");
        Self { program, address }
    }

    /// It has to end well when it is asked to.
    pub(crate) fn end(mut self) {
        let status = self.program.end("TERM");
        assert!(status.success(), "{status}; log:\n{}", self.program.log());
    }
}

#[test]
fn on_sqlite_by_itself() {
    let shop = Shop::start(&[]);
    journey(&shop);
    shop.end();
}

#[test]
fn on_postgresql() {
    let database = Database::postgresql();
    let shop = Shop::start(&[("DATABASE_URL", &database.url)]);
    journey(&shop);
    shop.end();
    // A second start finds what the first one made.
    Shop::start(&[("DATABASE_URL", &database.url)]).end();
}

#[test]
fn on_mariadb() {
    let database = Database::mariadb();
    let shop = Shop::start(&[("DATABASE_URL", &database.url)]);
    journey(&shop);
    shop.end();
}

#[test]
fn two_shops_over_a_redis_are_one() {
    let redis = Redis::start();
    let endpoint = format!("redis://{}", redis.addr());
    let start = || Shop::start(&[("LARDER_ENDPOINT", &endpoint)]);
    let (one, other) = (start(), start());
    let mut ann = Visitor::of(one.address);
    log_in(&mut ann);
    assert_eq!(ann.post("/cart/add", "product=1").status, 303);
    let mut elsewhere = Visitor::of(other.address);
    elsewhere.cookies = ann.cookies.clone();
    assert!(elsewhere.get("/cart").body.contains("Assam tea"));
    let refused = ann.post("/status/kill", "");
    assert!(refused.header("location").ends_with("said=nozone"), "a Redis has no zones");
    assert_eq!(elsewhere.post("/logout", "").status, 303);
    assert_eq!(ann.get("/cart").status, 401);
}

fn log_in(visitor: &mut Visitor) {
    visitor.get("/login");
    let answer = visitor.post("/login", "name=ann&password=tea");
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    assert!(visitor.cookies.contains_key("__Host-sid"));
}

fn journey(shop: &Shop) {
    browse(shop);
    let mut ann = Visitor::of(shop.address);
    assert_eq!(ann.get("/cart").status, 401, "who is not logged in has no cart");
    refuse(&mut ann);
    log_in(&mut ann);
    let in_cart = fill_at_once(&ann);
    assert!(ann.get("/cart").body.contains(&format!("Cart ({in_cart})")));
    let in_cart = in_cart + kill_the_zone(&mut ann);
    assert!(ann.get("/cart").body.contains(&format!("Cart ({in_cart})")), "it is still there");
    judge_the_load(&mut ann);
    leave(&mut ann);
}

fn browse(shop: &Shop) {
    let mut visitor = Visitor::of(shop.address);
    let front = visitor.get("/");
    assert_eq!(front.body.matches("<li>").count(), 12);
    assert!(front.header("content-security-policy").contains("default-src 'none'"));
    assert!(front.body.contains("Loaded from the database."), "the first look");
    let again = visitor.get("/");
    assert!(again.body.contains("Answered by "), "{}", again.body);
    let product = visitor.get("/product/12");
    assert!(product.body.contains("San Marzano &lt;the real ones&gt;"), "text stays text");
    assert_eq!(visitor.get("/product/13").status, 404);
    assert_eq!(visitor.get("/product/x").status, 400);
    assert_eq!(visitor.get("/nowhere").status, 404);
    assert_eq!(visitor.get("/shop.css").status, 200);
}

/// What must not get in does not.
fn refuse(visitor: &mut Visitor) {
    visitor.get("/login");
    let forged = visitor.visit("POST", "/login", "token=x&name=ann&password=tea");
    assert_eq!(forged.status, 403);
    for wrong in ["name=ann&password=jam", "name=nobody&password=tea", "name=ann&password="] {
        assert_eq!(visitor.post("/login", wrong).status, 401, "{wrong}");
    }
    let long = format!("name=ann&password={}", "x".repeat(1 << 16));
    assert_eq!(visitor.post("/login", &long).status, 401);
    assert_eq!(visitor.post("/login", "name=ann").status, 400);
    assert!(!visitor.cookies.contains_key("__Host-sid"));
    assert_eq!(visitor.post("/cart/add", "product=1").status, 401);
}

/// Eight windows put things into the cart at once; gives how many.
fn fill_at_once(ann: &Visitor) -> u64 {
    let windows = (0..8u64).map(|window| {
        let mut ann = ann.clone();
        thread::spawn(move || {
            for _ in 0..3 {
                let wish = format!("product={}", window % 2 + 1);
                assert_eq!(ann.post("/cart/add", &wish).status, 303);
            }
        })
    });
    for window in windows.collect::<Vec<_>>() {
        window.join().expect("every addition is made");
    }
    24
}

/// Takes the power from the primary's zone and goes on buying until there is another primary; gives
/// how much was bought.
fn kill_the_zone(ann: &mut Visitor) -> u64 {
    let primary = |page: &Answer| {
        let row = page.body.split("<tr>").find(|row| row.contains("<td>primary</td>"));
        row.map(|row| row.split("</td>").next().unwrap_or_default().replace("<td>", ""))
    };
    let first = primary(&ann.get("/status")).expect("there is a primary");
    let killed = ann.post("/status/kill", "");
    assert!(killed.header("location").ends_with("said=killed"), "{killed:?}");
    let deadline = Instant::now() + PATIENCE;
    let mut bought = 0;
    loop {
        let added = ann.post("/cart/add", "product=3");
        assert_eq!(added.status, 303, "{}", added.body);
        bought += 1;
        let front = ann.get("/");
        assert_eq!(front.status, 200, "{}", front.body);
        let now = primary(&ann.get("/status"));
        if now.is_some_and(|now| now != first) {
            return bought;
        }
        assert!(Instant::now() < deadline, "{first} is the primary for ever");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing failed, nobody saw what was changed, nothing fell out of the load's own cart.
fn judge_the_load(ann: &mut Visitor) {
    let deadline = Instant::now() + PATIENCE;
    let page = loop {
        let page = ann.get("/status").body;
        if !page.contains("The load (running)") {
            break page;
        }
        assert!(Instant::now() < deadline, "the load does not end");
        thread::sleep(Duration::from_millis(200));
    };
    let row = |what: &str| -> (u64, u64) {
        let (_, row) = page.split_once(&format!("<td>{what}</td>")).expect("a row");
        let mut cells = row.split("<td class=\"number\">").skip(1);
        let mut cell = || cells.next()?.split('<').next()?.parse().ok();
        (cell().expect("a number"), cell().expect("a number"))
    };
    let marked = |id: &str| -> u64 {
        let (_, rest) = page.split_once(&format!("<b id=\"{id}\">")).expect("a number");
        rest.split('<').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let (reads, failed) = row("Reads");
    assert!(reads > 100 && failed == 0, "{reads} reads, {failed} failed");
    let (changes, failed) = row("Changes of a price");
    assert!(changes > 10 && failed == 0, "{changes} changes, {failed} failed");
    let (adds, failed) = row("Things put into a cart");
    assert!(adds > 10 && failed == 0, "{adds} adds, {failed} failed");
    assert_eq!(marked("stale"), 0, "nobody sees what is changed already");
    assert_eq!(marked("kept"), adds, "nothing falls out of a cart");
    let (hits, _) = page.split_once("Loads from the database").expect("a row");
    assert!(!hits.contains("<td>Hits</td><td class=\"number\">0<"), "the cache is of use");
}

/// After the logout neither the cookie nor a form is of use any more.
fn leave(ann: &mut Visitor) {
    let mut thief = ann.clone();
    assert_eq!(ann.get("/cart").header("cache-control"), "no-store");
    assert_eq!(ann.post("/logout", "").status, 303);
    assert!(!ann.cookies.contains_key("__Host-sid"), "the browser forgets it");
    assert!(ann.get("/").body.contains("Log in"));
    assert_eq!(thief.get("/cart").status, 401, "the old cookie stays out");
    assert_eq!(thief.post("/cart/add", "product=1").status, 401);
    assert!(thief.get("/").body.contains("Log in"));
}
