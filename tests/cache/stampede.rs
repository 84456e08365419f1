//! A thousand readers in eight processes want one key at once: the database is asked once.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_client::Cache;

use crate::database::Service;
use crate::site::{MAKES, Site, connect};

const PROCESSES: usize = 8;
const READERS: usize = 125;

/// Tells a process of this test binary that it is a reader, and where everything is.
const ROLE: &str = "LARDER_CACHE_READERS";

#[test]
fn a_thousand_misses_in_eight_processes_are_one_load() {
    if let Ok(role) = std::env::var(ROLE) {
        return readers(&role);
    }
    for make in MAKES {
        for site in [Site::single(make), Site::pair(make)] {
            let service = Service::start();
            let role = format!("{} {}", service.addr, site.addresses().join(" "));
            let mut processes: Vec<Child> = (0..PROCESSES).map(|_| process(&role)).collect();
            let mut outputs: Vec<_> = processes
                .iter_mut()
                .map(|process| BufReader::new(process.stdout.take().expect("a pipe")).lines())
                .collect();
            let mut line = |process: usize, mark: &str| loop {
                let line = outputs[process].next().expect("a reader that lives").expect("text");
                if let Some((_, rest)) = line.split_once(mark) {
                    return rest.to_owned();
                }
            };
            (0..PROCESSES).for_each(|process| drop(line(process, "readers are ready")));
            for process in &mut processes {
                let input = process.stdin.as_mut().expect("a pipe");
                writeln!(input, "go").expect("a reader that listens");
            }
            let mut waits: Vec<u64> = Vec::new();
            for process in 0..PROCESSES {
                let line = line(process, "waits in ms:");
                waits.extend(line.split_whitespace().map(|wait| wait.parse::<u64>().expect("ms")));
            }
            for mut process in processes {
                assert!(process.wait().expect("an end").success());
            }
            waits.sort_unstable();
            assert_eq!(waits.len(), PROCESSES * READERS);
            assert_eq!(service.queries(), 1, "{make:?} with {} nodes", site.nodes.len());
            println!(
                "{make:?}, {} nodes: p50 {} ms, p99 {} ms of a load of 50 ms",
                site.nodes.len(),
                waits[waits.len() / 2],
                waits[waits.len() * 99 / 100]
            );
        }
    }
}

fn process(role: &str) -> Child {
    let program = std::env::current_exe().expect("a test binary");
    let mut command = Command::new(program);
    command
        .args(["--exact", "stampede::a_thousand_misses_in_eight_processes_are_one_load"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("this binary starts")
}

/// What one of the processes does.
fn readers(role: &str) {
    let mut addresses = role.split_whitespace().map(str::to_owned);
    let service: SocketAddr = addresses.next().expect("a database").parse().expect("an address");
    let nodes: Vec<String> = addresses.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let net = connect(&nodes).await;
        // On a loaded machine an answer may be late; that is not what is counted here.
        let patience = Duration::from_secs(20);
        let cache: Cache<str, u64> = net
            .cache("stampede")
            .read_timeout(patience)
            .write_timeout(patience)
            .lease_wait(patience)
            .build();
        println!("readers are ready");
        let input = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next());
        input.await.expect("a thread").expect("a line").expect("text");
        let began = Instant::now();
        let reads = (0..READERS).map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let value = cache.fetch("key", move |_| query(service)).await;
                assert_eq!(value.expect("a value").as_deref(), Some(&1));
                began.elapsed().as_millis()
            })
        });
        let mut waits = String::new();
        for read in reads.collect::<Vec<_>>() {
            waits.push_str(&format!(" {}", read.await.expect("a reader")));
        }
        println!("waits in ms:{waits}");
    });
}

async fn query(service: SocketAddr) -> Result<Option<u64>, std::io::Error> {
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(service)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        writeln!(stream, "SELECT")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        answer.trim().parse().map_err(std::io::Error::other)
    });
    answer.await.map_err(std::io::Error::other)?.map(Some)
}
