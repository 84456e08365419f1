//! Relayed connections go back to where they came from when their node hands over in turn.
//!
//! So a connection leads over one other node at most, however often the primary moves, and none goes
//! through a node that has nothing to do with it any more. The member that relays a connection gives
//! the primary a mark. When that one hands over, it answers what it has run and then says:
//!
//! ```text
//! mark, length, sealed: ticket, whom to go to, how much of a transaction to begin anew; that
//! ```
//!
//! The relaying member ends its side of the connection, so that what is under way arrives, gets all
//! that was not consumed back, and goes on with the new primary, which may be itself.
//!
//! Invariant: a mark is never part of replies. It begins with a carriage return that no line feed
//! follows, and the rest nobody can guess.

use super::relay::{PATIENCE, Passenger, Relay, challenge};
use super::ticket::{CHALLENGE_BYTES, Fields, TICKET_BYTES, Ticket, open, seal};
use crate::node::shared::Shared;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// Bytes of a mark.
const MARK_BYTES: usize = CHALLENGE_BYTES + 1;
/// Bytes copied at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long a client of a node that ends has to notice.
const DISCARD: Duration = Duration::from_millis(50);

/// What a primary says before it gives a connection back.
pub(crate) type Mark = [u8; MARK_BYTES];

/// A mark that nobody can foresee.
pub(super) fn mark() -> Option<Mark> {
    let mut mark = [b'\r'; MARK_BYTES];
    mark[1..].copy_from_slice(&challenge()?);
    Some(mark)
}

/// A connection that was given back.
pub(super) struct Returned {
    /// Where it goes on.
    pub(super) relay: Arc<Relay>,
    pub(super) ticket: Box<Ticket>,
    /// What begins its transaction anew, and how many replies that has.
    pub(super) again: (Vec<u8>, usize),
    /// What was not consumed.
    pub(super) query: Vec<u8>,
}

/// Gives a connection back to the member that relayed it here.
///
/// # Errors
/// The stream fails, the other side does not end it in time or says too much.
pub(super) async fn give_back<S>(
    node: &Shared,
    passenger: Passenger<S>,
    mark: &Mark,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Passenger { mut stream, session, mut query, relay, ticket } = passenger;
    let (again, replies) = session.transaction.again();
    let mut body = ticket.body();
    relay.put(&mut body);
    body.extend_from_slice(&(again.len() as u64).to_le_bytes());
    body.extend_from_slice(&(replies as u64).to_le_bytes());
    let secret = node.member().map(super::Membership::secret).unwrap_or_default();
    let sealed = seal(secret, mark, body).ok_or(io::ErrorKind::Unsupported)?;
    let said = [&mark[..], &(sealed.len() as u32).to_le_bytes(), &sealed, &again].concat();
    let returned = async {
        stream.write_all(&said).await?;
        stream.flush().await?;
        read_to_end(&mut stream, &mut query, limit(node)).await?;
        stream.write_all(&query).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(PATIENCE, returned).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// What a client may have sent that nobody consumed.
fn limit(node: &Shared) -> usize {
    node.config.load().client_query_buffer_limit_bytes as usize + CHUNK_BYTES
}

async fn read_to_end(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    limit: usize,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&chunk[..read]);
        if bytes.len() > limit {
            return Err(io::Error::other("more than a client may send ahead"));
        }
    }
}

/// One direction. What was read is kept here, so that nothing is lost when copying is broken off.
struct Way {
    chunk: Vec<u8>,
    written: usize,
    read: usize,
}

impl Way {
    fn new() -> Self {
        Self { chunk: vec![0; CHUNK_BYTES], written: 0, read: 0 }
    }

    /// Copies until `from` ends; may be dropped at any time.
    async fn copy(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        loop {
            while self.written < self.read {
                match to.write(&self.chunk[self.written..self.read]).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => self.written += written,
                }
            }
            to.flush().await?;
            let read = from.read(&mut self.chunk).await?;
            if read == 0 {
                return Ok(());
            }
            (self.written, self.read) = (0, read);
        }
    }

    fn rest(&self) -> &[u8] {
        &self.chunk[self.written..self.read]
    }
}

/// Copies both ways until either side ends, or the far one gives the connection back. `arrived` is
/// what came from it already. Where this node ends, all that it took is answered before the connection
/// ends, so that what was not answered was not done.
///
/// # Errors
/// A stream fails, or what is given back makes no sense.
pub(super) async fn carry<S, F>(
    node: &Shared,
    near: &mut S,
    mut far: F,
    mark: &Mark,
    arrived: Vec<u8>,
) -> io::Result<Option<Returned>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let mut there = Way::new();
    let begun = {
        let (mut near_read, mut near_write) = split(near);
        let (mut far_read, mut far_write) = split(&mut far);
        let mut back = pin!(copy_to_mark(&mut far_read, &mut near_write, mark, arrived));
        tokio::select! {
            ended = there.copy(&mut near_read, &mut far_write) => return ended.map(|()| None),
            ended = &mut back => ended?,
            () = node.shutdown.requested() => {
                far_write.write_all(there.rest()).await?;
                far_write.shutdown().await?;
                let ended = back.await?;
                if ended.is_none() {
                    discard(&mut near_read).await;
                }
                ended
            }
        }
    };
    let Some(mut said) = begun else { return Ok(None) };
    let taken = async {
        far.shutdown().await?;
        read_to_end(&mut far, &mut said, limit(node) * 2).await
    };
    tokio::time::timeout(PATIENCE, taken).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let secret = node.member().map(super::Membership::secret).unwrap_or_default();
    let mut returned = Returned::read(&said, secret, mark)
        .ok_or_else(|| io::Error::other("a connection came back without a ticket"))?;
    returned.query.extend_from_slice(there.rest());
    Ok(Some(returned))
}

/// Reads what nobody is to take any more, for a moment: unread, it would reset the connection, and with
/// it replies on their way.
async fn discard(from: &mut (impl AsyncRead + Unpin)) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let discarded = async { while from.read(&mut chunk).await.is_ok_and(|read| read > 0) {} };
    // Whoever goes on sending is reset.
    let _ = tokio::time::timeout(DISCARD, discarded).await;
}

/// Copies until `from` ends, or up to the mark; gives what came after that.
async fn copy_to_mark(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mark: &Mark,
    arrived: Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = arrived;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let (end, is_there) = find(&bytes, mark);
        to.write_all(&bytes[..end]).await?;
        to.flush().await?;
        bytes.drain(..end);
        if is_there {
            bytes.drain(..MARK_BYTES);
            return Ok(Some(bytes));
        }
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            to.write_all(&bytes).await?;
            to.shutdown().await?;
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// Where the mark begins, or may begin, and whether all of it is there.
fn find(bytes: &[u8], mark: &Mark) -> (usize, bool) {
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|byte| *byte == b'\r') {
        at += step;
        let rest = &bytes[at..];
        if rest.starts_with(mark) {
            return (at, true);
        }
        if mark.starts_with(rest) {
            return (at, false);
        }
        at += 1;
    }
    (bytes.len(), false)
}

impl Returned {
    fn read(said: &[u8], secret: &[u8], mark: &Mark) -> Option<Self> {
        let (len, rest) = said.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len) as usize;
        let (sealed, rest) = rest.split_at_checked(len).filter(|_| len <= TICKET_BYTES)?;
        let mut fields = Fields(open(sealed, secret, mark)?);
        let ticket = Box::new(Ticket::read(&mut fields)?);
        let relay = Arc::new(Relay::read(&mut fields, ticket.epoch)?);
        let again = usize::try_from(fields.number()?).ok()?;
        let replies = usize::try_from(fields.number()?).ok()?;
        let (again, query) = rest.split_at_checked(again)?;
        Some(Self { relay, ticket, again: (again.to_vec(), replies), query: query.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_it_is_torn() {
        let mark = mark().expect("randomness");
        let replies = b"$5\r\na\rb\r\n\r\n:1\r\n";
        assert_eq!(find(replies, &mark), (replies.len(), false));
        for len in 0..=MARK_BYTES {
            let bytes = [replies, &mark[..len]].concat();
            assert_eq!(find(&bytes, &mark), (replies.len(), len == MARK_BYTES), "{len} bytes");
        }
        assert_eq!(find(&[&mark[..9], b"\r\n"].concat(), &mark), (11, false), "only its beginning");
    }

    #[test]
    fn what_comes_back_makes_sense_or_is_nothing() {
        let mark = mark().expect("randomness");
        let node = larder_replication::group::config::NodeId("n2".to_owned());
        let relay = Relay::new(7, node, ([127, 0, 0, 1], 7000).into(), (0, 0));
        let mut body = Ticket::default().body();
        relay.put(&mut body);
        body.extend_from_slice(&5_u64.to_le_bytes());
        body.extend_from_slice(&1_u64.to_le_bytes());
        let sealed = seal(b"secret", &mark, body).expect("any key will do");
        let said = [&(sealed.len() as u32).to_le_bytes(), &sealed[..], b"MULTIPING\r\n"].concat();
        let back = Returned::read(&said, b"secret", &mark).expect("it is whole");
        assert_eq!((*back.ticket, back.relay.address.port()), (Ticket::default(), 7000));
        assert_eq!(
            (&back.again.0[..], back.again.1, &back.query[..]),
            (&b"MULTI"[..], 1, &b"PING\r\n"[..])
        );
        assert!(Returned::read(&said, b"another", &mark).is_none());
        for len in 0..said.len() - b"PING\r\n".len() {
            assert!(Returned::read(&said[..len], b"secret", &mark).is_none(), "{len} bytes");
        }
    }
}
