//! A thousand readers in eight processes want one key at the same moment, and the database takes 50 ms.
//!
//! The readers are processes of this program that do what they are told on a line each, the database a
//! socket of this process that lets whoever connects wait and counts.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_benches::peer::{Peer, Server};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::Result;
use crate::contestant::{Contestant, Kind};
use crate::cores::{BOTH, pin, start};

const PROCESSES: usize = 8;
const READERS: usize = 125;
/// Connections that a process has to the database at most, as with the usual pools.
const POOL: usize = 10;
const LOAD: Duration = Duration::from_millis(50);
/// Keys, one after the other.
const STAMPEDES: u64 = 10;
const KINDS: [Kind; 2] = [Kind::Larder, Kind::Plain];

pub(crate) fn measure(peer: &Peer, round: u64) -> Result<()> {
    pin(BOTH)?;
    for kind in KINDS {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let server = start(peer)?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let database = listener.local_addr()?;
        let loads = Arc::new(AtomicU64::new(0));
        runtime.spawn(answer(listener, Arc::clone(&loads)));
        let mut waits = run(kind, &server, database)?;
        waits.sort_unstable();
        let of = |part: usize| waits.get((waits.len() * part / 100).min(waits.len() - 1));
        let [p50, p99, worst] = [50, 99, 100].map(|part| of(part).copied().unwrap_or_default());
        let ratio = p99 as f64 / LOAD.as_micros() as f64;
        let name = kind.name();
        println!("{round},stampede,{name},readers,{}", waits.len());
        println!("{round},stampede,{name},loads,{}", loads.load(Ordering::SeqCst));
        for (figure, micros) in [("p50 us", p50), ("p99 us", p99), ("worst us", worst)] {
            println!("{round},stampede,{name},{figure},{micros}");
        }
        println!("{round},stampede,{name},p99 of a load,{ratio:.2}");
    }
    Ok(())
}

/// What each reader of each stampede waited, in microseconds.
fn run(kind: Kind, server: &Server, database: SocketAddr) -> Result<Vec<u64>> {
    let mut processes = (0..PROCESSES)
        .map(|_| Process::start(kind, server, database))
        .collect::<Result<Vec<_>>>()?;
    for process in &mut processes {
        // It is connected.
        process.hear()?;
    }
    let mut waits = Vec::new();
    for key in 0..STAMPEDES {
        for process in &mut processes {
            process.tell(key)?;
        }
        for process in &mut processes {
            let line = process.hear()?;
            for wait in line.split_whitespace() {
                waits.push(wait.parse()?);
            }
        }
    }
    Ok(waits)
}

/// The database.
async fn answer(listener: TcpListener, loads: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        loads.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(LOAD).await;
            // To be closed is the answer.
            drop(stream);
        });
    }
}

/// A process of readers, killed at the end.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(kind: Kind, server: &Server, database: SocketAddr) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--readers").arg(kind.name());
        command.arg(server.address.to_string()).arg(database.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        Ok(Self { child, lines })
    }

    fn tell(&mut self, key: u64) -> Result<()> {
        Ok(writeln!(self.child.stdin.as_mut().ok_or("no input")?, "{key}")?)
    }

    fn hear(&mut self) -> Result<String> {
        Ok(self.lines.next().ok_or("a process of readers has ended")??)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process of readers does: for each line with a key all read it at once, and it says what each
/// of them waited.
pub(crate) fn read(kind: Kind, server: SocketAddr, database: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let contestant = Contestant::connect(kind, server).await?;
        let pool = Arc::new(Semaphore::new(POOL));
        println!("ready");
        loop {
            let next = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
            let Some(line) = next.await? else { return Ok(()) };
            let key: u64 = line?.trim().parse()?;
            let began = Instant::now();
            let reads: Vec<_> = (0..READERS)
                .map(|_| {
                    let (contestant, pool) = (contestant.clone(), Arc::clone(&pool));
                    tokio::spawn(async move {
                        contestant.read(key, move || query(database, pool)).await?;
                        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(began.elapsed())
                    })
                })
                .collect();
            let mut waits = String::new();
            for read in reads {
                waits.push_str(&format!("{} ", read.await??.as_micros()));
            }
            println!("{waits}");
        }
    })
}

async fn query(database: SocketAddr, pool: Arc<Semaphore>) -> u64 {
    let asked = async {
        let _turn = pool.acquire().await.map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect(database).await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    if let Err(error) = asked.await {
        eprintln!("the database: {error}");
    }
    1
}
