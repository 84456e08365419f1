//! Bytes of a member's link, as hostile as they come: no hello makes the answerer panic, no proof that
//! was not made from the secret is taken, and of the frames that a connection sent only the first ones
//! are opened, in order, whatever is done to what follows.
//!
//! The first byte of the input chooses what the rest is.

#![no_main]

use bytes::BytesMut;
use larder_replication::group::config::NodeId;
use larder_replication::group::link::{Answerer, Caller, Keys, Kind, PROOF_BYTES, Secret};
use libfuzzer_sys::fuzz_target;

const SECRET: &[u8] = b"a secret that nobody guesses";

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    let Ok(secret) = Secret::new(SECRET) else { return };
    match choice % 3 {
        0 => hear(&secret, rest),
        1 => open(&secret, rest, &[]),
        _ => {
            let Some((&count, edits)) = rest.split_first() else { return };
            let (Keys { mut sealer, .. }, _) = meet(&secret);
            let mut sent = BytesMut::new();
            for id in 0..u64::from(count % 8) {
                let payload = vec![id as u8; id as usize * 9];
                assert!(sealer.seal(Kind::Request, id, &payload, &mut sent).is_ok());
            }
            let original = sent.to_vec();
            open(&secret, &edited(sent.to_vec(), edits), &original);
        }
    }
});

/// A hello, and then a proof.
fn hear(secret: &Secret, bytes: &[u8]) {
    let (hello, proof) = bytes.split_at(bytes.len().saturating_sub(PROOF_BYTES));
    let me = NodeId("n2".into());
    let Ok(answerer) = Answerer::hear(secret, &me, hello, [2; PROOF_BYTES]) else { return };
    if let Ok(proof) = proof.try_into() {
        assert!(answerer.check(proof).is_err());
    }
}

/// Both ends of the one connection that there is here.
fn meet(secret: &Secret) -> (Keys, Keys) {
    let (me, to) = (NodeId("n1".into()), NodeId("n2".into()));
    let caller = Caller::new(secret, &me, &to, [1; PROOF_BYTES]).expect("good names");
    let answerer =
        Answerer::hear(secret, &to, caller.hello(), [2; PROOF_BYTES]).expect("a good hello");
    let (proven, proof) = caller.prove(&[2; PROOF_BYTES]);
    let (_, own, theirs) = answerer.check(&proof).expect("a good proof");
    (proven.check(&own).expect("a good proof"), theirs)
}

/// Changes bytes, three of the edits' bytes each: where, how, and to what.
fn edited(mut bytes: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    for edit in edits.chunks_exact(3) {
        let at = usize::from(edit[0]) % (bytes.len() + 1);
        match edit[1] % 4 {
            0 => bytes.insert(at, edit[2]),
            1 if at < bytes.len() => bytes[at] = edit[2],
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Opens what arrives: only what `original` begins with may come out.
fn open(secret: &Secret, bytes: &[u8], original: &[u8]) {
    let (_, Keys { mut opener, .. }) = meet(secret);
    let mut arrived = BytesMut::new();
    let mut opened = 0;
    for piece in bytes.chunks(7) {
        arrived.extend_from_slice(piece);
        while let Ok(Some(frame)) = opener.open(&mut arrived) {
            assert_eq!(frame.id, opened);
            assert_eq!(frame.payload, vec![frame.id as u8; frame.id as usize * 9]);
            opened += 1;
        }
        assert!(arrived.capacity() <= 4 * bytes.len() + 4096);
    }
    let whole = bytes.len() - arrived.len();
    assert_eq!(bytes.get(..whole), original.get(..whole));
}
