//! Client libraries that know Sentinel, and one that knows a single address, through a failover.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use redis::sentinel::Sentinel;

use crate::QUORUM;
use crate::cluster::Cluster;

/// How long a client may take to write again. What it takes is printed; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that prints a line for each write.
struct Program {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Program {
    fn start(interpreter: &str, script: &str, cluster: &Cluster) -> Self {
        let installed = installed();
        let mut child = Command::new(installed.join(interpreter))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("group").join(script))
            .arg(&cluster.name)
            .args(cluster.nodes.iter().map(|node| node.addr.port().to_string()))
            .env("NODE_PATH", installed.join("node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{script}: {error}; tests/programs/install installs it")
            });
        let (told, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if told.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a write that was acknowledged after a moment; tells when that was.
    fn wait_write(&self, moment: Instant) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        while let Ok((at, line)) = self.lines.recv_timeout(deadline - Instant::now()) {
            if at > moment && line.starts_with("ok") {
                return at;
            }
            last = line;
        }
        panic!("the program does not write again; the last it said: {last}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the libraries of the programs are.
fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("cargo's own folder is above").join("programs")
}

/// Kills the primary under a program and waits until it writes again.
fn follows(interpreter: &str, script: &str) {
    let mut cluster = Cluster::start(QUORUM);
    let program = Program::start(interpreter, script, &cluster);
    program.wait_write(Instant::now());
    let primary = cluster.primary();
    cluster.nodes[primary].kill();
    cluster.wait_other_primary(primary);
    let promoted = Instant::now();
    let again = program.wait_write(promoted) - promoted;
    println!("{script}: writing {again:?} after the promotion");
    // A planned one as well.
    cluster.nodes[primary].launch();
    cluster.wait_whole();
    let from = cluster.primary();
    cluster.nodes[from].connect().expect("GROUP FAILOVER", "+OK");
    cluster.wait_other_primary(from);
    let promoted = Instant::now();
    let again = program.wait_write(promoted) - promoted;
    println!("{script}: writing {again:?} after a planned failover");
}

#[test]
fn redis_py_follows() {
    follows("venv/bin/python", "sentinel.py");
}

#[test]
fn ioredis_follows() {
    follows("node", "sentinel.js");
}

#[test]
fn redis_rs_follows() {
    let mut cluster = Cluster::start(QUORUM);
    let addresses: Vec<String> =
        cluster.nodes.iter().map(|node| format!("redis://{}", node.sentinel)).collect();
    let name = cluster.name.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let (told, writes) = channel();
    let writer = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut sentinel = Sentinel::build(addresses).expect("good addresses");
            let mut number = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let client = sentinel.master_for(&name, None);
                let connection = client.and_then(|client| {
                    client.get_connection_with_timeout(Duration::from_millis(500))
                });
                let Ok(mut connection) = connection else {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                // A connection is used until it fails; then Sentinel is asked anew.
                let patience = Some(Duration::from_millis(500));
                let _ = connection.set_read_timeout(patience);
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let key = format!("rs:{number}");
                    let written =
                        redis::cmd("SET").arg(key).arg(number).query::<()>(&mut connection);
                    if written.is_err() || told.send(Instant::now()).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    });
    let wait_write = |moment: Instant| {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(at) = writes.recv_timeout(deadline - Instant::now()) {
            if at > moment {
                return at;
            }
        }
        panic!("redis-rs does not write again");
    };
    wait_write(Instant::now());
    let primary = cluster.primary();
    cluster.nodes[primary].kill();
    cluster.wait_other_primary(primary);
    let promoted = Instant::now();
    println!("redis-rs: writing {:?} after the promotion", wait_write(promoted) - promoted);
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("the writer ends");
}

#[test]
fn a_plain_client_follows_by_the_primary_endpoint() {
    let mut cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let endpoint = cluster.other(primary).primary_endpoint;
    let client = redis::Client::open(format!("redis://{endpoint}")).expect("a good address");
    let mut connection = client.get_connection().expect("it leads to the primary");
    let () = redis::cmd("SET").arg("a").arg(1).query(&mut connection).expect("it writes");
    cluster.nodes[primary].kill();
    let lost: redis::RedisResult<()> = redis::cmd("SET").arg("a").arg(2).query(&mut connection);
    assert!(lost.is_err(), "the connection ends with the primary");
    cluster.wait_other_primary(primary);
    let promoted = Instant::now();
    let deadline = promoted + PATIENCE;
    loop {
        let written = client.get_connection().and_then(|mut connection| {
            redis::cmd("SET").arg("a").arg(3).query::<()>(&mut connection)
        });
        if written.is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "{written:?}");
        thread::sleep(Duration::from_millis(5));
    }
    println!("a plain client: writing {:?} after the promotion", promoted.elapsed());
    // The reader endpoint leads to a replica.
    let reader = cluster.other(primary).reader_endpoint;
    let client = redis::Client::open(format!("redis://{reader}")).expect("a good address");
    let mut connection = client.get_connection().expect("it leads to a replica");
    let role: redis::Value = redis::cmd("ROLE").query(&mut connection).expect("it answers");
    let redis::Value::Array(role) = role else { panic!("{role:?}") };
    assert_eq!(role[0], redis::Value::BulkString(b"slave".to_vec()));
}
