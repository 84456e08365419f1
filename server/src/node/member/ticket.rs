//! What lets a connection in that another member of the group relays.
//!
//! The new primary gives out a challenge; the relaying member answers with what it knows of the client
//! and a code over both that only who has the group's secret can make. A challenge is good for one
//! answer on one connection, so nothing that was overheard opens anything.

use crate::acl::identity::Identity;
use crate::session::{ReplyMode, Session};
use hmac::{Hmac, KeyInit, Mac};
use larder_protocol::Version;
use sha2::Sha256;
use std::sync::atomic::Ordering;

/// Bytes of a challenge.
pub(crate) const CHALLENGE_BYTES: usize = 32;
/// Bytes of the code.
const CODE_BYTES: usize = 32;
/// Tickets are no longer.
pub(crate) const TICKET_BYTES: usize = 16 * 1024;
/// Nodes that a connection may be relayed through.
pub(crate) const HOPS: u8 = 4;
/// What this is for, so that a code for anything else is none for this.
const PURPOSE: &[u8] = b"larder relayed connection 1";

const NO_EVICT: u8 = 1;
const NO_TOUCH: u8 = 2;
const REPLIES_OFF: u8 = 4;

/// What a relayed connection brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The epoch whose primary it is for.
    pub(crate) epoch: u64,
    user: Vec<u8>,
    db: u64,
    resp: u8,
    flags: u8,
    /// Nodes that it came through.
    pub(crate) hops: u8,
    name: Vec<u8>,
    lib_name: Vec<u8>,
    lib_ver: Vec<u8>,
    address: Vec<u8>,
    local_address: Vec<u8>,
}

impl Ticket {
    /// One for a session; none for one that has more state than can be brought along, or that came
    /// through too many nodes.
    pub(crate) fn of(session: &Session, epoch: u64) -> Option<Self> {
        let client = &session.client;
        let hops = client.hops.load(Ordering::Relaxed);
        if hops >= HOPS || !is_plain(session) {
            return None;
        }
        let texts = client.texts.lock().clone();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        Some(Self {
            epoch,
            user: session.identity.name().to_vec(),
            db: session.db as u64,
            resp: if session.version == Version::Resp3 { 3 } else { 2 },
            flags: flag(client.is_spared(), NO_EVICT)
                | flag(session.no_touch, NO_TOUCH)
                | flag(session.reply_mode == ReplyMode::Off, REPLIES_OFF),
            hops: hops + 1,
            name: texts.name,
            lib_name: texts.lib_name,
            lib_ver: texts.lib_ver,
            address: client.address().into_bytes(),
            local_address: client.local_address().into_bytes(),
        })
    }

    /// The session goes on as the one that the ticket is of; false when there is no such user.
    pub(crate) fn apply(&self, node: &crate::node::shared::Shared, session: &mut Session) -> bool {
        let Some(identity) = Identity::of_guest(&node.acl.users, &self.user) else { return false };
        let client = &session.client;
        session.identity = identity;
        client.show_user(&session.identity);
        let db = usize::try_from(self.db).unwrap_or(usize::MAX);
        client.set_db(db);
        session.db = db;
        session.version = if self.resp == 3 { Version::Resp3 } else { Version::Resp2 };
        client.resp.store(u32::from(self.resp), Ordering::Relaxed);
        session.no_touch = self.flags & NO_TOUCH != 0;
        client.no_touch.store(session.no_touch, Ordering::Relaxed);
        node.clients.spare(client, self.flags & NO_EVICT != 0);
        if self.flags & REPLIES_OFF != 0 {
            session.reply_mode = ReplyMode::Off;
        }
        let mut texts = client.texts.lock();
        texts.name.clone_from(&self.name);
        texts.lib_name.clone_from(&self.lib_name);
        texts.lib_ver.clone_from(&self.lib_ver);
        drop(texts);
        client.hops.store(self.hops, Ordering::Relaxed);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        client.set_origin(text(&self.address), text(&self.local_address));
        // What it wrote before is within what this node began with.
        session.written_to = node.log.offset();
        session.replica = None;
        true
    }

    /// The ticket as it goes over, for one challenge.
    pub(crate) fn seal(&self, secret: &[u8], challenge: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.db.to_le_bytes());
        bytes.extend_from_slice(&[self.resp, self.flags, self.hops]);
        for text in self.texts() {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text);
        }
        let code = code(secret, challenge, &bytes)?.finalize().into_bytes();
        bytes.extend_from_slice(&code);
        Some(bytes)
    }

    fn texts(&self) -> [&[u8]; 6] {
        let Self { user, name, lib_name, lib_ver, address, local_address, .. } = self;
        [user, name, lib_name, lib_ver, address, local_address]
    }

    /// Reads one that answers a challenge; none when it was not made for it by one of the group.
    pub(crate) fn open(bytes: &[u8], secret: &[u8], challenge: &[u8]) -> Option<Self> {
        let body = bytes.len().checked_sub(CODE_BYTES).filter(|_| bytes.len() <= TICKET_BYTES)?;
        let (body, sealed) = bytes.split_at(body);
        code(secret, challenge, body)?.verify_slice(sealed).ok()?;
        let mut rest = body;
        let mut take = |len: usize| -> Option<&[u8]> {
            let (taken, left) = rest.split_at_checked(len)?;
            rest = left;
            Some(taken)
        };
        let epoch = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let db = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let [resp, flags, hops] = take(3)?.try_into().ok()?;
        let mut text = || -> Option<Vec<u8>> {
            let len = u32::from_le_bytes(take(4)?.try_into().ok()?);
            Some(take(len as usize)?.to_vec())
        };
        let (user, name, lib_name) = (text()?, text()?, text()?);
        let (lib_ver, address, local_address) = (text()?, text()?, text()?);
        Some(Self {
            epoch,
            user,
            db,
            resp,
            flags,
            hops,
            name,
            lib_name,
            lib_ver,
            address,
            local_address,
        })
    }
}

/// Whether nothing of a session would be lost that a ticket does not say.
pub(crate) fn is_plain(session: &Session) -> bool {
    let client = &session.client;
    let replies = match session.reply_mode {
        ReplyMode::On => true,
        // Of a transaction that is begun anew the replies are counted.
        ReplyMode::Off => !session.transaction.is_open(),
        ReplyMode::Skip | ReplyMode::SkipNext => false,
    };
    replies
        && session.transaction.can_move()
        && !session.is_subscriber
        && !session.caching.tracks
        && !session.caching.is_said
        && session.replica.is_none()
        && session.identity.user().is_some()
        && !client.is_monitor.load(Ordering::Relaxed)
        && client.mailbox.is_empty()
}

fn code(secret: &[u8], challenge: &[u8], body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    code.update(PURPOSE);
    code.update(&(challenge.len() as u64).to_le_bytes());
    code.update(challenge);
    code.update(body);
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            epoch: 9,
            user: b"alice".to_vec(),
            db: 3,
            resp: 3,
            flags: NO_TOUCH,
            hops: 1,
            name: b"worker".to_vec(),
            address: b"127.0.0.1:5000".to_vec(),
            ..Ticket::default()
        }
    }

    #[test]
    fn a_ticket_is_good_for_its_challenge_and_its_group_only() {
        let sealed = ticket().seal(b"secret", b"challenge").expect("any length of key will do");
        assert_eq!(Ticket::open(&sealed, b"secret", b"challenge"), Some(ticket()));
        assert_eq!(Ticket::open(&sealed, b"secret", b"another one"), None);
        assert_eq!(Ticket::open(&sealed, b"another one", b"challenge"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(Ticket::open(&changed, b"secret", b"challenge"), None, "byte {at}");
        }
    }

    #[test]
    fn what_is_sealed_but_makes_no_sense_is_none() {
        let seal = |body: &[u8]| {
            let code = code(b"secret", b"c", body).expect("any length of key will do");
            [body, &code.finalize().into_bytes()[..]].concat()
        };
        for body in [&b""[..], &[0; 19], &[0xff; 40], &[0; 42]] {
            assert_eq!(Ticket::open(&seal(body), b"secret", b"c"), None, "{body:?}");
        }
        assert_eq!(Ticket::open(b"short", b"secret", b"c"), None);
    }
}
