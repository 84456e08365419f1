//! What lets a connection in that another member of the group relays.
//!
//! The new primary gives out a challenge; the relaying member answers with what it knows of the client
//! and a code over both that only who has the group's secret can make. A challenge is good for one
//! answer on one connection, so nothing that was overheard opens anything.

use super::handback::Mark;
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
/// What this is for, so that a code for anything else is none for this.
const PURPOSE: &[u8] = b"larder relayed connection 2";

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
    /// What is said before the connection is given back; empty on its way back.
    pub(super) mark: Vec<u8>,
    name: Vec<u8>,
    lib_name: Vec<u8>,
    lib_ver: Vec<u8>,
    address: Vec<u8>,
    local_address: Vec<u8>,
}

impl Ticket {
    /// One for a session; none for one that has more state than can be brought along.
    pub(crate) fn of(session: &Session, epoch: u64) -> Option<Self> {
        let client = &session.client;
        if !is_plain(session) {
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
            mark: Vec::new(),
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
            client.is_quiet.store(true, Ordering::Relaxed);
        }
        let mut texts = client.texts.lock();
        texts.name.clone_from(&self.name);
        texts.lib_name.clone_from(&self.lib_name);
        texts.lib_ver.clone_from(&self.lib_ver);
        drop(texts);
        session.mark = Mark::try_from(&self.mark[..]).ok().map(Box::new);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        client.set_origin(text(&self.address), text(&self.local_address));
        // What it wrote before is within what this node began with.
        session.written_to = node.log.offset();
        session.propagated_to = session.written_to;
        session.replica = None;
        true
    }

    /// The ticket as it goes over, before it is sealed.
    pub(super) fn body(&self) -> Vec<u8> {
        let Self { user, name, lib_name, lib_ver, address, local_address, mark, .. } = self;
        let mut body = Vec::new();
        body.extend_from_slice(&self.epoch.to_le_bytes());
        body.extend_from_slice(&self.db.to_le_bytes());
        body.extend_from_slice(&[self.resp, self.flags]);
        for text in [user, name, lib_name, lib_ver, address, local_address, mark] {
            put_text(&mut body, text);
        }
        body
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (epoch, db) = (fields.number()?, fields.number()?);
        let [resp, flags] = fields.take(2)?.try_into().ok()?;
        let mut text = || fields.text().map(<[u8]>::to_vec);
        let (user, name, lib_name, lib_ver) = (text()?, text()?, text()?, text()?);
        let (address, local_address, mark) = (text()?, text()?, text()?);
        let known =
            Self { epoch, user, db, resp, flags, name, lib_name, lib_ver, ..Self::default() };
        Some(Self { address, local_address, mark, ..known })
    }

    /// The ticket for one challenge.
    pub(crate) fn seal(&self, secret: &[u8], challenge: &[u8]) -> Option<Vec<u8>> {
        seal(secret, challenge, self.body())
    }

    /// Reads one that answers a challenge; none when it was not made for it by one of the group.
    pub(crate) fn open(bytes: &[u8], secret: &[u8], challenge: &[u8]) -> Option<Self> {
        Self::read(&mut Fields(open(bytes, secret, challenge)?))
    }
}

pub(super) fn put_text(body: &mut Vec<u8>, text: &[u8]) {
    body.extend_from_slice(&(text.len() as u32).to_le_bytes());
    body.extend_from_slice(text);
}

/// What is left of a body to read.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, left) = self.0.split_at_checked(len)?;
        self.0 = left;
        Some(taken)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(super) fn text(&mut self) -> Option<&'b [u8]> {
        let len = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(len as usize)
    }
}

/// Adds the code over a body and the challenge that it answers.
pub(super) fn seal(secret: &[u8], challenge: &[u8], mut body: Vec<u8>) -> Option<Vec<u8>> {
    let code = code(secret, challenge, &body)?.finalize().into_bytes();
    body.extend_from_slice(&code);
    Some(body)
}

/// The body of what was sealed; none when it was not sealed for this challenge by one of the group.
pub(super) fn open<'b>(bytes: &'b [u8], secret: &[u8], challenge: &[u8]) -> Option<&'b [u8]> {
    let len = bytes.len().checked_sub(CODE_BYTES).filter(|_| bytes.len() <= TICKET_BYTES)?;
    let (body, sealed) = bytes.split_at(len);
    code(secret, challenge, body)?.verify_slice(sealed).ok()?;
    Some(body)
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
            mark: b"mark".to_vec(),
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
