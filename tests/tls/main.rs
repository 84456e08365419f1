//! TLS across the wire: who is let in, what is served, and that strangers who only knock cost little.

mod hostile;
mod kill;
mod programs;
mod replication;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use larder_tests::{Authority, Conn, Server, TlsClient, encode};
use tempfile::TempDir;

/// A node with a TLS port beside the plain one, and the authority that its clients trust.
pub(crate) struct Secured {
    pub(crate) server: Server,
    pub(crate) tls: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) folder: TempDir,
}

impl Secured {
    /// A node whose clients need no certificate.
    pub(crate) fn start() -> Self {
        Self::with(&["--tls-auth-clients", "no"])
    }

    pub(crate) fn with(args: &[&str]) -> Self {
        Self::launch(Server::with, Authority::new(), args)
    }

    /// The same with a certificate of this authority, of whatever `launch` starts.
    pub(crate) fn launch(
        launch: impl Fn(&[&str]) -> Server,
        authority: Authority,
        args: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        authority.write(folder.path(), "own");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (ca, own, key) = (path("ca.crt"), path("own.crt"), path("own.key"));
        let mut all = vec!["--tls-ca-cert-file", &ca, "--tls-cert-file", &own];
        all.extend(["--tls-key-file", &key]);
        all.extend(args);
        let server = launch(&all);
        let tls = open_tls(&mut server.connect());
        Self { server, tls, authority, folder }
    }

    /// A client without a certificate.
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::new(&self.authority, None)
    }

    pub(crate) fn connect(&self) -> Conn {
        self.client().connect(self.tls).expect("a handshake")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Opens a TLS port that nobody has.
pub(crate) fn open_tls(conn: &mut Conn) -> SocketAddr {
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = probe.local_addr().expect("a bound socket");
        drop(probe);
        let reply = conn.run(&format!("CONFIG SET tls-port {}", addr.port()));
        if reply.to_string() == "+OK" {
            return addr;
        }
        // Somebody took it in between.
        assert!(reply.text().contains("Unable to listen on this port"), "{reply}");
    }
}

/// Whether a client gets in as far as a reply.
fn gets_in(client: &TlsClient, addr: SocketAddr) -> bool {
    let Ok(mut conn) = client.connect(addr) else { return false };
    conn.try_send(b"PING\r\n").is_ok()
        && conn.try_reply().is_ok_and(|reply| reply.value.to_string() == "+PONG")
}

#[test]
fn both_versions_are_spoken() {
    let node = Secured::start();
    for version in rustls::ALL_VERSIONS {
        let client = TlsClient::with_versions(&node.authority, None, &[version]);
        let mut conn = client.connect(node.tls).expect("a handshake");
        conn.expect("SET key value", "+OK");
        conn.expect("GET key", "\"value\"");
        conn.expect("CLIENT LIST ID 0", "\"\"");
        let addr = conn.local_addr();
        assert!(conn.run("CLIENT INFO").text().contains(&format!("addr={addr}")));
    }
    node.server.connect().expect("CONFIG SET tls-protocols TLSv1.2", "+OK");
    let [tls12, tls13] = [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
        gets_in(&TlsClient::with_versions(&node.authority, None, &[version]), node.tls)
    });
    assert!(tls12 && !tls13);
}

#[test]
fn clients_show_certificates_as_asked() {
    let node = Secured::with(&[]);
    let stranger = Authority::new();
    let without = node.client();
    let own = TlsClient::new(&node.authority, Some(&node.authority));
    let foreign = TlsClient::new(&node.authority, Some(&stranger));
    let mut admin = node.server.connect();
    for (setting, expected) in [
        ("yes", [false, true, false]),
        ("optional", [true, true, false]),
        ("no", [true, true, true]),
        ("yes", [false, true, false]),
    ] {
        admin.expect(&format!("CONFIG SET tls-auth-clients {setting}"), "+OK");
        let got = [&without, &own, &foreign].map(|client| gets_in(client, node.tls));
        assert_eq!(got, expected, "tls-auth-clients {setting}");
    }
    let misled = TlsClient::new(&stranger, Some(&node.authority));
    assert!(!gets_in(&misled, node.tls), "a client does not trust just anybody");
    assert!(gets_in(&own, node.tls), "and the server outlives that");
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() {
    let node = Secured::start();
    let mut before = node.connect();
    let shown = || node.client().certificate_of(node.tls).expect("a handshake");
    let (first, file) = (shown(), node.path("own.crt").display().to_string());
    let mut admin = node.server.connect();

    node.authority.write(node.folder.path(), "own");
    assert_eq!(shown(), first, "files are read when somebody says so");
    admin.expect(&format!("CONFIG SET tls-cert-file {file}"), "+OK");
    let second = shown();
    assert_ne!(second, first);

    fs::write(node.path("own.crt"), "nothing of use").expect("a file");
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - \
                   Unable to update TLS configuration. Check server logs.";
    admin.expect(&format!("CONFIG SET tls-cert-file {file}"), refused);
    admin.expect("CONFIG SET tls-key-file /nowhere", &refused.replace("cert", "key"));
    let kept = node.path("own.key").display().to_string();
    assert_eq!(admin.run("CONFIG GET tls-key-file").items()[1].text(), kept);
    assert_eq!(shown(), second, "what is of no use changes nothing");
    before.expect("PING", "+PONG");
}

#[test]
fn ports_are_opened_and_closed() {
    let node = Secured::start();
    let mut inside = node.connect();
    let port = node.server.addr().port();
    inside.expect("CONFIG SET port 0", "+OK");
    assert!(Conn::tcp(node.server.addr()).is_err());
    assert!(inside.run("INFO server").text().contains(&format!("tcp_port:{}", node.tls.port())));
    inside.expect("CONFIG SET tls-port 0", "+OK");
    assert!(node.client().connect(node.tls).is_err());
    inside.expect(&format!("CONFIG SET tls-port {port}"), "+OK");
    assert!(gets_in(&node.client(), node.server.addr()), "TLS where plain text was");
    inside.expect(&format!("CONFIG SET tls-port 0 port {port}"), "+OK");
    let info = node.server.connect().run("INFO server").text();
    assert!(info.contains(&format!("listener0:name=tcp,bind=127.0.0.1,port={port}")));
    assert!(!info.contains("name=tls"));
}

#[test]
fn a_port_needs_certificates() {
    let server = Server::start();
    let mut conn = server.connect();
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'tls-port') - \
                   Unable to update TLS configuration. Check server logs.";
    conn.expect("CONFIG SET tls-port 1", refused);
    assert_eq!(conn.run("CONFIG GET tls-port").items()[1].text(), "0");
}

#[test]
fn sessions_are_resumed_where_that_is_allowed() {
    let node = Secured::start();
    for version in rustls::ALL_VERSIONS {
        let client = TlsClient::with_versions(&node.authority, None, &[version]);
        let resumed = [(); 3].map(|()| client.resumes(node.tls).expect("a handshake"));
        assert_eq!(resumed, [false, true, true]);
    }
    node.server.connect().expect("CONFIG SET tls-session-caching no", "+OK");
    let client = node.client();
    let resumed = [(); 2].map(|()| client.resumes(node.tls).expect("a handshake"));
    assert_eq!(resumed, [false, false]);
}

#[test]
fn large_values_go_both_ways() {
    let node = Secured::start();
    let mut conn = node.connect();
    let value: String =
        (0..5_000_000u32).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    assert_eq!(conn.call(&["SET", "large", &value]).to_string(), "+OK");
    assert_eq!(conn.run("GET large").text(), value);
    // Through a thread of its own: neither side may wait for the other to read first.
    conn.send(&encode(&["GET", "large"]).repeat(8));
    for _ in 0..8 {
        assert_eq!(conn.reply().text().len(), value.len());
    }
    node.server.connect().expect("STRLEN large", ":5000000");
}

#[test]
fn pipelines_are_answered_in_order() {
    let node = Secured::start();
    let mut conn = node.connect();
    let mut bytes = Vec::new();
    for number in 0..20_000 {
        bytes.extend(encode(&["SET", "key", &number.to_string()]));
        bytes.extend(encode(&["GET", "key"]));
    }
    // Records of all sizes, so that commands are cut anywhere.
    let mut size = 1;
    for chunk in std::iter::from_fn(|| {
        if bytes.is_empty() {
            return None;
        }
        size = size * 7 % 9973 + 1;
        let rest = bytes.split_off(size.min(bytes.len()));
        Some(std::mem::replace(&mut bytes, rest))
    }) {
        conn.send(&chunk);
    }
    for number in 0..20_000 {
        assert_eq!(conn.reply().to_string(), "+OK");
        assert_eq!(conn.reply().text(), number.to_string());
    }
}

#[test]
fn the_end_of_a_connection_is_told() {
    let node = Secured::start();
    let mut conn = node.connect();
    conn.expect("QUIT", "+OK");
    // Without a last word of the server this is an error: the end could be a cut.
    assert!(conn.wait_closed().is_empty());
    let mut conn = node.connect();
    let id = conn.run("CLIENT ID").to_string().replace(':', "");
    node.server.connect().expect(&format!("CLIENT KILL ID {id}"), ":1");
    assert!(conn.wait_closed().is_empty());
}
