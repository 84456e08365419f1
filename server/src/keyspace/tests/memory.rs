//! Memory accounting: the sum that the node keeps is the sum of what is there.

use super::*;
use crate::keyspace::access::{Access, Deadline};
use crate::keyspace::changes::Changes;
use crate::keyspace::evict::Touch;
use crate::keyspace::held::Held;
use crate::raw::NewValue;
use std::panic::{AssertUnwindSafe, catch_unwind};

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn every_byte_is_counted(
        steps in prop::collection::vec(step(), 1..300),
        active_expire in any::<bool>(),
    ) {
        let clock = Clock::manual(START_MS);
        let node = still(&clock).start().unwrap();
        let shared = Arc::clone(node.shared());
        let mut local = node.local();
        if !active_expire {
            expire_only_on_access(&node);
        }
        for step in &steps {
            take(&mut local, &clock, step);
        }
        drop(local);
        if active_expire {
            // The node's own thread may be in the middle of a batch.
            node.shutdown();
            audit(&shared.keyspace);
        } else {
            audit(&shared.keyspace);
            succeed(&mut node.local(), "FLUSHALL");
            audit(&shared.keyspace);
            let empty_bytes = shared.keyspace.startup_bytes();
            prop_assert_eq!(shared.keyspace.memory().data_bytes(), empty_bytes);
        }
    }
}

#[test]
fn a_thread_keeps_little_to_itself() {
    let node = Node::builder().threads(1).start().unwrap();
    let memory = || node.shared().keyspace.memory().data_bytes() as i64;
    let before = memory();
    let mut local = node.local();
    for number in 0..1000 {
        local.set(format!("key{number}").as_bytes(), &[b'v'; 100]);
    }
    // 1000 entries of 128 bytes and their tables, less what the handle has not told.
    assert!(memory() - before > 128_000 - crate::keyspace::memory::SLACK_BYTES);
}

#[test]
fn a_panic_while_a_shard_is_held_leaves_it_whole() {
    let node = Node::builder().threads(1).start().unwrap();
    let mut local = node.local();
    local.set(b"key", &[b'v'; 5000]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        local.get_with(b"key", |_| -> usize { std::panic::resume_unwind(Box::new(())) })
    }));
    assert!(panicked.is_err());
    // The same handle goes on, and another thread gets at the shard.
    assert_eq!(local.get_with(b"key", <[u8]>::len), Some(5000));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(node.local().set(b"key", b"other")));
    });
    assert_eq!(local.get(b"key").as_deref(), Some(&b"other"[..]));
    drop(local);
    audit(&node.shared().keyspace);
}

#[test]
fn a_panic_between_changes_loses_no_bytes() {
    let keyspace = Keyspace::new(16);
    let key = keyspace.key(b"key");
    let hold = || {
        let held = Held::One(key.hash.shard(), keyspace.lock(key.hash.shard()));
        Access::new(&keyspace, held, 0, START_MS, Touch::None(0), Changes::default())
    };
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut access = hold();
        access.set(key, NewValue::Raw(vec![b'v'; 3000]), Deadline::At(START_MS + 1));
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    audit(&keyspace);

    // An edit that panics half way: the shard's own figures hold, so the key can go.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut access = hold();
        access.find_for_write(key).unwrap().edit(|bytes| {
            bytes.resize(100_000, b'w');
            std::panic::resume_unwind(Box::new(()));
        });
    }));
    assert!(panicked.is_err());
    let shard = keyspace.lock(key.hash.shard());
    let db = shard.db(0).unwrap();
    let entry_bytes = db.get(db.find(key).unwrap()).size_bytes();
    assert_eq!(db.size_bytes(), entry_bytes + db.overhead_bytes());
    drop(shard);
    assert!(hold().remove(key));
}
