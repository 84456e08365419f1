//! From a fresh connection to an agreement on how to go on.
//!
//! A replica says PING, logs in where it must, tells who it is and what it understands, and asks for
//! the stream from where it is. What is told is sent at once and answered line by line; older
//! primaries do not know all of it, which does no harm. The answer to PSYNC decides.

use crate::ReplicationId;
use crate::group::card::{Answer, Card, Origin};
use larder_protocol::encode::encode_command;
use std::collections::VecDeque;

/// Where a replica is in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The history.
    pub replid: ReplicationId,
    /// Bytes of it that it has.
    pub offset: u64,
}

/// What a replica tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    /// Password for the primary; empty for none.
    pub password: String,
    /// User for the primary; empty for the default one.
    pub user: String,
    /// Port that it listens on.
    pub port: u16,
    /// Address by which it wants to be known; empty for the one that it has.
    pub address: String,
    /// Where it is, if it can go on from there.
    pub resume: Option<Resume>,
    /// Whether the other one shall become primary first.
    pub failover: bool,
    /// What it says of itself as a member of a group; then it follows only a member that leads in
    /// its epoch.
    pub card: Option<Card>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for the next line.
    Wait,
    /// Send this, then wait.
    Send(Vec<u8>),
    /// It is agreed.
    Done(Outcome),
}

/// How a handshake ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole data set comes, and then the stream of this history from this offset on.
    Full(Resume),
    /// The stream goes on, under this name if one is given.
    Continue(Option<ReplicationId>),
    /// Not now.
    Later(String),
    /// The other side is no primary that can be spoken with.
    Refused(String),
    /// The other side is a member that does not lead in our epoch; this is the latest it knows.
    OtherEpoch(u64),
}

/// What the next line answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Ping,
    Auth,
    Member,
    About,
    Psync,
}

/// The state of a handshake.
#[derive(Debug)]
pub struct Handshake {
    introduction: Introduction,
    asked: VecDeque<Asked>,
    origin: Option<Origin>,
}

impl Handshake {
    /// Begins; gives the first bytes to send.
    pub fn new(introduction: Introduction) -> (Self, Vec<u8>) {
        let mut first = Vec::new();
        encode(&mut first, &["PING"]);
        let asked = VecDeque::from([Asked::Ping]);
        (Self { introduction, asked, origin: None }, first)
    }

    /// What the primary said of itself, if it is a member of our group and leads in our epoch.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Takes the next line, without its end.
    pub fn step(&mut self, line: &[u8]) -> Step {
        let is_error = line.first() == Some(&b'-');
        let shown = || String::from_utf8_lossy(line).into_owned();
        match self.asked.front().copied() {
            None => return Step::Done(Outcome::Refused(format!("unexpected: {}", shown()))),
            // A sign of life while the answer takes time.
            Some(_) if line.is_empty() => return Step::Wait,
            Some(Asked::Ping) => {
                if !answers_ping(line) {
                    return Step::Done(Outcome::Refused(format!(
                        "Error reply to PING from master: '{}'",
                        shown()
                    )));
                }
                self.asked.pop_front();
                return Step::Send(self.introduce());
            }
            Some(Asked::Auth) if is_error => {
                return Step::Done(Outcome::Refused(format!(
                    "Unable to AUTH to MASTER: {}",
                    shown()
                )));
            }
            Some(Asked::Member) => {
                if let Some(outcome) = self.meet(line) {
                    return Step::Done(outcome);
                }
            }
            Some(Asked::Psync) => return Step::Done(self.conclude(line)),
            Some(Asked::Auth | Asked::About) => {}
        }
        self.asked.pop_front();
        if self.asked.is_empty() {
            return Step::Send(self.ask());
        }
        Step::Wait
    }

    /// Everything about itself, in one piece.
    fn introduce(&mut self) -> Vec<u8> {
        let Introduction { password, user, port, address, .. } = &self.introduction;
        let mut bytes = Vec::new();
        if !password.is_empty() {
            match user.as_str() {
                "" => encode(&mut bytes, &["AUTH", password]),
                user => encode(&mut bytes, &["AUTH", user, password]),
            }
            self.asked.push_back(Asked::Auth);
        }
        if let Some(card) = &self.introduction.card {
            let words = card.words();
            encode(&mut bytes, &words.each_ref().map(String::as_str));
            self.asked.push_back(Asked::Member);
        }
        encode(&mut bytes, &["REPLCONF", "listening-port", &port.to_string()]);
        self.asked.push_back(Asked::About);
        if !address.is_empty() {
            encode(&mut bytes, &["REPLCONF", "ip-address", address]);
            self.asked.push_back(Asked::About);
        }
        encode(&mut bytes, &["REPLCONF", "capa", "eof", "capa", "psync2"]);
        self.asked.push_back(Asked::About);
        bytes
    }

    /// Hears what the primary says of itself; tells why it is not to be followed.
    fn meet(&mut self, line: &[u8]) -> Option<Outcome> {
        let ours = self.introduction.card.as_ref()?;
        match Answer::parse(line) {
            Answer::Leads(origin) if origin.card.group != ours.group => {
                Some(Outcome::Refused(format!("a member of the group {}", origin.card.group)))
            }
            Answer::Leads(origin) if origin.card.epoch != ours.epoch => {
                Some(Outcome::OtherEpoch(origin.card.epoch))
            }
            Answer::Leads(origin) => {
                self.origin = Some(origin);
                None
            }
            Answer::Epoch(epoch) => Some(Outcome::OtherEpoch(epoch)),
            Answer::Stranger => {
                let said = String::from_utf8_lossy(line);
                Some(Outcome::Refused(format!("no member of our group: {said}")))
            }
        }
    }

    fn ask(&mut self) -> Vec<u8> {
        self.asked.push_back(Asked::Psync);
        let mut bytes = Vec::new();
        let (id, offset) = match &self.introduction.resume {
            Some(Resume { replid, offset }) => {
                (replid.as_str().to_owned(), (offset + 1).to_string())
            }
            None => ("?".to_owned(), "-1".to_owned()),
        };
        let words = ["PSYNC", &id, &offset, "FAILOVER"];
        let count = if self.introduction.failover { 4 } else { 3 };
        encode(&mut bytes, &words[..count]);
        bytes
    }

    fn conclude(&mut self, line: &[u8]) -> Outcome {
        let shown = || String::from_utf8_lossy(line).into_owned();
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        match words.next() {
            Some(b"+FULLRESYNC") => {
                let replid = words.next().and_then(ReplicationId::parse);
                let offset = words.next().and_then(number);
                match (replid, offset) {
                    (Some(replid), Some(offset)) => Outcome::Full(Resume { replid, offset }),
                    _ => Outcome::Refused(format!(
                        "Master replied with wrong +FULLRESYNC syntax: {}",
                        shown()
                    )),
                }
            }
            Some(b"+CONTINUE") if self.introduction.resume.is_some() => match words.next() {
                None => Outcome::Continue(None),
                Some(id) => match ReplicationId::parse(id) {
                    Some(id) => Outcome::Continue(Some(id)),
                    None => Outcome::Refused(format!("no id of a history: {}", shown())),
                },
            },
            Some(b"-NOMASTERLINK" | b"-LOADING") => Outcome::Later(shown()),
            Some(word) if word.starts_with(b"-") => Outcome::Refused(shown()),
            _ => Outcome::Refused(format!("Unexpected reply to PSYNC from master: {}", shown())),
        }
    }
}

/// Whether somebody is there who can be spoken with, be it after logging in.
fn answers_ping(line: &[u8]) -> bool {
    let known: [&[u8]; 4] = [b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
    known.iter().any(|known| line.starts_with(known))
}

/// An offset: digits, and within what is ever reached.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<u64>().ok().filter(|number| *number < i64::MAX as u64)
}

fn encode(out: &mut Vec<u8>, words: &[&str]) {
    encode_command(out, words.iter().map(|word| word.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    fn sent(step: Step) -> String {
        match step {
            Step::Send(bytes) => inline(&bytes),
            other => panic!("sends nothing: {other:?}"),
        }
    }

    /// A handshake up to PSYNC.
    fn asked(introduction: Introduction) -> (Handshake, String) {
        let (mut handshake, first) = Handshake::new(introduction);
        assert_eq!(inline(&first), "PING");
        sent(handshake.step(b"+PONG"));
        assert_eq!(handshake.step(b"+OK"), Step::Wait);
        let psync = sent(handshake.step(b"-ERR Unrecognized REPLCONF option: capa"));
        (handshake, psync)
    }

    #[test]
    fn a_replica_introduces_itself_and_asks() {
        let introduction = Introduction {
            password: "secret".to_owned(),
            user: "replica".to_owned(),
            port: 6380,
            address: "10.0.0.7".to_owned(),
            ..Introduction::default()
        };
        let (mut handshake, _) = Handshake::new(introduction);
        assert_eq!(
            sent(handshake.step(b"-NOAUTH Authentication required.")),
            "AUTH replica secret REPLCONF listening-port 6380 REPLCONF ip-address 10.0.0.7 \
             REPLCONF capa eof capa psync2"
        );
        for _ in 0..3 {
            assert_eq!(handshake.step(b"+OK"), Step::Wait);
        }
        assert_eq!(sent(handshake.step(b"+OK")), "PSYNC ? -1");
        assert_eq!(handshake.step(b""), Step::Wait);
        let id = ReplicationId::random();
        let full = format!("+FULLRESYNC {id} 1234");
        let resume = Resume { replid: id, offset: 1234 };
        assert_eq!(handshake.step(full.as_bytes()), Step::Done(Outcome::Full(resume)));
    }

    #[test]
    fn one_that_was_there_goes_on() {
        let resume = Resume { replid: ReplicationId::random(), offset: 99 };
        let ours = Introduction { resume: Some(resume), ..Introduction::default() };
        let (mut handshake, psync) = asked(ours.clone());
        assert_eq!(psync, format!("PSYNC {} 100", resume.replid));
        assert_eq!(handshake.step(b"+CONTINUE"), Step::Done(Outcome::Continue(None)));
        let (mut handshake, psync) = asked(Introduction { failover: true, ..ours });
        assert_eq!(psync, format!("PSYNC {} 100 FAILOVER", resume.replid));
        let other = ReplicationId::random();
        let line = format!("+CONTINUE {other}");
        assert_eq!(handshake.step(line.as_bytes()), Step::Done(Outcome::Continue(Some(other))));
    }

    #[test]
    fn a_member_follows_only_who_leads_in_its_epoch() {
        use crate::group::config::{Incarnation, NodeId};
        let card = |epoch| Card {
            group: "g".to_owned(),
            node: NodeId("g-001".to_owned()),
            incarnation: Incarnation(5),
            epoch,
        };
        let met = |answer: &str| {
            let introduction = Introduction { card: Some(card(7)), ..Introduction::default() };
            let (mut handshake, _) = Handshake::new(introduction);
            let said = sent(handshake.step(b"+PONG"));
            assert!(said.starts_with("REPLCONF larder-group g larder-node g-001 "), "{said}");
            let step = handshake.step(answer.as_bytes());
            (step, handshake.origin().map(|origin| origin.card.epoch))
        };
        let lineage = vec![(ReplicationId::random(), 9)];
        let leads = |epoch| {
            let (_, line) =
                Answer::Leads(Origin { card: card(epoch), lineage: lineage.clone() }).line();
            format!("+{line}")
        };
        assert_eq!(met(&leads(7)), (Step::Wait, Some(7)));
        for epoch in [6, 8] {
            assert_eq!(met(&leads(epoch)), (Step::Done(Outcome::OtherEpoch(epoch)), None));
        }
        let behind = met("-MEMBEREPOCH 9 is the latest that is known here");
        assert_eq!(behind, (Step::Done(Outcome::OtherEpoch(9)), None));
        let (stock, _) = met("-ERR Unrecognized REPLCONF option: larder-group");
        assert!(matches!(stock, Step::Done(Outcome::Refused(_))), "{stock:?}");
    }

    #[test]
    fn nonsense_is_refused() {
        let id = "a".repeat(40);
        let lines = [
            "+CONTINUE".to_owned(),
            format!("+FULLRESYNC {} 1", &id[1..]),
            format!("+FULLRESYNC {id}"),
            format!("+FULLRESYNC {id} -1"),
            format!("+FULLRESYNC {id} 9223372036854775807"),
            format!("+FULLRESYNC {id} 18446744073709551616"),
            "$-1".to_owned(),
            "+OK".to_owned(),
        ];
        for line in lines {
            let (mut handshake, _) = asked(Introduction::default());
            let step = handshake.step(line.as_bytes());
            assert!(matches!(step, Step::Done(Outcome::Refused(_))), "{line}: {step:?}");
        }
        let (mut handshake, _) = asked(Introduction::default());
        let step = handshake.step(b"-LOADING Redis is loading the dataset in memory");
        assert!(matches!(step, Step::Done(Outcome::Later(_))));
        let (mut handshake, _) = asked(Introduction::default());
        let step = handshake.step(b"-ERR unknown command");
        assert!(matches!(step, Step::Done(Outcome::Refused(_))));
        let (mut handshake, _) = Handshake::new(Introduction::default());
        let step = handshake.step(b"-LOADING Redis is loading the dataset in memory");
        assert!(matches!(step, Step::Done(Outcome::Refused(_))), "{step:?}");
    }
}
