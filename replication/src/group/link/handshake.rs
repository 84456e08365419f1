//! How two members make sure of each other, and what keys they use from then on.
//!
//! ```text
//! caller   -> hello      version, a nonce, the names of both
//! answerer -> challenge  a nonce
//! caller   -> proof      HMAC-SHA256 of all that, in the caller's words
//! answerer -> proof      the same in the answerer's words
//! ```
//!
//! The caller proves first: who does not know the secret gets nothing but a nonce, so there is
//! nothing to guess the secret from. All that both said is under both proofs and in the keys, and
//! the two roles have words of their own: no proof can be used in another connection, by another
//! member, for another one, or be sent back to who made it.
//!
//! These are decisions only: the nonces come from outside, as do the bytes.

use super::frame::{Key, Opener, Sealer};
use crate::group::config::NodeId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Bytes of a nonce and of a proof.
pub const PROOF_BYTES: usize = 32;
/// Bytes that a secret must have.
pub const MIN_SECRET_BYTES: usize = 16;
/// Bytes of a hello up to the names.
pub(super) const HELLO_HEAD_BYTES: usize = MAGIC.len() + 2 + PROOF_BYTES + 2;

const MAGIC: &[u8; 8] = b"LARDRGRP";
const VERSION: u16 = 1;

/// What the members of a group share and nobody else knows.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// A secret that is too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group's secret needs at least {MIN_SECRET_BYTES} bytes, this one has {0}")]
pub struct WeakSecret(pub usize);

/// Why two members do not come together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// It does not begin as a hello does.
    #[error("no hello of a group's member")]
    NoHello,
    /// It is of another version.
    #[error("version {0} of the link, where this is version {VERSION}")]
    Version(u16),
    /// A name is empty, longer than 255 bytes, or no text.
    #[error("a name that no member can have")]
    Name,
    /// The call is for somebody else, or comes from a member of the own name.
    #[error("a call from {from} to {to}")]
    Misdirected {
        /// Who calls.
        from: NodeId,
        /// Who is meant.
        to: NodeId,
    },
    /// The other one does not know the secret.
    #[error("a proof that is wrong")]
    Proof,
}

/// Both directions' keys.
pub struct Keys {
    /// Makes the frames that are sent.
    pub sealer: Sealer,
    /// Opens the frames that arrive.
    pub opener: Opener,
}

impl Secret {
    /// Takes a secret.
    ///
    /// # Errors
    /// One that is too short.
    pub fn new(bytes: &[u8]) -> Result<Self, WeakSecret> {
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(WeakSecret(bytes.len()));
        }
        Ok(Self::of(bytes))
    }

    /// A new one, for a group that lives in one process.
    ///
    /// # Errors
    /// Where the system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; PROOF_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Self {
        // HMAC takes keys of any length.
        Self(Hmac::new_from_slice(bytes).unwrap_or_else(|_| unreachable!("any length will do")))
    }

    fn derive(&self, words: &str, said: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(words.as_bytes());
        mac.update(&[0]);
        mac.update(said);
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The caller's side, once it has said hello.
pub struct Caller<'a> {
    secret: &'a Secret,
    said: Vec<u8>,
}

/// The caller's side, once it has proven itself.
pub struct Proven<'a>(Caller<'a>);

/// The answerer's side, once it has heard a hello.
pub struct Answerer<'a> {
    secret: &'a Secret,
    said: Vec<u8>,
    from: NodeId,
}

impl<'a> Caller<'a> {
    /// Says hello.
    ///
    /// # Errors
    /// [`HandshakeError::Name`].
    pub fn new(
        secret: &'a Secret,
        me: &NodeId,
        to: &NodeId,
        nonce: [u8; PROOF_BYTES],
    ) -> Result<Self, HandshakeError> {
        let mut said = MAGIC.to_vec();
        said.extend(VERSION.to_be_bytes());
        said.extend(nonce);
        for name in [me, to] {
            let length = u8::try_from(name.0.len()).ok().filter(|length| *length > 0);
            said.push(length.ok_or(HandshakeError::Name)?);
        }
        said.extend(me.0.bytes().chain(to.0.bytes()));
        Ok(Self { secret, said })
    }

    /// What to send first.
    pub fn hello(&self) -> &[u8] {
        &self.said
    }

    /// Answers the challenge.
    pub fn prove(mut self, challenge: &[u8; PROOF_BYTES]) -> (Proven<'a>, [u8; PROOF_BYTES]) {
        self.said.extend(challenge);
        let proof = self.secret.derive("caller", &self.said).finalize().into_bytes().into();
        (Proven(self), proof)
    }
}

impl Proven<'_> {
    /// Judges the other side's proof.
    ///
    /// # Errors
    /// [`HandshakeError::Proof`].
    pub fn check(self, proof: &[u8; PROOF_BYTES]) -> Result<Keys, HandshakeError> {
        let Caller { secret, said } = self.0;
        let expected = secret.derive("answerer", &said);
        expected.verify_slice(proof).map_err(|_| HandshakeError::Proof)?;
        let [requests, answers] = keys(secret, &said);
        Ok(Keys { sealer: Sealer::new(requests), opener: Opener::new(answers) })
    }
}

impl<'a> Answerer<'a> {
    /// Hears a hello: its head, and behind it the names, of which the head tells the length.
    ///
    /// # Errors
    /// A hello that is none, or is meant for somebody else.
    pub fn hear(
        secret: &'a Secret,
        me: &NodeId,
        hello: &[u8],
        nonce: [u8; PROOF_BYTES],
    ) -> Result<Self, HandshakeError> {
        let (head, names) =
            hello.split_at_checked(HELLO_HEAD_BYTES).ok_or(HandshakeError::NoHello)?;
        let length = names_bytes(head)?;
        let from_bytes = usize::from(head[HELLO_HEAD_BYTES - 2]);
        let (from, to) = names
            .split_at_checked(from_bytes)
            .filter(|_| names.len() == length)
            .ok_or(HandshakeError::Name)?;
        let name = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(name) if !name.is_empty() => Ok(NodeId(name.to_owned())),
            _ => Err(HandshakeError::Name),
        };
        let (from, to) = (name(from)?, name(to)?);
        if to != *me || from == *me {
            return Err(HandshakeError::Misdirected { from, to });
        }
        let mut said = hello.to_vec();
        said.extend(nonce);
        Ok(Self { secret, said, from })
    }

    /// What to send: the challenge.
    pub fn challenge(&self) -> &[u8] {
        &self.said[self.said.len() - PROOF_BYTES..]
    }

    /// Judges the caller's proof. Gives who it is, the own proof to send, and the keys.
    ///
    /// # Errors
    /// [`HandshakeError::Proof`].
    pub fn check(
        self,
        proof: &[u8; PROOF_BYTES],
    ) -> Result<(NodeId, [u8; PROOF_BYTES], Keys), HandshakeError> {
        let Self { secret, said, from } = self;
        let expected = secret.derive("caller", &said);
        expected.verify_slice(proof).map_err(|_| HandshakeError::Proof)?;
        let own = secret.derive("answerer", &said).finalize().into_bytes().into();
        let [requests, answers] = keys(secret, &said);
        Ok((from, own, Keys { sealer: Sealer::new(answers), opener: Opener::new(requests) }))
    }
}

/// How many bytes of names follow the head of a hello.
pub(super) fn names_bytes(head: &[u8]) -> Result<usize, HandshakeError> {
    let rest = head.strip_prefix(MAGIC).ok_or(HandshakeError::NoHello)?;
    let (version, rest) = rest.split_first_chunk().ok_or(HandshakeError::NoHello)?;
    match u16::from_be_bytes(*version) {
        VERSION => {}
        other => return Err(HandshakeError::Version(other)),
    }
    let lengths = rest.get(PROOF_BYTES..PROOF_BYTES + 2).ok_or(HandshakeError::NoHello)?;
    Ok(lengths.iter().map(|length| usize::from(*length)).sum())
}

/// The keys of requests and of answers.
fn keys(secret: &Secret, said: &[u8]) -> [Key; 2] {
    ["requests", "answers"]
        .map(|words| Key::new(&secret.derive(words, said).finalize().into_bytes()))
}
