//! What members say of themselves when a replica introduces itself to its primary.
//!
//! The replica sends its [`Card`] as options of REPLCONF, which any other primary refuses politely;
//! the primary answers with its [`Origin`], or says in which epoch it is. So both ends know before a
//! byte of data goes over the link whether it is one of their group and of their epoch.

use super::config::{Incarnation, NodeId};
use crate::{Lineage, ReplicationId};
use std::fmt::Write;

/// The word that a primary's answer begins with.
const MEMBER: &str = "MEMBER";
/// The code of the error that names the primary's epoch.
const EPOCH: &str = "MEMBEREPOCH";
/// Names are no longer.
const NAME_BYTES: usize = 256;
/// Histories that an answer names at most.
const HISTORIES: usize = 64;

/// Options of REPLCONF.
const OPTIONS: [&str; 4] = ["larder-group", "larder-node", "larder-incarnation", "larder-epoch"];

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The group that it is a member of.
    pub group: String,
    /// Its name.
    pub node: NodeId,
    /// The life of its data set.
    pub incarnation: Incarnation,
    /// The epoch whose primary it looks for.
    pub epoch: u64,
}

/// What a primary says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who it is, and the epoch that it leads in.
    pub card: Card,
    /// The histories that its data set is known by.
    pub lineage: Lineage,
}

/// A primary's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It leads in the epoch that it names.
    Leads(Origin),
    /// It does not lead in the replica's epoch; this is the latest that it knows.
    Epoch(u64),
    /// It is no member of the group.
    Stranger,
}

impl Card {
    /// The words of the REPLCONF that shows it.
    pub fn words(&self) -> [String; 9] {
        let [group, node, incarnation, epoch] = OPTIONS.map(str::to_owned);
        [
            "REPLCONF".to_owned(),
            group,
            self.group.clone(),
            node,
            self.node.0.clone(),
            incarnation,
            format!("{:032x}", self.incarnation.0),
            epoch,
            self.epoch.to_string(),
        ]
    }

    /// The card that the options of a REPLCONF show, given as pairs; none where they show something
    /// else.
    pub fn of_options<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let mut values = [None; OPTIONS.len()];
        for (option, value) in pairs {
            let at = OPTIONS.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(option));
            values[at?] = Some(std::str::from_utf8(value).ok()?);
        }
        let [Some(group), Some(node), Some(incarnation), Some(epoch)] = values else { return None };
        Self::of_words([group, node, incarnation, epoch])
    }

    fn of_words([group, node, incarnation, epoch]: [&str; 4]) -> Option<Self> {
        Some(Self {
            group: name(group)?,
            node: NodeId(name(node)?),
            incarnation: Incarnation(u128::from_str_radix(incarnation, 16).ok()?),
            epoch: epoch.parse().ok()?,
        })
    }
}

/// A name that can stand in a line of words.
fn name(text: &str) -> Option<String> {
    let is_word = |c: char| !c.is_whitespace() && !c.is_control();
    let is_right = (1..=NAME_BYTES).contains(&text.len()) && text.chars().all(is_word);
    is_right.then(|| text.to_owned())
}

/// Whether an option of REPLCONF is one of a card.
pub fn is_option(word: &[u8]) -> bool {
    OPTIONS.iter().any(|option| option.as_bytes().eq_ignore_ascii_case(word))
}

impl Answer {
    /// The line without its first byte, and whether that marks an error.
    pub fn line(&self) -> (bool, String) {
        match self {
            Self::Leads(Origin { card, lineage }) => {
                let Card { group, node, incarnation, epoch } = card;
                let mut line = format!("{MEMBER} {group} {node} {:032x} {epoch}", incarnation.0);
                let skipped = lineage.len().saturating_sub(HISTORIES);
                for (replid, end) in &lineage[skipped..] {
                    // Writing to a string does not fail.
                    let _ = write!(line, " {replid}:{end}");
                }
                (false, line)
            }
            Self::Epoch(epoch) => {
                (true, format!("{EPOCH} {epoch} is the latest that is known here"))
            }
            Self::Stranger => (true, "ERR this node is no member of the group".to_owned()),
        }
    }

    /// Reads a line of a primary, without its end. What makes no sense is a stranger's.
    pub fn parse(line: &[u8]) -> Self {
        std::str::from_utf8(line).ok().and_then(parse).unwrap_or(Self::Stranger)
    }
}

fn parse(line: &str) -> Option<Answer> {
    let mut words = line.split(' ');
    match words.next()? {
        "+MEMBER" => {
            let mut next = || words.next();
            let card = Card::of_words([next()?, next()?, next()?, next()?])?;
            let lineage = words.map(history).collect::<Option<Lineage>>()?;
            let is_right = (1..=HISTORIES).contains(&lineage.len());
            is_right.then_some(Answer::Leads(Origin { card, lineage }))
        }
        "-MEMBEREPOCH" => Some(Answer::Epoch(words.next()?.parse().ok()?)),
        _ => None,
    }
}

fn history(word: &str) -> Option<(ReplicationId, u64)> {
    let (replid, end) = word.split_once(':')?;
    Some((ReplicationId::parse(replid.as_bytes())?, end.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        Card {
            group: "sessions".to_owned(),
            node: NodeId("sessions-002".to_owned()),
            incarnation: Incarnation(0xfeed),
            epoch: 7,
        }
    }

    #[test]
    fn a_card_goes_over_in_options() {
        let words = card().words();
        let pairs = words[1..].chunks(2).map(|pair| (pair[0].as_bytes(), pair[1].as_bytes()));
        assert_eq!(Card::of_options(pairs.clone()), Some(card()));
        assert_eq!(Card::of_options(pairs.clone().skip(1)), None, "one is missing");
        let more = pairs.chain([(&b"capa"[..], &b"eof"[..])]);
        assert_eq!(Card::of_options(more), None);
        assert!(is_option(b"LARDER-epoch") && !is_option(b"capa"));
    }

    #[test]
    fn answers_go_over_in_lines() {
        let lineage = vec![(ReplicationId::random(), 100), (ReplicationId::random(), 250)];
        for answer in [
            Answer::Leads(Origin { card: card(), lineage }),
            Answer::Epoch(u64::MAX),
            Answer::Stranger,
        ] {
            let (is_error, line) = answer.line();
            let line = format!("{}{line}", if is_error { '-' } else { '+' });
            assert_eq!(Answer::parse(line.as_bytes()), answer, "{line}");
        }
    }

    #[test]
    fn nonsense_is_a_strangers() {
        let id = "a".repeat(40);
        let many = format!("+MEMBER g n 1 1{}", format!(" {id}:1").repeat(HISTORIES + 1));
        let lines = [
            "+OK",
            "-ERR Unrecognized REPLCONF option: larder-group",
            "+MEMBER",
            "+MEMBER g n 1 1",
            "+MEMBER g n 1 -1 x:1",
            "+MEMBER g n 1 1 x:1",
            "-MEMBEREPOCH",
            "-MEMBEREPOCH 99999999999999999999",
            &many,
        ];
        for line in lines {
            assert_eq!(Answer::parse(line.as_bytes()), Answer::Stranger, "{line}");
        }
        assert_eq!(Answer::parse(&[b'+', 0xff]), Answer::Stranger);
    }
}
