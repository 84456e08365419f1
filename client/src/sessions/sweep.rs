//! Tells of sessions that are over where the server does not: a look through the indexes of all users
//! now and then, by one process at a time. All who hear events hear of what it finds.

use super::{Inner, millis};
use crate::error::Error;
use crate::routing::Target;
use crate::value::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long it may take at most until somebody looks. Shorter idle times are looked after sooner, and
/// an index outlives its last session by more.
const PERIOD: Duration = Duration::from_secs(30);

/// Looks again and again, unless the server tells of it itself.
pub(super) async fn watch(inner: Arc<Inner>, is_told: Arc<AtomicBool>) {
    let period = (inner.options.idle / 10).min(PERIOD);
    loop {
        // Not all at the same time.
        tokio::time::sleep(period.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        if !is_told.load(Ordering::Relaxed)
            && let Err(error) = inner.sweep(period).await
        {
            tracing::debug!(%error, "nobody knows which sessions are over");
        }
    }
}

impl Inner {
    /// Looks through all indexes, if nobody else did for half a period.
    async fn sweep(&self, period: Duration) -> Result<(), Error> {
        let turn = format!("{}:sweep", self.name);
        let turn_ms = millis(period / 2).max(1).to_string();
        let turn = [b"SET", turn.as_bytes(), b"1", b"NX", b"PX", turn_ms.as_bytes()];
        if self.net.command(&turn).await? == Value::Nil {
            return Ok(());
        }
        let (pattern, channel) = (format!("{}:{{*}}:u", self.name), self.events());
        let mut cursor = Some(b"0".to_vec());
        while let Some(at) = cursor {
            let (next, indexes) = self.net.scan(&at, pattern.as_bytes(), self.net.limits()).await?;
            cursor = next;
            for index in indexes.iter().filter_map(Value::as_bytes) {
                let sweep = &self.scripts.sweep;
                self.net.run(sweep, &[index], &[&channel], Target::Primary).await?;
            }
        }
        Ok(())
    }
}
