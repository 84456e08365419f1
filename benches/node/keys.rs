//! Bulk loading of numbered keys over one connection.

use larder_benches::Result;
use larder_benches::peer::Server;

/// Requests per batch when only the result counts.
pub(crate) const BULK: u64 = 256;

/// Writes the requests for key numbers `0..count` in batches of `batch`, then waits for each
/// batch's replies. `encode` appends the request for one number.
///
/// # Errors
/// When the connection breaks or any reply is an error.
pub(crate) fn fill(
    server: &Server,
    count: u64,
    batch: u64,
    encode: impl Fn(u64, &mut Vec<u8>),
) -> Result<()> {
    let mut link = server.connect()?;
    let mut requests = Vec::new();
    for start in (0..count).step_by(usize::try_from(batch.max(1)).unwrap_or(1)) {
        let end = (start + batch).min(count);
        requests.clear();
        for number in start..end {
            encode(number, &mut requests);
        }
        let replies = usize::try_from(end - start).unwrap_or(usize::MAX);
        link.load(&requests, replies, "bulk load")?;
    }
    Ok(())
}
