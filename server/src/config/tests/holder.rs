//! The shared settings of a node.

use std::sync::Arc;

use crate::config::{Caller, Config, ConfigError, Settings};

#[test]
fn a_snapshot_stays_and_the_generation_moves() {
    let config = Config::new(Settings::default());
    let (before, generation) = (config.load(), config.generation());
    config.update(|settings| settings.maxclients = 7);
    assert_eq!(before.maxclients, 10_000);
    assert_eq!(config.load().maxclients, 7);
    assert_ne!(config.generation(), generation);
}

#[test]
fn what_cannot_be_applied_changes_nothing() {
    let config = Config::new(Settings::default());
    let generation = config.generation();
    let refused = config.set(&[("port", "7000")], Caller::default(), |old, new| {
        assert_eq!((old.port, new.port), (6379, 7000));
        Err(ConfigError::refused("port", "Unable to listen on this port. Check server logs."))
    });
    assert_eq!(
        refused.expect_err("refused").to_string(),
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this \
         port. Check server logs."
    );
    assert_eq!((config.load().port, config.generation()), (6379, generation));
    config.set(&[("port", "7000")], Caller::default(), |_, _| Ok(())).expect("applied");
    assert_eq!(config.load().port, 7000);
}

#[test]
fn no_change_is_lost_between_threads() {
    let config = Arc::new(Config::new(Settings::default().with_no_clients()));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                for _ in 0..100 {
                    config.update(|settings| settings.maxclients += 1);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!((config.load().maxclients, config.generation()), (400, 400));
}

impl Settings {
    fn with_no_clients(mut self) -> Self {
        self.maxclients = 0;
        self
    }
}
