//! Users in files: the `user` lines of the configuration, and the ACL file.
//!
//! Either is read as a whole before anybody is changed: one wrong line, and nothing has happened. The
//! ACL file is written beside itself and then put in its place, so that it is the old one or the new
//! one at any time. Invariant: the two are never mixed.

use super::error::{RuleError, UserError};
use super::rules::{Rules, join_selectors};
use super::selector::has_blank;
use super::users::{DEFAULT_USER, User, Users};
use crate::config::{
    AclPubsubDefault, Settings, operating_system_text, read_bounded, replace_file,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Users by name, not yet anybody's.
type Read = BTreeMap<Vec<u8>, Rules>;

/// Whether new users may use all channels.
pub fn all_channels(settings: &Settings) -> bool {
    settings.acl_pubsub_default == AclPubsubDefault::Allchannels
}

/// The users that a node starts with.
pub(super) fn users_at_start(settings: &Settings) -> Result<Users, String> {
    if !settings.aclfile.is_empty() && !settings.user.is_empty() {
        return Err("users are defined in the configuration (user) and in an ACL file (aclfile); \
                    use one of them, or it is not clear who may do what"
            .to_owned());
    }
    let mut default = Rules::of_default_user();
    default.require(&settings.requirepass);
    let users = Users::new(default);
    if !settings.aclfile.is_empty() {
        let read = read(settings).map_err(|errors| format!("the ACL file is wrong: {errors}"))?;
        users.replace(read);
    }
    for line in &settings.user {
        let Some((name, rules)) = line.split_first() else { continue };
        let reset = if name == DEFAULT_USER { &["reset"][..] } else { &[] };
        let rules = reset.iter().copied().chain(rules.iter().map(String::as_str));
        let rules: Vec<&str> = rules.collect();
        users
            .set(name.as_bytes(), &rules, all_channels(settings))
            .map_err(|error| format!("user '{name}' of the configuration: {error}"))?;
        if users.get(name.as_bytes()).is_some_and(|user| !user.rules().is_enabled()) {
            tracing::info!(name, "a user of the configuration is off, nobody can log in as him");
        }
    }
    Ok(users)
}

/// Whether a `user` line may stand in a configuration in which `known` stand before it.
///
/// # Errors
/// Redis's text about what is wrong with it.
pub fn check_line(words: &[&str], known: &[Vec<String>]) -> Result<(), String> {
    let Some((name, rules)) = words.split_first() else {
        return Err("Bad directive or wrong number of arguments".to_owned());
    };
    let wrong = |word: &str, reason: &str| format!("Error in user declaration '{word}': {reason}");
    if known.iter().any(|line| line.first().is_some_and(|known| known == name)) {
        let reason = "Duplicate user found. A user can only be defined once in config files";
        return Err(wrong(name, reason));
    }
    if has_blank(name.as_bytes()) {
        return Err("Spaces not allowed in ACL usernames".to_owned());
    }
    // Whether all channels are allowed from the start is not known before the last line is read.
    Rules::new(false).apply_all(rules, false).map_err(|error| match &error {
        UserError::Rule { rule, reason } => {
            wrong(&String::from_utf8_lossy(rule), &reason.to_string())
        }
        UserError::Unmatched(word) => wrong(&String::from_utf8_lossy(word), &error.to_string()),
    })
}

/// Reads the ACL file.
///
/// # Errors
/// All that is wrong with it, each with its line, in Redis's words.
pub fn read(settings: &Settings) -> Result<Read, String> {
    let name = &settings.aclfile;
    let content = File::open(settings.path(name))
        .and_then(|mut file| read_bounded(&mut file))
        .map_err(|error| {
            let reason = operating_system_text(&error);
            format!("Error loading ACLs, opening file '{name}': {reason}")
        })?;
    parse(&content, name, all_channels(settings))
}

fn parse(content: &[u8], name: &str, all_channels: bool) -> Result<Read, String> {
    let mut users = Read::new();
    let mut errors = String::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if !line.is_empty()
            && let Err(error) = parse_line(line, &mut users, index + 1, name, all_channels)
        {
            errors.push_str(&error);
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

fn parse_line(
    line: &[u8],
    users: &mut Read,
    number: usize,
    file: &str,
    all_channels: bool,
) -> Result<(), String> {
    // No quotes here: two blanks have an empty word between them, which is no rule.
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [b"user", name, rules @ ..] = &words[..] else {
        return Err(format!(
            "{file}:{number} should start with user keyword followed by the username. "
        ));
    };
    let shown = String::from_utf8_lossy(name);
    if has_blank(name) {
        return Err(format!("'{file}:{number}: username '{shown}' contains invalid characters. "));
    }
    if users.contains_key(*name) {
        return Err(format!("WARNING: Duplicate user '{shown}' found on line {number}. "));
    }
    let joined = join_selectors(rules);
    let mut user = Rules::new(all_channels);
    let mut errors = String::new();
    match joined {
        Err(_) => {
            let what = "Unmatched parenthesis in selector definition.";
            errors.push_str(&format!("{file}:{number}: {what}"));
        }
        Ok(rules) => {
            apply(&mut user, &rules, all_channels, &format!("{file}:{number}"), &mut errors);
        }
    }
    // A wrong user is known as well: a second one is still a duplicate.
    users.insert(name.to_vec(), user);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Applies the rules of one line; commands that do not exist are all reported, of other errors the
/// first, because the later ones may follow from it.
fn apply(
    user: &mut Rules,
    rules: &[Vec<u8>],
    all_channels: bool,
    place: &str,
    errors: &mut String,
) {
    let mut is_wrong = false;
    for rule in rules {
        let rule = rule.trim_ascii();
        match user.apply(rule, all_channels) {
            Ok(()) => {}
            Err(reason @ RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(rule);
                errors.push_str(&format!(
                    "{place}: Error in applying operation '{rule}': {reason}. "
                ));
            }
            Err(reason) => {
                if !std::mem::replace(&mut is_wrong, true) {
                    errors.push_str(&format!("{place}: {reason}. "));
                }
            }
        }
    }
}

/// The line of a user in a file.
pub fn line(user: &User) -> Vec<u8> {
    [b"user ", user.describe().as_slice()].concat()
}

/// Writes all users to the ACL file.
///
/// # Errors
/// The file cannot be replaced; the old one is whole then.
pub fn save(settings: &Settings, users: &[Arc<User>]) -> io::Result<()> {
    let mut content = Vec::new();
    for user in users {
        content.extend_from_slice(&line(user));
        content.push(b'\n');
    }
    replace_file(&settings.path(&settings.aclfile), &content)
}
