//! What a hit costs the client.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use larder_benches::process::CpuTime;
use redis::AsyncCommands;
use tokio::task::JoinHandle;

use crate::Result;
use crate::contestant::{Contestant, Kind, Product, Server, connection};

const LOCAL: u32 = 300_000;
/// How long reads over loopback are counted.
const SPAN: Duration = Duration::from_millis(1500);
/// Reads at once.
const WIDTHS: [u32; 2] = [1, 32];

pub(crate) fn measure(program: &Path, round: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(program)?;
        let near = Contestant::connect(Kind::LarderLocal, server.addr).await?;
        for _ in 0..10 {
            near.read(1, || async { 1 }).await?;
        }
        let began = Instant::now();
        let mut read = 0;
        // A value that runs out while it is measured is loaded again: one of many.
        for _ in 0..LOCAL {
            read += black_box(near.read(1, || async { 1 }).await?);
        }
        let took = began.elapsed().as_nanos() / u128::from(LOCAL);
        assert_eq!(read, u64::from(LOCAL));
        println!("{round},local hit,{},ns,{took}", Kind::LarderLocal.name());
        for width in WIDTHS {
            let get = get(&server, width).await?;
            println!("{round},hit over loopback {width} at once,redis crate GET,CPU ns,{get}");
            for kind in [Kind::Larder, Kind::Plain, Kind::Amalgam] {
                let cost = hits(&server, kind, width).await?;
                println!("{round},hit over loopback {width} at once,{},CPU ns,{cost}", kind.name());
            }
        }
        Ok(())
    })
}

/// The bytes of a value, and nothing but GET.
async fn get(server: &Server, width: u32) -> Result<u128> {
    let mut connection = connection(server.addr).await?;
    let bytes = rmp_serde::to_vec_named(&Product::of(1))?;
    let () = connection.set("plain", bytes).await?;
    let end = Instant::now() + SPAN;
    let before = CpuTime::of(std::process::id())?;
    let tasks: Vec<_> = (0..width)
        .map(|_| {
            let mut connection = connection.clone();
            tokio::spawn(async move {
                let mut reads = 0;
                while Instant::now() < end {
                    let bytes: Vec<u8> = connection.get("plain").await?;
                    black_box(bytes);
                    reads += 1;
                }
                Ok::<u128, redis::RedisError>(reads)
            })
        })
        .collect();
    cost(tasks, &before).await
}

async fn hits(server: &Server, kind: Kind, width: u32) -> Result<u128> {
    let contestant = Contestant::connect(kind, server.addr).await?;
    contestant.read(2, || async { 1 }).await?;
    let end = Instant::now() + SPAN;
    let before = CpuTime::of(std::process::id())?;
    let tasks: Vec<_> = (0..width)
        .map(|_| {
            let contestant = contestant.clone();
            tokio::spawn(async move {
                let mut reads = 0;
                while Instant::now() < end {
                    black_box(contestant.read(2, || async { 1 }).await?);
                    reads += 1;
                }
                Ok::<u128, Box<dyn std::error::Error + Send + Sync>>(reads)
            })
        })
        .collect();
    cost(tasks, &before).await
}

/// What a read took of this process's CPU since `before`, in nanoseconds.
async fn cost<E>(
    tasks: Vec<JoinHandle<std::result::Result<u128, E>>>,
    before: &CpuTime,
) -> Result<u128>
where
    Box<dyn std::error::Error + Send + Sync>: From<E>,
{
    let mut reads = 0;
    for task in tasks {
        reads += task.await??;
    }
    let spent = CpuTime::of(std::process::id())?.since(before);
    Ok(spent.as_nanos() / reads.max(1))
}
