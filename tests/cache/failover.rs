//! The client follows nodes: through promotions, silences, names that move, Sentinels.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use larder_client::{Cache, Credentials, Endpoints, Error, Message, Net, Sessions, Target, Tls};
use larder_tests::cluster::Cluster;
use larder_tests::{Authority, Redis, Server, eventually};
use parking_lot::Mutex;

use crate::site::{MAKES, Make, Site};

/// More than any failover takes, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// Writes until it is written.
async fn write(net: &Net, value: &str) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = net.write(&[b"SET", b"key", value.as_bytes()]).await {
        assert!(error.is_failover(), "{error}");
        assert!(Instant::now() < deadline, "nobody took it: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_promotion_costs_no_write() {
    for make in MAKES {
        let site = Site::pair(make);
        runtime().block_on(async {
            let net = site.net().await;
            let mut heard = net.subscribe(["news"]);
            assert_eq!(heard.next().await, Message::Gap);
            net.write(&[b"SET", b"key", b"before"]).await.expect("a primary");
            let epoch = net.epoch();
            tokio::task::block_in_place(|| {
                site.run(1, "REPLICAOF NO ONE");
                site.follow(0, 1);
            });
            // The old one answers READONLY: the same call finds the new one.
            net.write(&[b"SET", b"key", b"after"]).await.expect("the new primary");
            assert!(site.run(1, "GET key").contains("after"));
            net.epoch_after(epoch).await;
            // The subscription moves too.
            assert_eq!(heard.next().await, Message::Gap);
            net.command(&[b"PUBLISH", b"news", b"x"]).await.expect("a primary");
            assert!(matches!(heard.next().await, Message::Published { .. }));
        });
    }
}

#[test]
fn a_primary_that_falls_silent_is_left() {
    for make in MAKES {
        let site = Site::pair(make);
        runtime().block_on(async {
            let net = site.net().await;
            write(&net, "before").await;
            assert_eq!(net.wait_replicas(1, PATIENCE).await.expect("an answer"), 1);
            // No connection breaks; there is just no answer any more.
            site.nodes[0].signal("STOP");
            let read = net.read(&[b"GET", b"key"], Target::default()).await;
            assert_eq!(read.expect("a replica").as_str(), Some("before"));
            tokio::task::block_in_place(|| site.run(1, "REPLICAOF NO ONE"));
            write(&net, "after").await;
            assert!(site.run(1, "GET key").contains("after"));
            // It comes back and still believes that it is the primary; its history is the older one.
            site.nodes[0].signal("CONT");
            let both = |net: &Net| net.nodes().len() == 2;
            eventually("both are in reach", || both(&net));
            write(&net, "still").await;
            assert!(site.run(1, "GET key").contains("still"));
        });
    }
}

/// Servers and what lies between close connections that nobody uses.
#[test]
fn connections_that_break_cost_no_call() {
    for site in MAKES.into_iter().flat_map(|make| [Site::single(make), Site::pair(make)]) {
        runtime().block_on(async {
            let net = site.net().await;
            let cache: Cache<u64, u64> = net.cache("numbers").build();
            let sessions: Sessions<BTreeMap<String, u32>> =
                net.sessions("web").build().expect("settings that agree");
            let (token, _) = sessions.create("ann", &BTreeMap::new()).await.expect("a primary");
            for number in 0..3_u64 {
                for kind in ["normal", "pubsub"] {
                    tokio::task::block_in_place(|| {
                        site.run(0, &format!("CLIENT KILL TYPE {kind} SKIPME yes"))
                    });
                }
                let value = number.to_string();
                match number {
                    0 => drop(net.write(&[b"SET", b"key", value.as_bytes()]).await.expect("OK")),
                    1 => assert!(sessions.load(&token).await.expect("a server").is_some()),
                    _ => {
                        let load = move |_| async move { Ok::<_, Error>(Some(number)) };
                        let found = cache.fetch(&number, load).await.expect("a value");
                        assert_eq!(found.as_deref(), Some(&number));
                    }
                }
            }
        });
    }
}

/// A token for IAM is good for minutes, and a connection for hours.
#[test]
fn each_connection_logs_in_with_what_is_right_by_then() {
    for make in MAKES {
        let site = Site::single(make);
        let rule = |now: &str| {
            let told = site.run(0, &format!("ACL SETUSER app on resetpass >{now} ~* &* +@all"));
            assert!(told.contains("OK"), "{told}");
        };
        rule("first");
        let password = Arc::new(Mutex::new("first".to_owned()));
        let known = Arc::clone(&password);
        let credentials = move || Credentials {
            username: Some("app".to_owned()),
            password: Some(known.lock().clone()),
        };
        runtime().block_on(async {
            let net =
                Net::builder().endpoints(Endpoints::single(&site.addresses()[0]).expect("it"));
            let net = net.credentials(credentials).connect().await.expect("a primary");
            write(&net, "before").await;
            *password.lock() = "second".to_owned();
            tokio::task::block_in_place(|| {
                rule("second");
                site.run(0, "CLIENT KILL USER app");
            });
            net.write(&[b"SET", b"key", b"after"]).await.expect("a new connection");
            let name = net.command(&[b"ACL", b"WHOAMI"]).await.expect("a name");
            assert_eq!(name.as_str(), Some("app"));
        });
    }
}

#[test]
fn who_waits_for_replicas_holds_nobody_up() {
    for make in MAKES {
        let site = Site::pair(make);
        runtime().block_on(async {
            let net = site.net().await;
            site.nodes[1].signal("STOP");
            net.write(&[b"SET", b"key", b"value"]).await.expect("a primary");
            let waiting = tokio::spawn({
                let net = net.clone();
                async move { net.wait_replicas(1, PATIENCE).await }
            });
            for _ in 0..100 {
                net.read(&[b"GET", b"key"], Target::Primary).await.expect("a primary");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(!waiting.is_finished());
            site.nodes[1].signal("CONT");
            assert_eq!(waiting.await.expect("one who waited").expect("an answer"), 1);
        });
    }
}

#[test]
fn reads_stay_in_their_zone_while_it_lasts() {
    for make in MAKES {
        let site = Site::pair(make);
        let addresses = site.addresses();
        let zoned = || Endpoints::zoned([(&*addresses[0], "a"), (&*addresses[1], "b")]);
        runtime().block_on(async {
            let net = Net::builder().endpoints(zoned().expect("addresses")).zone("b");
            let net = net.connect().await.expect("a primary");
            let deadline = Instant::now() + PATIENCE;
            while net.nodes().iter().all(|node| node.is_primary || node.lag.is_none()) {
                assert!(Instant::now() < deadline, "{:?}", net.nodes());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let port = async |net: &Net, target| {
                let port = net.read(&[b"CONFIG", b"GET", b"port"], target).await;
                let pairs = port.expect("a node").into_pairs().expect("a map");
                pairs[0].1.as_int().expect("a port")
            };
            let near = i64::from(site.nodes[1].addr().port());
            for _ in 0..4 {
                assert_eq!(port(&net, Target::default()).await, near);
                assert_ne!(port(&net, Target::Primary).await, near);
            }
            // A read after a write waits for no replica: it goes to one that has it.
            net.write(&[b"SET", b"n", b"1"]).await.expect("a primary");
            let script = larder_client::Script::new("return redis.call('INCR', KEYS[1])");
            for number in 2..20 {
                let (_, token) = net.run_marked(&script, &[b"n"], &[]).await.expect("a primary");
                let target = Target::After(token.expect("a place"));
                let read = net.read(&[b"GET", b"n"], target).await.expect("a node");
                assert_eq!(read.as_int().expect("a number"), number);
            }
            site.nodes[1].signal("KILL");
            let read = net.read(&[b"GET", b"n"], Target::default()).await;
            assert_eq!(read.expect("the primary").as_int().expect("a number"), 19);
        });
    }
}

/// A name that moves: connections go where it leads at the moment.
struct Name {
    addr: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Name {
    fn of(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let leads_to = Arc::new(Mutex::new(target));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (target, opened) = (Arc::clone(&leads_to), Arc::clone(&open));
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(node) = TcpStream::connect(*target.lock()) else { continue };
                for (from, to) in [(&stream, &node), (&node, &stream)] {
                    let clone = |side: &TcpStream| side.try_clone().expect("a second handle");
                    opened.lock().push(clone(from));
                    let (from, to) = (clone(from), clone(to));
                    thread::spawn(move || pass(from, to));
                }
            }
        });
        Self { addr, leads_to, open }
    }

    /// Leads elsewhere from now on; open connections stay where they are.
    fn move_to(&self, target: SocketAddr) {
        *self.leads_to.lock() = target;
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        for stream in self.open.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count) = from.read(&mut bytes)
        && count > 0
        && to.write_all(&bytes[..count]).is_ok()
    {}
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn the_primary_endpoint_is_looked_up_again_when_it_leads_to_a_replica() {
    for make in MAKES {
        let site = Site::pair(make);
        let primary = Name::of(site.nodes[0].addr());
        let reader = Name::of(site.nodes[1].addr());
        runtime().block_on(async {
            let endpoints =
                Endpoints::elasticache(&primary.addr.to_string(), &reader.addr.to_string());
            let net = Net::builder().endpoints(endpoints.expect("addresses"));
            let net = net.connect().await.expect("a primary");
            write(&net, "before").await;
            tokio::task::block_in_place(|| {
                site.run(1, "REPLICAOF NO ONE");
                site.follow(0, 1);
            });
            primary.move_to(site.nodes[1].addr());
            write(&net, "after").await;
            assert!(site.run(1, "GET key").contains("after"));
        });
    }
}

/// A Sentinel that is killed at the end.
struct Sentinel {
    child: Child,
    addr: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn of(primary: SocketAddr) -> Self {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = probe.local_addr().expect("a bound socket has an address");
        drop(probe);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n",
            addr.port(),
            folder.path().display(),
            primary.port()
        );
        std::fs::write(&config, text).expect("a folder to write to");
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server; tests/run installs what is missing");
        eventually("the Sentinel answers", || TcpStream::connect(addr).is_ok());
        Self { child, addr, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sentinels_say_where_the_primary_is() {
    for make in MAKES {
        let site = Site::pair(make);
        let sentinel = Sentinel::of(site.nodes[0].addr());
        runtime().block_on(async {
            let address = sentinel.addr.to_string();
            let endpoints = Endpoints::sentinel([&*address], "main").expect("an address");
            let net = Net::builder().endpoints(endpoints).connect().await.expect("a primary");
            write(&net, "before").await;
            // It has to know the replica before it can promote it.
            eventually("the Sentinel knows the replica", || net.nodes().len() == 2);
            site.nodes[0].signal("KILL");
            write(&net, "after").await;
            assert!(site.run(1, "GET key").contains("after"));
        });
    }
}

#[test]
fn a_group_is_followed_by_every_kind_of_endpoint() {
    let mut cluster = Cluster::start(&["--write-acks", "quorum"]);
    let nodes = |cluster: &Cluster| -> Vec<String> {
        cluster.nodes.iter().map(|node| node.addr.to_string()).collect()
    };
    for kind in ["nodes", "sentinel", "elasticache"] {
        let primary = cluster.primary();
        let endpoints = match kind {
            "nodes" => Endpoints::nodes(nodes(&cluster).iter().map(String::as_str)),
            "sentinel" => {
                let all = cluster.nodes.iter().map(|node| node.sentinel.to_string());
                let all: Vec<String> = all.collect();
                Endpoints::sentinel(all.iter().map(String::as_str), &cluster.name)
            }
            // Each member serves both addresses; an application has those of one that lives.
            _ => {
                let other = cluster.other(primary);
                let (primary, reader) = (other.primary_endpoint, other.reader_endpoint);
                Endpoints::elasticache(&primary.to_string(), &reader.to_string())
            }
        };
        runtime().block_on(async {
            let net = Net::builder().endpoints(endpoints.expect("addresses"));
            let net = net.connect().await.expect("a primary");
            let before = format!("before, by {kind}");
            write(&net, &before).await;
            let read = async |net: &Net, target| {
                let read = net.read(&[b"GET", b"key"], target).await.expect("a node");
                read.as_str().unwrap_or_default().to_owned()
            };
            assert_eq!(read(&net, Target::Primary).await, before);
            cluster.nodes[primary].kill();
            let after = format!("after, by {kind}");
            write(&net, &after).await;
            assert_eq!(read(&net, Target::Primary).await, after);
            let deadline = Instant::now() + PATIENCE;
            while read(&net, Target::default()).await != after {
                assert!(Instant::now() < deadline, "replicas never had it");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        cluster.nodes[primary].launch();
        cluster.wait_whole();
    }
}

/// A server that talks over TLS to clients, to whom it is one user's.
fn secured(make: Make, authority: &Authority, folder: &Path) -> (Server, String) {
    authority.write(folder, "own");
    let path = |name: &str| folder.join(name).display().to_string();
    let (ca, own, key) = (path("ca.crt"), path("own.crt"), path("own.key"));
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = probe.local_addr().expect("a bound socket has an address").port().to_string();
    drop(probe);
    let mut args = vec!["--tls-ca-cert-file", &ca, "--tls-cert-file", &own];
    args.extend(["--tls-key-file", &key, "--tls-port", &port, "--tls-auth-clients", "no"]);
    args.extend(["--masteruser", "app", "--masterauth", "secret"]);
    let server = match make {
        Make::Larder => Server::with(&args),
        Make::Redis => Redis::with(&[&args[..], &["--repl-diskless-sync-delay", "0"]].concat()),
    };
    server.connect().expect("ACL SETUSER app on >secret ~* &* +@all", "+OK");
    (server, format!("localhost:{port}"))
}

#[test]
fn connections_are_encrypted_and_logged_in() {
    for make in MAKES {
        let authority = Authority::new();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (first, at_first) = secured(make, &authority, folder.path());
        let (second, at_second) = secured(make, &authority, folder.path());
        let site = Site { nodes: vec![first, second] };
        site.follow(1, 0);
        site.wait_in_sync(1);
        let mut admins: Vec<_> = site.nodes.iter().map(Server::connect).collect();
        for admin in &mut admins {
            admin.expect("AUTH app secret", "+OK");
            admin.expect("ACL SETUSER default off", "+OK");
        }
        let endpoints = || Endpoints::nodes([&*at_first, &*at_second]).expect("addresses");
        runtime().block_on(async {
            let trusted = Tls::trusting(authority.pem().as_bytes()).expect("a certificate");
            let builder = || Net::builder().endpoints(endpoints()).login("app", "secret");
            let net = builder().tls(trusted).connect().await.expect("nodes that trust us");
            write(&net, "before").await;
            let whoami = net.command(&[b"ACL", b"WHOAMI"]).await.expect("a name");
            assert_eq!(whoami.as_str(), Some("app"));
            assert_eq!(net.wait_replicas(1, PATIENCE).await.expect("an answer"), 1);
            let new = site.nodes[1].addr().port();
            tokio::task::block_in_place(|| {
                admins[1].expect("REPLICAOF NO ONE", "+OK");
                admins[0].expect(&format!("REPLICAOF 127.0.0.1 {new}"), "+OK");
            });
            write(&net, "after").await;
            let value = tokio::task::block_in_place(|| admins[1].run("GET key").text());
            assert_eq!(value, "after");
            // Who issued the certificate matters, and so does the password.
            let other = Tls::trusting(Authority::new().pem().as_bytes()).expect("a certificate");
            let short = Duration::from_millis(300);
            assert!(builder().tls(other).connect_timeout(short).connect().await.is_err());
            assert!(builder().connect_timeout(short).connect().await.is_err());
            let trusted = Tls::trusting(authority.pem().as_bytes()).expect("a certificate");
            let wrong = Net::builder().endpoints(endpoints()).login("app", "guessed");
            let wrong = wrong.tls(trusted).connect_timeout(short).connect().await;
            assert!(wrong.is_err());
        });
    }
}
