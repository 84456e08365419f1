//! Types and syntax of values.

use crate::config::grammar::{quote, split_words};
use crate::config::kinds::{memory, memory_in_units};
use crate::config::{
    LogLevel, MaxmemoryPolicy, MemoryOrPercent, NotifyFlags, ProtectedAction, bind_address,
};
use proptest::prelude::*;

#[test]
fn memory_units() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("100", Some(100)),
        ("100b", Some(100)),
        ("1k", Some(1_000)),
        ("1KB", Some(1_024)),
        ("2m", Some(2_000_000)),
        ("2mB", Some(2 << 20)),
        ("3g", Some(3_000_000_000)),
        ("3gb", Some(3 << 30)),
        ("", Some(0)),
        ("kb", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("17179869184gb", None),
        ("1tb", None),
        ("-1", None),
        ("1.5gb", None),
        (" 1", None),
        ("1 gb", None),
    ] {
        assert_eq!(memory(text), bytes, "{text:?}");
    }
    assert_eq!(memory_in_units(3 << 30), "3gb");
    assert_eq!(memory_in_units(1536 << 20), "1536mb");
    assert_eq!(memory_in_units(1000), "1000");
    assert_eq!(memory_in_units(0), "0");
}

#[test]
fn words_and_quotes() {
    let split = |line: &str| {
        split_words(line.as_bytes())
            .map(|words| words.iter().map(|word| String::from_utf8_lossy(word).into()).collect())
            .unwrap_or_else(|_| vec!["!".to_owned()])
    };
    assert_eq!(split(""), Vec::<String>::new());
    assert_eq!(split("  save  60\t1 "), ["save", "60", "1"]);
    assert_eq!(split(r#"a "b c" 'd e'"#), ["a", "b c", "d e"]);
    assert_eq!(split(r#""\x41\n\"\q""#), ["A\n\"q"]);
    assert_eq!(split(r"'it\'s \n'"), [r"it's \n"]);
    assert_eq!(split(r#"a"b c""#), ["ab c"]);
    assert_eq!(split(r#""""#), [""]);
    for unbalanced in [r#"""#, "'", r#""a"b"#, "'a'b", r#""a\"#] {
        assert_eq!(split(unbalanced), ["!"], "{unbalanced}");
    }
}

proptest! {
    #[test]
    fn what_is_quoted_is_one_word(value: Vec<u8>) {
        prop_assert_eq!(split_words(quote(&value).as_bytes()), Ok(vec![value]));
    }

    #[test]
    fn any_line_can_be_split(line: Vec<u8>) {
        let _ = split_words(&line);
    }
}

#[test]
fn event_letters_are_shown_as_redis_shows_them() {
    for (given, shown) in [
        ("", ""),
        ("KEA", "AKE"),
        ("AKEm", "AKEm"),
        ("g$lshzxetd", "A"),
        ("g$lshzxetdn", "A"),
        ("An", "A"),
        ("nK", "nK"),
        ("Elg", "glE"),
        ("mK", "Km"),
    ] {
        let flags = NotifyFlags::from_letters(given).expect("known letters");
        assert_eq!(flags.letters(), shown, "{given}");
    }
    assert_eq!(NotifyFlags::from_letters("KQ"), None);
    let flags = NotifyFlags::from_letters("Kg").expect("known letters");
    assert!(flags.contains(NotifyFlags::GENERIC) && !flags.intersects(NotifyFlags::KEYEVENT));
}

#[test]
fn a_share_of_memory() {
    assert_eq!(MemoryOrPercent::Bytes(0).bytes(100), None);
    assert_eq!(MemoryOrPercent::Bytes(7).bytes(0), Some(7));
    assert_eq!(MemoryOrPercent::Percent(5).bytes(1000), Some(50));
    assert_eq!(MemoryOrPercent::Percent(5).bytes(0), None, "no maxmemory: nothing to share");
    assert_eq!(MemoryOrPercent::Bytes(7).clients_bytes(0), Some(128 << 10));
    assert_eq!(MemoryOrPercent::Bytes(0).clients_bytes(0), None);
    assert_eq!(MemoryOrPercent::Percent(100).bytes(u64::MAX), Some(u64::MAX));
}

#[test]
fn what_choices_mean() {
    assert!(MaxmemoryPolicy::VolatileLfu.is_lfu() && MaxmemoryPolicy::VolatileLfu.is_volatile());
    assert!(MaxmemoryPolicy::AllkeysLru.is_lru() && !MaxmemoryPolicy::AllkeysLru.is_volatile());
    assert!(!MaxmemoryPolicy::Noeviction.is_lru() && !MaxmemoryPolicy::Noeviction.is_volatile());
    assert_eq!(MaxmemoryPolicy::VolatileTtl.to_string(), "volatile-ttl");
    assert_eq!(LogLevel::Nothing.word(), "nothing");
    assert!(ProtectedAction::Local.allowed(true) && !ProtectedAction::Local.allowed(false));
}

#[test]
fn addresses_of_bind() {
    let any = bind_address("-::*");
    assert!(any.optional && any.host == "::" && !any.is_loopback());
    let star = bind_address("*");
    assert!(!star.optional && star.host == "0.0.0.0");
    assert!(bind_address("-::1").is_loopback() && bind_address("127.0.0.1").is_loopback());
}
