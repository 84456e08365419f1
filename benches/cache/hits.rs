//! What a hit costs the client.
//!
//! The contestants take many short turns, another one first each time: what a neighbour of the machine
//! takes away hits all of them. The ratio to the `redis` crate's GET is that of the same moment, and a
//! second GET on a connection of its own shows what a ratio is worth.

use std::hint::black_box;
use std::time::{Duration, Instant};

use larder_benches::peer::{Peer, Server};
use larder_benches::process::CpuTime;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::Result;
use crate::contestant::{Contestant, Kind, Product, connection};
use crate::cores::{CLIENT, PLACES, pin, start};

const LOCAL: u32 = 300_000;
/// How long reads over loopback are counted in each turn.
const SPAN: Duration = Duration::from_millis(100);
const TURNS: usize = 10;
/// Reads at once.
const WIDTHS: [u32; 2] = [1, 32];

pub(crate) fn measure(peer: &Peer, round: u64) -> Result<()> {
    let server = start(peer)?;
    for (core, place) in PLACES {
        pin(core)?;
        // One thread does all that a client does.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if core == CLIENT {
                local(&server, round).await?;
            }
            let readers = readers(&server).await?;
            for width in WIDTHS {
                over_loopback(&readers, &format!("hit on {place} {width} at once"), width, round)
                    .await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        })?;
    }
    Ok(())
}

async fn readers(server: &Server) -> Result<Vec<(&'static str, Reader)>> {
    let mut readers = vec![
        ("redis crate GET", Reader::get(server).await?),
        ("the same again", Reader::get(server).await?),
    ];
    for kind in [Kind::Larder, Kind::Plain, Kind::Amalgam] {
        let contestant = Contestant::connect(kind, server.address).await?;
        contestant.read(2, || async { 1 }).await?;
        readers.push((kind.name(), Reader::Through(contestant)));
    }
    Ok(readers)
}

async fn local(server: &Server, round: u64) -> Result<()> {
    let near = Contestant::connect(Kind::LarderLocal, server.address).await?;
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
    Ok(())
}

async fn over_loopback(
    readers: &[(&str, Reader)],
    what: &str,
    width: u32,
    round: u64,
) -> Result<()> {
    let mut costs = vec![Vec::new(); readers.len()];
    for turn in 0..TURNS {
        for step in 0..readers.len() {
            let next = (turn + step) % readers.len();
            costs[next].push(readers[next].1.cost(width).await?);
        }
    }
    for ((name, _), cost) in readers.iter().zip(&costs) {
        println!("{round},{what},{name},CPU ns,{:.0}", median(cost.clone()));
    }
    for ((name, _), cost) in readers.iter().zip(&costs).skip(1) {
        let ratios = cost.iter().zip(&costs[0]).map(|(cost, get)| cost / get).collect();
        println!("{round},{what},{name},CPU of a GET,{:.2}", median(ratios));
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Who reads.
#[derive(Clone)]
enum Reader {
    /// The bytes of a value, and nothing but GET.
    Get(MultiplexedConnection),
    Through(Contestant),
}

impl Reader {
    async fn get(server: &Server) -> Result<Self> {
        let mut connection = connection(server.address).await?;
        let bytes = rmp_serde::to_vec_named(&Product::of(1))?;
        let () = connection.set("plain", bytes).await?;
        Ok(Self::Get(connection))
    }

    /// What a read takes of this process's CPU, in nanoseconds.
    async fn cost(&self, width: u32) -> Result<f64> {
        let end = Instant::now() + SPAN;
        let before = CpuTime::of(std::process::id())?;
        let tasks: Vec<_> =
            (0..width).map(|_| tokio::spawn(self.clone().read_until(end))).collect();
        let mut reads = 0;
        for task in tasks {
            reads += task.await??;
        }
        let spent = CpuTime::of(std::process::id())?.since(&before).whole;
        Ok(spent.as_nanos() as f64 / reads.max(1) as f64)
    }

    async fn read_until(self, end: Instant) -> Result<u64> {
        let mut reads = 0;
        match self {
            Self::Get(mut connection) => {
                while Instant::now() < end {
                    let bytes: Vec<u8> = connection.get("plain").await?;
                    black_box(bytes);
                    reads += 1;
                }
            }
            Self::Through(contestant) => {
                while Instant::now() < end {
                    black_box(contestant.read(2, || async { 1 }).await?);
                    reads += 1;
                }
            }
        }
        Ok(reads)
    }
}
