//! Reads of many, sent as one.
//!
//! A GET costs the process its command, its place in the connection's queue, its time limit and its
//! way back, whatever it reads. Where many read at once these are paid for together: the first
//! of them has a task send what is asked of the same node until that task's turn comes, as one MGET.
//! So nobody waits for anything but those who are about to run anyway, and what a reader gets was
//! asked for after it came. Few readers send for themselves.

use crate::error::Error;
use crate::link::Link;
use crate::net::command;
use crate::value::Value;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;

/// With fewer other reads under way each is sent alone.
const CROWD: usize = 4;
/// Reads that go together at most: values may be large, and none is there before all are.
const MOST: usize = 64;

/// The reads of one cache.
#[derive(Default)]
pub(super) struct Gatherer {
    /// Reads under way.
    reading: AtomicUsize,
    /// What is not sent yet, one for each node.
    batches: Mutex<Vec<Batch>>,
}

/// Reads of one node.
struct Batch {
    link: Arc<Link>,
    command: redis::Cmd,
    askers: Vec<Asker>,
}

type Asker = oneshot::Sender<Result<Value, Error>>;

/// One read under way.
struct Reading<'g>(&'g AtomicUsize);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gatherer {
    /// What stands under a key at a node.
    pub(super) async fn get(
        self: &Arc<Self>,
        link: &Arc<Link>,
        key: &[u8],
        limit: Duration,
    ) -> Result<Value, Error> {
        let others = self.reading.fetch_add(1, Ordering::Relaxed);
        let _reading = Reading(&self.reading);
        if others < CROWD {
            return link.send(&command(&[b"GET", key]), limit).await;
        }
        // The task that sends ends early only with its runtime.
        self.join(link, key, limit).await.unwrap_or(Err(Error::Disconnected))
    }

    fn join(
        self: &Arc<Self>,
        link: &Arc<Link>,
        key: &[u8],
        limit: Duration,
    ) -> oneshot::Receiver<Result<Value, Error>> {
        let (asker, answer) = oneshot::channel();
        let mut batches = self.batches.lock();
        let open = batches.iter_mut().find(|batch| Arc::ptr_eq(&batch.link, link));
        let is_new = open.is_none();
        match open {
            Some(batch) => batch.add(key, asker),
            None => {
                let mut batch = Batch::new(Arc::clone(link));
                batch.add(key, asker);
                batches.push(batch);
            }
        }
        let full = batches.iter().position(|batch| batch.askers.len() >= MOST);
        let full = full.map(|place| batches.swap_remove(place));
        drop(batches);
        if let Some(full) = full {
            tokio::spawn(full.send(limit));
        } else if is_new {
            tokio::spawn(Arc::clone(self).send(Arc::clone(link), limit));
        }
        answer
    }

    /// Sends what was gathered for a node by those who were ready to run.
    async fn send(self: Arc<Self>, link: Arc<Link>, limit: Duration) {
        let mut is_next = false;
        let turn = poll_fn(|cx| {
            if std::mem::replace(&mut is_next, true) {
                return Poll::Ready(());
            }
            // Behind the others: whoever wakes itself has to queue.
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        turn.await;
        let batch = {
            let mut batches = self.batches.lock();
            let place = batches.iter().position(|batch| Arc::ptr_eq(&batch.link, &link));
            place.map(|place| batches.swap_remove(place))
        };
        // It was full before.
        let Some(batch) = batch else { return };
        batch.send(limit).await;
    }
}

impl Batch {
    fn new(link: Arc<Link>) -> Self {
        let mut command = redis::Cmd::with_capacity(MOST + 1, MOST * 32);
        command.arg(b"MGET");
        Self { link, command, askers: Vec::with_capacity(MOST) }
    }

    fn add(&mut self, key: &[u8], asker: Asker) {
        self.command.arg(key);
        self.askers.push(asker);
    }

    async fn send(self, limit: Duration) {
        let values = self.link.send(&self.command, limit).await.and_then(Value::into_array);
        // Who gave up does not hear it.
        match values {
            Ok(values) if values.len() == self.askers.len() => {
                for (asker, value) in self.askers.into_iter().zip(values) {
                    let _ = asker.send(Ok(value));
                }
            }
            other => {
                let error = other.err().unwrap_or(Error::Reply("as many values as keys"));
                for asker in self.askers {
                    let _ = asker.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::{Endpoints, Net, Target};
    use larder_server::Node;
    use larder_server::config::DirectiveOptions;

    const READERS: u32 = 300;
    const LIMIT: Duration = Duration::from_secs(20);

    async fn net() -> (Arc<Node>, Net) {
        let node = Arc::new(Node::builder().threads(1).start().expect("a node starts"));
        let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await;
        (node, net.expect("a node in the process can be reached"))
    }

    fn link(net: &Net) -> Arc<Link> {
        let view = net.view();
        Arc::clone(&view.primary().expect("the node leads").data)
    }

    /// All read a key of their own, at once.
    fn read(
        gatherer: &Arc<Gatherer>,
        link: &Arc<Link>,
    ) -> Vec<tokio::task::JoinHandle<Result<Value, Error>>> {
        let reader = |number: u32| {
            let (gatherer, link) = (Arc::clone(gatherer), Arc::clone(link));
            tokio::spawn(
                async move { gatherer.get(&link, number.to_string().as_bytes(), LIMIT).await },
            )
        };
        (0..READERS).map(reader).collect()
    }

    #[tokio::test]
    async fn who_reads_beside_others_gets_its_own_value() {
        let (_node, net) = net().await;
        for number in (0..READERS).step_by(2) {
            let name = number.to_string();
            net.write(&[b"SET", name.as_bytes(), name.as_bytes()]).await.unwrap();
        }
        let (gatherer, link) = (Arc::default(), link(&net));
        for (number, reader) in read(&gatherer, &link).into_iter().enumerate() {
            // Some give up before they have an answer.
            if number % 7 == 3 {
                reader.abort();
                continue;
            }
            let value = reader.await.unwrap().unwrap();
            let expected = (number % 2 == 0).then(|| number.to_string());
            assert_eq!(value.as_str(), expected.as_deref());
        }
        assert_eq!(gatherer.reading.load(Ordering::SeqCst), 0);
        let stats = net.read(&[b"INFO", b"commandstats"], Target::Primary).await.unwrap();
        let calls = |name: &str| {
            let text = stats.as_str()?.split_once(&format!("cmdstat_{name}:calls="))?.1;
            text.split(',').next()?.parse::<u32>().ok()
        };
        assert!(calls("mget").is_some_and(|sent| sent >= READERS / MOST as u32 - 1));
        assert!(calls("mget").unwrap_or_default() + calls("get").unwrap_or_default() < 50);
    }

    #[tokio::test]
    async fn everyone_hears_that_the_connection_broke() {
        let (node, net) = net().await;
        let (gatherer, link) = (Arc::default(), link(&net));
        node.local().call(&[b"CLIENT", b"PAUSE", b"20000", b"ALL"]);
        let readers = read(&gatherer, &link);
        tokio::time::sleep(Duration::from_millis(50)).await;
        node.shutdown_handle().request();
        for reader in readers {
            assert!(reader.await.unwrap().is_err_and(|error| error.is_failover()));
        }
    }
}
