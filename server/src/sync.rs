//! The mutex of the shards: parking_lot's; or, with the feature `shuttle`, one whose every use is a
//! point at which shuttle's scheduler may let another thread run, for tests that try many schedules.

#[cfg(not(feature = "shuttle"))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

#[cfg(feature = "shuttle")]
pub(crate) use scheduled::{Mutex, MutexGuard};

#[cfg(feature = "shuttle")]
mod scheduled {
    //! parking_lot's interface over shuttle's mutex.

    pub(crate) use shuttle::sync::MutexGuard;
    use std::time::Duration;

    /// Tries before a wait with a limit gives up: time does not pass under shuttle.
    const TRIES: usize = 3;

    #[derive(Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub(crate) fn try_lock_for(&self, _: Duration) -> Option<MutexGuard<'_, T>> {
            (0..TRIES).find_map(|_| {
                let guard = self.try_lock();
                if guard.is_none() {
                    shuttle::thread::yield_now();
                }
                guard
            })
        }
    }
}
