//! The options of SET and GETEX.
//!
//! Both take the same words for a deadline. Redis reads all words before it looks at a number, so a
//! command whose syntax is wrong says that and nothing else; an option may be repeated, and the
//! last one counts, but it cannot be replaced by another of its kind.

use crate::dispatch::call::Call;
use larder_protocol::number::parse_i64;
use larder_protocol::{Args, CommandError};

/// What SET and GETEX were told besides key and value.
pub(super) struct Options<'a> {
    pub(super) condition: Option<Condition>,
    /// The string that was there is the reply.
    pub(super) get: bool,
    pub(super) lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    pub(super) fn of_set(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self { condition: None, get: false, lifetime: Lifetime::Unsaid };
        let mut words = args.iter().skip(3);
        while let Some(word) = words.next() {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if is(b"nx") {
                options.set_condition(Condition::Missing)?;
            } else if is(b"xx") {
                options.set_condition(Condition::Exists)?;
            } else if is(b"get") {
                options.get = true;
            } else if is(b"keepttl") {
                options.set_lifetime(Lifetime::Keep)?;
            } else {
                options.set_lifetime(until(word, words.next())?)?;
            }
        }
        Ok(options)
    }

    pub(super) fn of_getex(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self { condition: None, get: false, lifetime: Lifetime::Unsaid };
        let mut words = args.iter().skip(2);
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"persist") {
                options.set_lifetime(Lifetime::Persist)?;
            } else {
                options.set_lifetime(until(word, words.next())?)?;
            }
        }
        Ok(options)
    }

    fn set_condition(&mut self, condition: Condition) -> Result<(), CommandError> {
        match self.condition {
            Some(known) if known != condition => return Err(CommandError::SYNTAX),
            _ => self.condition = Some(condition),
        }
        Ok(())
    }

    fn set_lifetime(&mut self, lifetime: Lifetime<'a>) -> Result<(), CommandError> {
        if !self.lifetime.allows(&lifetime) {
            return Err(CommandError::SYNTAX);
        }
        self.lifetime = lifetime;
        Ok(())
    }
}

/// When SET stores.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// XX: only over a key.
    Exists,
    /// NX: only where no key is.
    Missing,
}

/// How a deadline is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// Seconds since the Unix epoch.
    ExAt,
    /// Milliseconds since the Unix epoch.
    PxAt,
}

impl Unit {
    /// The point in time that `amount` means, in milliseconds since the Unix epoch.
    pub(super) fn deadline_ms(self, call: &Call<'_>, amount: &[u8]) -> Result<i64, CommandError> {
        let amount = parse_i64(amount).ok_or(CommandError::NOT_INTEGER)?;
        let ms = match self {
            _ if amount <= 0 => None,
            Self::Ex | Self::ExAt => amount.checked_mul(1000),
            Self::Px | Self::PxAt => Some(amount),
        };
        let at = match self {
            Self::Ex | Self::Px => ms.and_then(|ms| ms.checked_add(call.now_ms())),
            Self::ExAt | Self::PxAt => ms,
        };
        at.ok_or_else(|| CommandError::invalid_expire(call.row.name))
    }
}

/// What a command says about the key's deadline.
#[derive(Clone, Copy)]
pub(super) enum Lifetime<'a> {
    /// Nothing.
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX and the like with their argument, which is read when the command's syntax is known to
    /// be right.
    Until(Unit, &'a [u8]),
}

impl Lifetime<'_> {
    /// Whether `other` may follow: an option may be repeated, but not replaced by another one.
    fn allows(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unsaid, _) | (Self::Keep, Self::Keep) | (Self::Persist, Self::Persist) => true,
            (Self::Until(unit, _), Self::Until(other, _)) => unit == other,
            _ => false,
        }
    }
}

/// The deadline that `word` introduces and `amount`, the word after it, gives.
fn until<'a>(word: &[u8], amount: Option<&'a [u8]>) -> Result<Lifetime<'a>, CommandError> {
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    let unit = match word.len() {
        2 if is(b"ex") => Unit::Ex,
        2 if is(b"px") => Unit::Px,
        4 if is(b"exat") => Unit::ExAt,
        4 if is(b"pxat") => Unit::PxAt,
        _ => return Err(CommandError::SYNTAX),
    };
    amount.map(|amount| Lifetime::Until(unit, amount)).ok_or(CommandError::SYNTAX)
}
