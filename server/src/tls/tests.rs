//! Contexts from files: what is taken, what is refused, and with which words.

use super::context::Context;
use super::{TlsError, ciphers};
use crate::Node;
use crate::clock::Clock;
use crate::config::{DirectiveOptions, Settings, TlsAuthClients};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// A key of the certificate below, encrypted with the password `1234`.
const ENCRYPTED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgnPpNISvLoFwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAUGmXY/8t0IeK0ks0vHEpwEgZBf
1alT6mEf3jv0laY4oJz86MjkJf7C6LUvXf90KO+inSdxg/J9fDee9jgjpZfcBpup
kuVtOtCYMNHPO1h4m4O/i530vm6Egtcr9z4jTVOb57PfdFucm3Xfesjy6HlK5v8K
AWBK5aCFQECY0R2UlaxB1Ga/dC9BnNFMuIC7OzcAdNhDWLYbGZWm9exSK7tiFpg=
-----END ENCRYPTED PRIVATE KEY-----
";

const ITS_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhDCCASmgAwIBAgIUOU5+3arkFQbBhGxlDZl/pon/wXYwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLbGFyZGVyLXRlc3QwIBcNMjYxMTI2MTgxNzAzWhgPMjEyNjEx
MDIxODE3MDNaMBYxFDASBgNVBAMMC2xhcmRlci10ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEAr6fF3aEbOuM4RRn+gAVA4wto1c7kvqFo6yn649cVADr6cE9
7h+3cSm8Dlj88uWG5R0h5VmZzwQ8CvSwh1TH8KNTMFEwHQYDVR0OBBYEFJO0cr21
tNALmQwlNgwcf5irvqP/MB8GA1UdIwQYMBaAFJO0cr21tNALmQwlNgwcf5irvqP/
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAOZSMMhvyyK8D4a1
SnXNb8mvt9augLqD3O6AS6/EhnNyAiEAkVGgDMffa8HeMwn5IqlkLGlUZpeonyja
P/bAdytWtrM=
-----END CERTIFICATE-----
";

/// A folder with a certificate, its key, and settings that use them.
fn folder() -> (TempDir, Settings) {
    let dir = tempfile::tempdir().expect("a folder");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
    write("own.crt", &cert.pem());
    write("own.key", &signing_key.serialize_pem());
    write("secret.crt", ITS_CERTIFICATE);
    write("secret.key", ENCRYPTED_KEY);
    let settings = Settings {
        tls_port: 1,
        dir: dir.path().to_owned(),
        tls_cert_file: "own.crt".to_owned(),
        tls_key_file: "own.key".to_owned(),
        tls_auth_clients: TlsAuthClients::No,
        ..Settings::default()
    };
    (dir, settings)
}

/// Why these settings give no context; empty when they give one.
fn refusal(settings: &Settings) -> String {
    let context = Context::new(settings, &Clock::system());
    context.err().map(|error| error.to_string()).unwrap_or_default()
}

fn changed(settings: &Settings, change: impl FnOnce(&mut Settings)) -> String {
    let mut settings = settings.clone();
    change(&mut settings);
    refusal(&settings)
}

#[test]
fn what_is_missing_is_named() {
    let (_dir, settings) = folder();
    assert_eq!(refusal(&settings), "");
    let refused = |change: fn(&mut Settings)| changed(&settings, change);
    assert_eq!(refused(|all| all.tls_cert_file.clear()), "No tls-cert-file configured!");
    assert_eq!(refused(|all| all.tls_key_file.clear()), "No tls-key-file configured!");
    for needs in [
        (|all| all.tls_auth_clients = TlsAuthClients::Yes) as fn(&mut Settings),
        |all| all.tls_auth_clients = TlsAuthClients::Optional,
        |all| all.tls_replication = true,
        |all| all.tls_cluster = true,
    ] {
        assert!(refused(needs).starts_with("Either tls-ca-cert-file or tls-ca-cert-dir"));
    }
    assert!(refused(|all| all.tls_cert_file = "none.crt".to_owned()).contains("none.crt: No such"));
    let swapped = refused(|all| all.tls_cert_file = "own.key".to_owned());
    assert!(swapped.contains("own.key: there is no certificate in it"), "{swapped}");
    let swapped = refused(|all| all.tls_key_file = "own.crt".to_owned());
    assert!(swapped.contains("there is no private key in it"), "{swapped}");
    let mismatch = refused(|all| all.tls_cert_file = "secret.crt".to_owned());
    assert!(mismatch.contains("own.key: "), "{mismatch}");
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let (_dir, mut settings) = folder();
    settings.tls_cert_file = "secret.crt".to_owned();
    settings.tls_key_file = "secret.key".to_owned();
    assert!(refusal(&settings).contains("no password is set"));
    settings.tls_key_file_pass = "12345".to_owned();
    assert!(refusal(&settings).contains("secret.key: "));
    settings.tls_key_file_pass = "1234".to_owned();
    assert_eq!(refusal(&settings), "");
}

#[test]
fn authorities_come_from_a_file_or_a_folder() {
    let (dir, mut settings) = folder();
    settings.tls_auth_clients = TlsAuthClients::Yes;
    assert_eq!(changed(&settings, |all| all.tls_ca_cert_file = "own.crt".to_owned()), "");
    assert_eq!(changed(&settings, |all| all.tls_ca_cert_dir = ".".to_owned()), "");
    fs::create_dir(dir.path().join("empty")).expect("a folder");
    let none = changed(&settings, |all| all.tls_ca_cert_dir = "empty".to_owned());
    assert!(none.contains("there is no certificate of an authority in it"), "{none}");
}

#[test]
fn the_other_side_is_checked_where_authorities_are_named() {
    let (_dir, mut settings) = folder();
    let context =
        |settings: &Settings| Context::new(settings, &Clock::system()).expect("a context");
    assert!(context(&settings).client.is_none());
    settings.tls_ca_cert_file = "own.crt".to_owned();
    assert!(context(&settings).client.is_some());
    settings.tls_client_cert_file = "secret.crt".to_owned();
    settings.tls_client_key_file = "secret.key".to_owned();
    assert!(refusal(&settings).contains("no password is set"));
    settings.tls_client_key_file_pass = "1234".to_owned();
    assert!(context(&settings).client.is_some());
}

#[test]
fn versions_and_suites_have_names() -> Result<(), TlsError> {
    assert_eq!(ciphers::versions("")?.len(), 2);
    assert_eq!(ciphers::versions("TLSv1.1 tlsv1.2")?.len(), 1);
    assert!(ciphers::versions("TLSv1").is_err() && ciphers::versions("SSLv3").is_err());
    let all = ciphers::suites("", "")?.len();
    assert_eq!(all, 9);
    assert_eq!(ciphers::suites("DEFAULT:!MEDIUM", "")?.len(), all, "classes choose nothing");
    let one = ciphers::suites("ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256")?;
    assert_eq!(one.len(), 2);
    assert!(ciphers::suites("AES128-SHA256:AES256-SHA256", "").is_err(), "none of them is here");
    assert!(ciphers::suites("", "TLS_NONE").is_err());
    let (_dir, mut settings) = folder();
    settings.tls_protocols = "TLSv1.2".to_owned();
    assert_eq!(refusal(&settings), "");
    settings.tls_protocols = "TLSv1.4".to_owned();
    assert!(refusal(&settings).starts_with("Invalid tls-protocols specified."));
    Ok(())
}

/// A node that speaks TLS on a port that was free a moment ago.
fn node(settings: &Settings) -> Node {
    for _ in 0..8 {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = probe.local_addr().expect("a bound socket").port();
        drop(probe);
        let settings = Settings { port: 0, tls_port: port, threads: 2, ..settings.clone() };
        let settings = settings.bind(vec!["127.0.0.1".to_owned()]);
        if let Ok(node) = Node::builder().settings(settings).start() {
            return node;
        }
    }
    panic!("no free port");
}

#[test]
fn connections_change_threads() {
    let (_dir, mut settings) = folder();
    settings.tls_ca_cert_file = "own.crt".to_owned();
    let context = Context::new(&settings, &Clock::system()).expect("a context");
    let trusting = context.client.expect("authorities are named");
    let node = node(&settings);
    let mut clients: Vec<_> = (0..6)
        .map(|_| {
            let name = "localhost".try_into().expect("a name");
            let session = ClientConnection::new(Arc::clone(&trusting), name).expect("a session");
            let socket = TcpStream::connect(node.tls_addresses()[0]).expect("it accepts");
            StreamOwned::new(session, socket)
        })
        .collect();
    let mut ask = || {
        for client in &mut clients {
            client.write_all(b"PING\r\nPING\r\n").expect("it reads");
            let mut reply = [0; 14];
            client.read_exact(&mut reply).expect("it answers");
            assert_eq!(&reply, b"+PONG\r\n+PONG\r\n");
        }
    };
    ask();
    let workers = &node.shared().workers;
    let spread = || {
        let connections = |load: &Arc<_>| -> usize {
            let load: &crate::node::balance::Load = load;
            load.connections.load(Ordering::Relaxed)
        };
        workers.loads().iter().map(connections).collect::<Vec<_>>()
    };
    assert_eq!(spread(), [6, 0]);
    for active in [2, 1].repeat(10) {
        let wanted = if active == 2 { [3, 3] } else { [6, 0] };
        // A connection moves when it is at rest after a command; the reply may come before that. The
        // housekeeping may have its own opinion meanwhile, so it is told each time.
        while spread() != wanted {
            workers.spread(active);
            ask();
        }
    }
    ask();
    assert_eq!(node.shared().clients.len(), 6);
}
