//! Rules, selectors and users, without a connection.

use super::error::{RuleError, UserError};
use super::identity::Identity;
use super::rules::Rules;
use super::selector::{Denied, Reason};
use super::users::Users;
use crate::commands::{self, Command};
use larder_protocol::Args;
use proptest::prelude::*;

fn rules(words: &str) -> Rules {
    let mut rules = Rules::new(false);
    let words: Vec<&str> = words.split_whitespace().collect();
    rules.apply_all(&words, false).expect("the rules are right");
    rules
}

fn described(words: &str) -> String {
    String::from_utf8(rules(words).describe()).expect("it is text")
}

fn error(words: &str) -> UserError {
    let words: Vec<&str> = words.split(' ').collect();
    Rules::new(false).apply_all(&words, false).expect_err("a rule is wrong")
}

fn check(rules: &Rules, line: &str) -> Result<(), (Reason, usize)> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let args = Args::from_slices(&words);
    rules.check(named(args), args).map_err(|Denied { reason, at }| (reason, at))
}

fn named(args: Args<'_>) -> &'static Command {
    let command = commands::find(args.at(0)).expect("the command exists");
    command.subcommand(args.at(1)).unwrap_or(command)
}

#[test]
fn what_was_meant_is_kept_not_what_it_comes_to() {
    assert_eq!(described(""), "off sanitize-payload resetchannels -@all");
    let shown =
        "on nopass sanitize-payload ~k* %R~r resetchannels &c +@all -@read +get -config|set";
    assert_eq!(described(&shown.replace(" resetchannels", "")), shown);
    let shown = "off sanitize-payload resetchannels -@all +config";
    assert_eq!(described("+config|get +config|set -config +config"), shown);
    assert_eq!(
        described("+get (+set ~x) (~* +ping)"),
        "off sanitize-payload resetchannels -@all +get (~x resetchannels -@all +set) \
         (~* resetchannels -@all +ping)"
    );
}

#[test]
fn wrong_rules_are_refused_whole() {
    let reason = |words: &str| match error(words) {
        UserError::Rule { reason, .. } => Some(reason),
        UserError::Unmatched(_) => None,
    };
    assert_eq!(reason("+nosuch"), Some(RuleError::Unknown));
    assert_eq!(reason("+@nosuch"), Some(RuleError::Unknown));
    assert_eq!(reason("-select|0"), Some(RuleError::Unknown));
    assert_eq!(reason("+config|get|x"), Some(RuleError::ArgumentOfSubcommand));
    assert_eq!(reason("~* ~x"), Some(RuleError::AfterAllKeys));
    assert_eq!(reason("&* &x"), Some(RuleError::AfterAllChannels));
    assert_eq!(reason("<none"), Some(RuleError::NoSuchPassword));
    assert_eq!(reason("#12"), Some(RuleError::NotADigest));
    for wrong in ["%", "%R", "%RW", "%~x", "%RR~x", "%Q~x", "word", "(on)", "(%)", ")"] {
        assert_eq!(reason(wrong), Some(RuleError::Syntax), "{wrong}");
    }
    assert_eq!(reason("(+get"), None);

    let users = Users::new(Rules::of_default_user());
    assert!(users.set(b"a", &["on", "+nosuch"], false).is_err());
    assert!(users.get(b"a").is_none());
}

#[test]
fn every_part_of_a_call_must_be_allowed_by_one_selector() {
    let one = rules("+get +set +mget +copy ~k* %R~r* %W~w*");
    assert_eq!(check(&one, "get k1"), Ok(()));
    assert_eq!(check(&one, "get r1"), Ok(()));
    assert_eq!(check(&one, "get w1"), Err((Reason::Key, 1)));
    assert_eq!(check(&one, "set w1 x"), Ok(()));
    assert_eq!(check(&one, "set w1 x get"), Err((Reason::Key, 1)));
    assert_eq!(check(&one, "copy r w"), Ok(()));
    assert_eq!(check(&one, "copy r r"), Err((Reason::Key, 2)));
    assert_eq!(check(&one, "mget k r x"), Err((Reason::Key, 3)));
    assert_eq!(check(&one, "del k"), Err((Reason::Command, 0)));
    let two = rules("(+get ~a) (+set ~b)");
    assert_eq!(check(&two, "get a"), Ok(()));
    assert_eq!(check(&two, "get b"), Err((Reason::Key, 1)));
    assert_eq!(check(&two, "set a x"), Err((Reason::Key, 1)));
    assert_eq!(check(&two, "ping"), Err((Reason::Command, 0)));
}

#[test]
fn containers_and_first_arguments() {
    let some = rules("+config -config|set +client|id +select|0");
    assert_eq!(check(&some, "config get x"), Ok(()));
    assert_eq!(check(&some, "config set x y"), Err((Reason::Command, 0)));
    assert_eq!(check(&some, "client id"), Ok(()));
    assert_eq!(check(&some, "client list"), Err((Reason::Command, 0)));
    assert_eq!(check(&some, "select 0"), Ok(()));
    assert_eq!(check(&some, "select 1"), Err((Reason::Command, 0)));
    assert_eq!(check(&rules(""), "auth x"), Ok(()), "nobody needs a right to log in");
}

#[test]
fn an_identity_follows_its_user() {
    let users = Users::new(Rules::of_default_user());
    let mut newcomer = Identity::of_newcomer(&users);
    assert!(newcomer.is_open(&users) && !newcomer.is_stranger());
    users.require("secret");
    assert!(!newcomer.is_open(&users), "any change has it look again");
    assert!(newcomer.refresh(&users));
    assert!(newcomer.is_open(&users), "who is in stays in");

    let mut stranger = Identity::of_newcomer(&users);
    assert!(stranger.is_stranger() && !stranger.is_open(&users));
    assert!(!stranger.authenticate(&users, b"default", b"wrong"));
    assert!(!stranger.authenticate(&users, b"nobody", b"secret"));
    assert!(stranger.is_stranger());
    users.set(b"kim", &["on", ">pw", "+@all", "~*", "&*"], false).expect("it is right");
    assert!(stranger.authenticate(&users, b"kim", b"pw"));
    assert!(stranger.is_open(&users));
    users.set(b"kim", &["-get"], false).expect("it is right");
    assert!(stranger.refresh(&users) && !stranger.is_open(&users) && !stranger.is_stranger());

    let gone = users.remove(b"kim").expect("he was there");
    users.set(b"kim", &["on", "nopass", "+@all", "~*", "&*"], false).expect("it is right");
    assert!(gone.is_gone() && !stranger.refresh(&users));
    assert!(stranger.is_stranger(), "a new user of that name is somebody else");

    let mut owner = Identity::of_owner(&users);
    users.set(b"default", &["reset"], false).expect("it is right");
    assert!(owner.refresh(&users) && owner.is_open(&users) && owner.rules().is_none());
}

/// Any rule that is made of usual parts; some are wrong.
fn rule() -> impl Strategy<Value = String> {
    let names = prop_oneof![
        Just("get"),
        Just("set"),
        Just("config"),
        Just("config|get"),
        Just("client"),
        Just("client|id"),
        Just("select"),
        Just("@read"),
        Just("@write"),
        Just("@all"),
        Just("@slow"),
        Just("@connection"),
        Just("@dangerous"),
    ];
    prop_oneof![
        (any::<bool>(), names)
            .prop_map(|(add, name)| format!("{}{name}", if add { '+' } else { '-' })),
        Just("+select|1".to_owned()),
        prop_oneof![Just("~k*"), Just("%R~k*"), Just("%W~k*"), Just("~*"), Just("resetkeys")]
            .prop_map(str::to_owned),
        prop_oneof![Just("&c*"), Just("&d"), Just("&*"), Just("resetchannels")]
            .prop_map(str::to_owned),
        prop_oneof![
            Just("(+get ~x)"),
            Just("clearselectors"),
            Just("reset"),
            Just("on"),
            Just(">p")
        ]
        .prop_map(str::to_owned),
    ]
}

proptest! {
    /// The description gives the same rules when it is applied to a new user.
    #[test]
    fn descriptions_are_rules(words in proptest::collection::vec(rule(), 0..16)) {
        let mut rules = Rules::new(false);
        for word in &words {
            // A wrong rule changes nothing.
            let before = rules.clone();
            if rules.apply(word.as_bytes(), false).is_err() {
                prop_assert_eq!(&before, &rules);
            }
        }
        let text = String::from_utf8(rules.describe()).expect("it is text");
        let words: Vec<&str> = text.split(' ').collect();
        let mut again = Rules::new(false);
        again.apply_all(&words, false).expect("a description is right");
        prop_assert_eq!(again.describe(), rules.describe());
        for command in commands::all() {
            let name: Vec<&[u8]> = command.full_name.split('|').map(str::as_bytes).collect();
            let args = Args::from_slices(&name);
            prop_assert_eq!(again.check(command, args), rules.check(command, args), "{}", command.full_name);
        }
    }

    /// No bytes make a rule engine panic.
    #[test]
    fn any_bytes_are_survived(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..4)) {
        let mut rules = Rules::new(false);
        let _ = rules.apply_all(&words, false);
        rules.describe();
    }
}
