//! What is owed, remembered, given up and trusted.

use super::*;

/// Letters for things, `*` for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Change<const HAS_ALL: bool>(String);

impl<const HAS_ALL: bool> Entry for Change<HAS_ALL> {
    type Subject = String;
    const RECENT: usize = 2048;

    fn subject(&self) -> String {
        self.0.clone()
    }

    fn all() -> Option<Self> {
        HAS_ALL.then(|| change("*"))
    }
}

fn change<const HAS_ALL: bool>(name: &str) -> Change<HAS_ALL> {
    Change(name.to_owned())
}

fn trust<const HAS_ALL: bool>(journal: &Journal<Change<HAS_ALL>>, name: &str) -> Trust {
    journal.trust(|| name.to_owned(), true, || 0)
}

#[test]
fn what_is_owed_is_not_trusted_until_it_is_made() {
    let journal = Journal::<Change<true>>::default();
    assert_eq!(trust(&journal, "a"), Trust::Full);
    journal.owe(change("a"));
    journal.owe(change("a"));
    assert_eq!(trust(&journal, "a"), Trust::None);
    assert_eq!(trust(&journal, "b"), Trust::Full);
    let first = journal.first().unwrap();
    assert_eq!(trust(&journal, "a"), Trust::None);
    journal.settle();
    journal.made(first, None, Instant::now());
    assert_eq!(journal.first(), None);
    assert_eq!(trust(&journal, "a"), Trust::After(None));
}

#[test]
fn what_is_owed_again_while_it_is_made_is_made_again() {
    let journal = Journal::<Change<true>>::default();
    journal.owe(change("a"));
    let first = journal.first().unwrap();
    assert_eq!(journal.first(), Some(first.clone()), "it was not made");
    journal.owe(change("a"));
    journal.made(first, None, Instant::now());
    journal.settle();
    assert_eq!(journal.first(), Some(change("a")));
    assert_eq!(trust(&journal, "a"), Trust::None);
    journal.settle();
    assert_eq!(journal.first(), None);
}

#[test]
fn the_last_change_of_a_thing_counts_when_an_earlier_one_is_given_up() {
    let journal = Journal::<Change<true>>::default();
    let now = Instant::now();
    journal.made(change("a"), None, now);
    for number in 2..Change::<true>::RECENT {
        journal.made(change(&number.to_string()), None, now);
    }
    journal.made(change("a"), None, now + Duration::from_millis(1));
    journal.made(change("b"), None, now + Duration::from_millis(2));
    assert_eq!(trust(&journal, "a"), Trust::After(None));
    assert_eq!(trust(&journal, "2"), Trust::After(None));
}

#[test]
fn what_was_made_is_made_again_and_not_trusted_meanwhile() {
    let journal = Journal::<Change<true>>::default();
    let now = Instant::now();
    journal.made(change("t"), None, now);
    journal.made(change("a"), None, now);
    assert_eq!(journal.replay(0, now).len(), 2);
    assert_eq!(trust(&journal, "a"), Trust::None);
    assert_eq!(trust(&journal, "t"), Trust::None);
    assert_eq!(trust(&journal, "b"), Trust::Full);
    journal.replayed();
    assert_eq!(trust(&journal, "a"), Trust::After(None));
    assert!(journal.replay(0, now + REMEMBERED * 2).is_empty());
    assert_eq!(trust(&journal, "a"), Trust::Full);
}

#[test]
fn another_primary_is_not_trusted_with_what_was_made_before_it() {
    let journal = Journal::<Change<true>>::default();
    journal.made(change("a"), None, Instant::now());
    let trust = |name: &str, epoch| journal.trust(|| name.to_owned(), true, || epoch);
    assert_eq!(trust("a", 0), Trust::After(None));
    assert_eq!(trust("a", 1), Trust::None, "nobody made it again");
    assert_eq!(trust("b", 1), Trust::Full);
    assert_eq!(journal.last(&"a".to_owned()), Some(change("a")));
    journal.replay(1, Instant::now());
    journal.replayed();
    assert_eq!(trust("a", 1), Trust::After(None));
}

#[test]
fn what_was_given_up_is_read_where_the_last_of_it_is() {
    let journal = Journal::<Change<true>>::default();
    let at = |offset| Token::new("8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb", offset);
    for number in 0..=Change::<true>::RECENT {
        journal.made(change(&number.to_string()), at(number as u64), Instant::now());
    }
    assert_eq!(trust(&journal, "0"), Trust::After(at(0)));
    assert_eq!(trust(&journal, "1"), Trust::After(None), "the primary has both");
}

#[test]
fn all_and_one_are_both_looked_at() {
    let journal = Journal::<Change<true>>::default();
    journal.made(change("*"), None, Instant::now());
    journal.owe(change("a"));
    assert_eq!(trust(&journal, "a"), Trust::None, "though all were ended before");
    assert_eq!(trust(&journal, "b"), Trust::After(None));
}

#[test]
fn what_does_not_fit_becomes_everything() {
    let journal = Journal::<Change<true>>::default();
    for number in 0..=PENDING {
        journal.owe(change(&number.to_string()));
    }
    assert_eq!(journal.first(), Some(change("*")));
    assert_eq!(trust(&journal, "anything"), Trust::None);
    let journal = Journal::<Change<true>>::default();
    let now = Instant::now();
    for number in 0..=Change::<true>::RECENT {
        journal.made(change(&number.to_string()), None, now);
    }
    assert_eq!(journal.replay(0, now), [change("*")]);
    assert_eq!(trust(&journal, "anything"), Trust::None);
    journal.replayed();
}

#[test]
fn where_nothing_stands_for_all_the_oldest_is_given_up() {
    let journal = Journal::<Change<false>>::default();
    let now = Instant::now();
    for number in 0..=Change::<false>::RECENT {
        journal.owe(change(&number.to_string()));
        journal.made(change(&number.to_string()), None, now);
    }
    let first = (Change::<false>::RECENT + 1 - PENDING).to_string();
    assert_eq!(journal.first(), Some(change(&first)));
    let again = journal.replay(0, now);
    assert_eq!((again.len(), &*again[0].0), (Change::<false>::RECENT, "1"));
    assert_eq!(trust(&journal, "anything"), Trust::Full);
    journal.replayed();
}
