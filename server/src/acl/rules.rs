//! What one user may do: whether and how he logs in, and his selectors.
//!
//! Rules are applied one after the other to a value that nobody uses yet; a user gets the whole or
//! nothing of a change (see [`Users`](super::users::Users)).

use super::error::{RuleError, UserError};
use super::password::Password;
use super::selector::{Denied, NamedKey, Reason, Selector, named_keys, up_to_nul};
use crate::commands::Command;
use crate::config::split_words;
use larder_protocol::Args;
use smallvec::SmallVec;

/// See the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    enabled: bool,
    no_password: bool,
    skip_sanitize_payload: bool,
    passwords: Vec<Password>,
    root: Selector,
    selectors: Vec<Selector>,
}

impl Rules {
    /// A new user's: nobody can log in, nothing is allowed but what `acl-pubsub-default` allows.
    pub fn new(all_channels: bool) -> Self {
        Self {
            enabled: false,
            no_password: false,
            skip_sanitize_payload: false,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
        }
    }

    /// The default user's while nobody has changed them: everything, without a password.
    pub fn of_default_user() -> Self {
        let mut rules = Self::new(false);
        for rule in ["+@all", "~*", "&*", "on", "nopass"] {
            // These are words that every user may have.
            let applied = rules.apply(rule.as_bytes(), false);
            debug_assert!(applied.is_ok(), "{rule}");
        }
        rules
    }

    /// Sets the only password, or lets everybody in when it is empty: what `requirepass` means.
    pub fn require(&mut self, password: &str) {
        self.passwords.clear();
        self.no_password = password.is_empty();
        if !password.is_empty() {
            self.passwords.push(Password::of(password.as_bytes()));
        }
    }

    /// Applies the rules of ACL SETUSER or of a line in a file, in which a selector may stand in
    /// several words.
    ///
    /// # Errors
    /// The first rule that is refused.
    pub fn apply_all(
        &mut self,
        rules: &[impl AsRef<[u8]>],
        all_channels: bool,
    ) -> Result<(), UserError> {
        for rule in join_selectors(rules).map_err(|open| UserError::Unmatched(shown(open)))? {
            self.apply(&rule, all_channels)
                .map_err(|reason| UserError::Rule { rule: shown(&rule), reason })?;
        }
        Ok(())
    }

    /// Applies one rule; `all_channels` is what `acl-pubsub-default` says.
    ///
    /// # Errors
    /// The rule is refused; then nothing has changed.
    pub fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        let word = up_to_nul(rule);
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        match rule {
            [] => {}
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("skip-sanitize-payload") => self.skip_sanitize_payload = true,
            _ if is("sanitize-payload") => self.skip_sanitize_payload = false,
            _ if is("nopass") => {
                self.no_password = true;
                self.passwords.clear();
            }
            _ if is("resetpass") => {
                self.no_password = false;
                self.passwords.clear();
            }
            _ if is("clearselectors") => self.selectors.clear(),
            _ if is("reset") => *self = Self::new(all_channels),
            [b'>', clear_text @ ..] => self.add_password(Password::of(clear_text)),
            [b'#', digits @ ..] => {
                self.add_password(Password::from_hex(digits).ok_or(RuleError::NotADigest)?);
            }
            [b'<', clear_text @ ..] => self.remove_password(&Password::of(clear_text))?,
            [b'!', digits @ ..] => {
                let password = Password::from_hex(digits).ok_or(RuleError::NotADigest)?;
                self.remove_password(&password)?;
            }
            [b'(', inside @ .., b')'] => self.selectors.push(selector(inside, all_channels)?),
            _ => self.root.apply(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, password: Password) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, password: &Password) -> Result<(), RuleError> {
        let known = self.passwords.iter().position(|known| known == password);
        self.passwords.remove(known.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// Whether somebody who gives a password with this digest is let in.
    pub fn admits(&self, password: &Password) -> bool {
        // Compared even where it does not matter, so that time tells nothing.
        let matches = password.is_among(&self.passwords);
        self.enabled && (self.no_password || matches)
    }

    /// Whether everybody is let in without a password.
    pub fn is_open(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Whether he needs no password, although he may be switched off.
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether he can log in at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether one of the selectors allows everything.
    pub fn allow_all(&self) -> bool {
        self.selectors().any(Selector::allows_all)
    }

    /// The root selector, then the others.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Whether a call is allowed.
    ///
    /// # Errors
    /// What no selector allows: the command where none has it, else the last key or channel that is
    /// missing.
    pub fn check(&self, command: &Command, args: Args<'_>) -> Result<(), Denied> {
        let keys = named_keys(command.row, args);
        let mut denied = Denied { reason: Reason::Command, at: 0 };
        for selector in self.selectors() {
            match selector.check(command, args, &keys) {
                Ok(()) => return Ok(()),
                Err(found) if (found.reason, found.at) > (denied.reason, denied.at) => {
                    denied = found;
                }
                Err(_) => {}
            }
        }
        Err(denied)
    }

    /// Whether a call is allowed by a selector that also allows to read any key.
    pub fn check_reading_all_keys(&self, command: &Command, args: Args<'_>) -> bool {
        let keys: SmallVec<[NamedKey; 4]> = named_keys(command.row, args);
        self.selectors().any(|selector| {
            selector.allows_reading_all_keys() && selector.check(command, args, &keys).is_ok()
        })
    }

    /// The words that ACL GETUSER calls flags.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            Some(if self.enabled { "on" } else { "off" }),
            self.no_password.then_some("nopass"),
            Some(match self.skip_sanitize_payload {
                true => "skip-sanitize-payload",
                false => "sanitize-payload",
            }),
        ];
        flags.into_iter().flatten()
    }

    /// The passwords' digests.
    pub fn passwords(&self) -> &[Password] {
        &self.passwords
    }

    /// All rules, as ACL LIST and files have them.
    pub fn describe(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for flag in self.flags() {
            text.extend_from_slice(flag.as_bytes());
            text.push(b' ');
        }
        for password in &self.passwords {
            text.extend_from_slice(format!("#{} ", password.hex()).as_bytes());
        }
        text.extend_from_slice(&self.root.describe());
        for selector in &self.selectors {
            text.extend_from_slice(b" (");
            text.extend_from_slice(&selector.describe());
            text.push(b')');
        }
        text
    }
}

/// The selector between two parentheses. Quotes that do not match leave it empty, as in Redis.
fn selector(inside: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
    let mut selector = Selector::new(all_channels);
    for rule in split_words(up_to_nul(inside)).unwrap_or_default() {
        selector.apply(&rule)?;
    }
    Ok(selector)
}

/// The rules with each selector in one piece; or the word in which one opens that is never closed.
pub(super) fn join_selectors<R: AsRef<[u8]>>(rules: &[R]) -> Result<Vec<Vec<u8>>, &[u8]> {
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(rules.len());
    // The word that opened it, and what it is so far.
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules.iter().map(AsRef::as_ref) {
        match &mut open {
            None if rule.starts_with(b"(") && !rule.ends_with(b")") => {
                open = Some((rule, rule.to_vec()));
            }
            None => joined.push(rule.to_vec()),
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(up_to_nul(rule));
                if rule.ends_with(b")") {
                    joined.extend(open.take().map(|(_, selector)| selector));
                }
            }
        }
    }
    match open {
        Some((word, _)) => Err(word),
        None => Ok(joined),
    }
}

/// Bytes of a rule that an error repeats: more than any rule somebody mistyped.
const SHOWN_BYTES: usize = 1024;

/// A rule as an error shows it.
fn shown(rule: &[u8]) -> Vec<u8> {
    up_to_nul(&rule[..rule.len().min(SHOWN_BYTES)]).to_vec()
}
