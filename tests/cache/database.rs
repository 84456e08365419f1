//! Databases for tests: one inside the process that knows what readers must not see any more, and one
//! that other processes can ask.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use larder_client::Token;
use parking_lot::Mutex;

/// Rows whose values are their versions.
#[derive(Debug)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    running: AtomicU64,
    most: AtomicU64,
    loads: AtomicU64,
}

#[derive(Debug, Default)]
struct Row {
    version: AtomicU64,
    finished: Mutex<(u64, Option<Token>)>,
}

impl Rows {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let rows = (0..count).map(|_| Row { version: AtomicU64::new(1), ..Row::default() });
        Arc::new(Self {
            rows: rows.collect(),
            running: AtomicU64::new(0),
            most: AtomicU64::new(0),
            loads: AtomicU64::new(0),
        })
    }

    /// Reads a row; the time passes before and after the look.
    pub(crate) async fn read(&self, row: usize, before: Duration, after: Duration) -> u64 {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        pass(before).await;
        let version = self.rows[row].version.load(Ordering::SeqCst);
        pass(after).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        version
    }

    /// Changes a row and gives its version.
    pub(crate) fn change(&self, row: usize) -> u64 {
        self.rows[row].version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// An invalidation was finished that belongs to a version, or a later one.
    pub(crate) fn finish(&self, row: usize, version: u64, token: Option<Token>) {
        let mut finished = self.rows[row].finished.lock();
        if version > finished.0 {
            *finished = (version, token);
        }
    }

    /// The version that a reader who comes now may see at least, and where it stands.
    pub(crate) fn finished(&self, row: usize) -> (u64, Option<Token>) {
        *self.rows[row].finished.lock()
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// The most reads that there were at once.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

/// No time at all is a time too: then others may run in between or not.
async fn pass(time: Duration) {
    if time.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(time).await;
    }
}

/// A database that takes 50 ms for each answer and counts them.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    queries: Arc<AtomicU64>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let queries = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&queries);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                thread::spawn(move || {
                    let mut lines = BufReader::new(&stream).lines();
                    while let Some(Ok(_)) = lines.next() {
                        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                        thread::sleep(Duration::from_millis(50));
                        if writeln!(&stream, "{number}").is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { addr, queries }
    }

    pub(crate) fn queries(&self) -> u64 {
        self.queries.load(Ordering::SeqCst)
    }
}
