//! A disk with a thread of its own, so that whoever writes can do other things while it syncs.
//!
//! What is asked for is done in the order in which it was asked for, whether or not anybody waits for
//! it. Reading waits its turn, too: it sees everything that was to be written before.

use super::{DiskError, FileDisk};
use crate::group::ports::{Disk, Writing};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Requests that may wait. A member writes one thing after the other, but for promises, of which each
/// is for a later epoch.
const MAX_WAITING: usize = 64;

/// What the thread is asked for.
type Request = Box<dyn FnOnce(&FileDisk) + Send>;

/// Files that one thread writes. Dropping it waits for what was asked for.
#[derive(Debug)]
pub struct DiskThread {
    queue: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(disk: FileDisk) -> io::Result<Self> {
        let (queue, requests) = sync_channel(MAX_WAITING);
        let name = "group-disk".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || serve(disk, requests))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    fn write(
        &self,
        write: impl FnOnce(&FileDisk) -> Result<(), DiskError> + Send + 'static,
    ) -> Writing {
        let (done, result) = oneshot::channel();
        let request: Request = Box::new(move |disk| {
            // Nobody waits for it any more, or somebody does.
            let _ = done.send(write(disk));
        });
        let sent = self.queue.as_ref().map(|queue| queue.try_send(request));
        let error = match sent {
            Some(Ok(())) => None,
            Some(Err(TrySendError::Full(_))) => Some(DiskError::Busy),
            Some(Err(TrySendError::Disconnected(_))) | None => Some(gone()),
        };
        Box::pin(async move {
            match error {
                None => result.await.unwrap_or_else(|_| Err(gone())),
                Some(error) => Err(error),
            }
        })
    }
}

fn gone() -> DiskError {
    DiskError::Broken("its thread has ended".to_owned())
}

fn serve(disk: FileDisk, requests: Receiver<Request>) {
    for request in requests {
        request(&disk);
    }
}

impl Disk for DiskThread {
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        let (done, result) = sync_channel(1);
        let name = name.to_owned();
        let request: Request = Box::new(move |disk| {
            // The one who asked waits below.
            let _ = done.send(disk.read(&name));
        });
        let sent = self.queue.as_ref().and_then(|queue| queue.send(request).ok());
        sent.and_then(|()| result.recv().ok()).unwrap_or_else(|| Err(gone()))
    }

    fn replace(&self, name: &str, record: &[u8]) -> Writing {
        let (name, record) = (name.to_owned(), record.to_vec());
        self.write(move |disk| disk.replace(&name, &record))
    }

    fn append(&self, name: &str, record: &[u8]) -> Writing {
        let (name, record) = (name.to_owned(), record.to_vec());
        self.write(move |disk| disk.append(&name, &record))
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_done_in_order_and_before_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskThread::start(FileDisk::open(folder.path()).unwrap()).unwrap();
        drop(disk.append("log", b"nobody waits for this"));
        let second = disk.append("log", b"second");
        let replaced = disk.replace("vote", b"7");
        assert_eq!(disk.read("log").unwrap(), [&b"nobody waits for this"[..], b"second"]);
        second.await.unwrap();
        replaced.await.unwrap();
        drop(disk.replace("vote", b"8"));
        drop(disk);
        let disk = FileDisk::open(folder.path()).expect("it is free again");
        assert_eq!(disk.read("vote").unwrap(), [b"8"]);
    }

    #[tokio::test]
    async fn no_more_waits_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskThread::start(FileDisk::open(folder.path()).unwrap()).unwrap();
        let (release, held) = sync_channel::<()>(1);
        let first = disk.write(move |_| {
            held.recv().map_err(|_| gone())?;
            Ok(())
        });
        let mut waiting: Vec<Writing> = Vec::new();
        let error = loop {
            let mut written = disk.append("log", b"x");
            let is_refused = tokio::time::timeout(std::time::Duration::ZERO, &mut written).await;
            match is_refused {
                Ok(result) => break result.expect_err("nothing can be written"),
                Err(_) => waiting.push(written),
            }
            assert!(waiting.len() <= MAX_WAITING + 1);
        };
        assert!(matches!(error, DiskError::Busy), "{error}");
        release.send(()).unwrap();
        first.await.unwrap();
        for written in waiting {
            written.await.unwrap();
        }
    }
}
