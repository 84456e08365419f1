//! A customer with a real browser: Chromium, moved over WebDriver.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::http::send;
use crate::journey::Shop;
use crate::process::{Program, find};

/// More than a page or a failover takes, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A screenshot that is larger than this is not worth keeping.
const MOST_BYTES: usize = 150_000;
/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser.
struct Browser {
    driver: SocketAddr,
    session: String,
    _program: Program,
}

impl Browser {
    fn open() -> Self {
        // A driver takes a free port of IPv6 and then the same of IPv4, which another may have.
        let opened = (0..10).find_map(|_| Self::start_driver());
        let (program, driver, profile) = opened.expect("a port that is free in both");
        let options = json!({
            "binary": find("chromium", &[]),
            // It sees no page but ours; its sandbox needs rights that a container may not give.
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=900,1420", profile],
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options } } });
        let opened = ask(driver, "POST", "/session", &wanted);
        let session = opened["sessionId"].as_str().expect("a session").to_owned();
        Self { driver, session, _program: program }
    }

    /// A driver, where it listens, and the option that names its profile; nothing if it does not start.
    fn start_driver() -> Option<(Program, SocketAddr, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let mut command = Command::new(find("chromedriver", &[]));
        command.arg("--port=0").env("TMPDIR", folder.path());
        let mut program = Program::start(command, folder);
        let port = program.try_line_after("started successfully on port ")?;
        let port = port.trim_end_matches('.').parse().expect("a port");
        Some((program, SocketAddr::from(([127, 0, 0, 1], port)), profile))
    }

    fn ask(&self, method: &str, what: &str, body: &Value) -> Value {
        ask(self.driver, method, &format!("/session/{}/{what}", self.session), body)
    }

    fn go(&self, to: &str) {
        self.ask("POST", "url", &json!({ "url": to }));
    }

    fn back(&self) {
        self.ask("POST", "back", &json!({}));
    }

    /// Does something to the element that a CSS selector names.
    fn act(&self, selector: &str, action: &str, body: &Value) {
        let found =
            self.ask("POST", "element", &json!({ "using": "css selector", "value": selector }));
        let element = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {found}"));
        self.ask("POST", &format!("element/{element}/{action}"), body);
    }

    fn click(&self, selector: &str) {
        self.act(selector, "click", &json!({}));
    }

    fn write(&self, selector: &str, text: &str) {
        self.act(selector, "value", &json!({ "text": text }));
    }

    /// What the page shows.
    fn text(&self) -> String {
        let script = json!({ "script": "return document.body.innerText", "args": [] });
        self.ask("POST", "execute/sync", &script).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows something.
    #[track_caller]
    fn wait_for(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "never seen: {what}; the page shows\n{text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn screenshot(&self) -> Vec<u8> {
        let image = self.ask("GET", "screenshot", &Value::Null);
        let image = image.as_str().expect("an image");
        base64::engine::general_purpose::STANDARD.decode(image).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser with it only when it is asked to.
        let _ = send(self.driver, "DELETE", &format!("/session/{}", self.session), &[], "");
    }
}

/// One command of WebDriver; gives its value.
#[track_caller]
fn ask(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("Content-Type", "application/json")];
    let answer = send(driver, method, path, &headers, &body).expect("the driver answers");
    let mut value: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(answer.status, 200, "{method} {path}: {value}");
    value["value"].take()
}

/// The name of the primary, by the page about the status.
fn primary(text: &str) -> Option<&str> {
    let row = text.lines().find(|line| line.contains("\tprimary\t"))?;
    row.split('\t').next()
}

#[test]
fn a_browser_keeps_its_cart_when_the_zone_dies_and_stays_out_after_the_logout() {
    let shop = Shop::start(&[]);
    let at = |path: &str| format!("http://{}{path}", shop.address);
    let browser = Browser::open();

    browser.go(&at("/"));
    browser.click("#login");
    browser.write("input[name=name]", "ann");
    browser.write("input[name=password]", "tea");
    browser.click(".fields button");
    browser.wait_for("the login", |text| text.contains("Log out"));

    browser.go(&at("/product/5"));
    browser.click("form[action='/cart/add'] button");
    browser
        .wait_for("the cart", |text| text.contains("Chestnut honey") && text.contains("Cart (1)"));

    browser.go(&at("/status"));
    let before = browser.text();
    let first = primary(&before).expect("there is a primary");
    browser.click("form[action='/status/kill'] button");
    // The page looks again by itself while the load runs.
    let another = |text: &str| primary(text).is_some_and(|now| now != first);
    browser.wait_for("another primary", another);
    browser.wait_for("the end of the load", |text| !text.contains("(running)"));
    let image = browser.screenshot();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shop.png");
    std::fs::write(&path, &image).expect("a folder to write to");
    assert!(image.starts_with(b"\x89PNG") && image.len() < MOST_BYTES, "{} bytes", image.len());

    browser.go(&at("/cart"));
    let cart = browser.text();
    assert!(cart.contains("Chestnut honey") && cart.contains("Cart (1)"), "{cart}");

    browser.click("form[action='/logout'] button");
    browser.wait_for("the logout", |text| text.contains("Log in") && !text.contains("Log out"));
    browser.back();
    let text = browser.wait_for("the page before", |text| text.contains("You are not logged in."));
    assert!(!text.contains("Chestnut honey"), "{text}");
    drop(browser);
    shop.end();
}
