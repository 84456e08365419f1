//! The programs that come with Redis, over TLS.

use std::process::Command;

use larder_tests::Authority;

use super::Secured;

/// Runs a program that comes with Redis against the TLS port.
fn run(program: &str, node: &Secured, args: &[&str]) -> String {
    // A redis-benchmark that cannot connect tries for ever.
    let output = Command::new("timeout")
        .args(["60", program, "--tls", "-h", "127.0.0.1", "-p", &node.tls.port().to_string()])
        .arg("--cacert")
        .arg(node.path("ca.crt"))
        .args(args)
        .output()
        .expect("the program runs; tests/run installs what is missing");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn redis_cli_works() {
    let node = Secured::start();
    assert_eq!(run("redis-cli", &node, &["SET", "key", "value"]).trim(), "OK");
    assert_eq!(run("redis-cli", &node, &["-3", "GET", "key"]).trim(), "value");
    let scanned = run("redis-cli", &node, &["--scan"]);
    assert_eq!(scanned.trim(), "key");
}

#[test]
fn redis_cli_shows_a_certificate() {
    let node = Secured::with(&["--tls-auth-clients", "yes"]);
    node.authority.write(node.folder.path(), "client");
    let path = |name: &str| node.path(name).display().to_string();
    let (own, key) = (path("client.crt"), path("client.key"));
    let with = ["--cert", own.as_str(), "--key", key.as_str(), "PING"];
    assert_eq!(run("redis-cli", &node, &with).trim(), "PONG");
    assert_ne!(run("redis-cli", &node, &["PING"]).trim(), "PONG");
    Authority::new().write(&node.path("."), "foreign");
    let (own, key) = (path("foreign.crt"), path("foreign.key"));
    let with = ["--cert", own.as_str(), "--key", key.as_str(), "PING"];
    assert_ne!(run("redis-cli", &node, &with).trim(), "PONG");
}

#[test]
fn redis_benchmark_works() {
    let node = Secured::start();
    let args = ["-t", "set,get,lrange_100", "-n", "2000", "-c", "20", "-P", "16", "-q"];
    let shown = run("redis-benchmark", &node, &args);
    for test in ["SET: ", "GET: ", "LRANGE_100"] {
        assert!(shown.contains(test), "{shown}");
    }
    assert!(!shown.contains("Error"), "{shown}");
}
