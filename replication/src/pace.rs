//! Timers of one thread that fall together, so that a thread at rest wakes up seldom.
//!
//! Tokio keeps a timer that is more than 64 ms away in a slot of 64 ms: it wakes up when the slot
//! begins, to look closer, and again when the timer is due. So one that is due when a slot begins costs
//! one wake in place of two. Periods of 64, 128, 256 ms and so on are moved to multiples of themselves,
//! all others to those of the next shorter one: then the timers of all tasks of a thread fall together.
//! Slots are counted from when the runtime was built.
//!
//! Invariant: a time is moved by half of its own period at most, and only once: what goes on from there
//! in equal periods is met. Where nobody noted a runtime, as under a simulator, none is moved.

use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// A slot of tokio's timers.
const SLOT: Duration = Duration::from_millis(64);

/// Periods are moved by half of so many slots at the most: half a second.
const MAX_SLOTS: u128 = 16;

thread_local! {
    static BUILT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Notes that this thread is about to build its runtime.
pub fn note_runtime() {
    BUILT.set(Some(Instant::now()));
}

/// When a pause of about this length is over; one that is shorter than a slot is exact.
pub fn after(pause: Duration) -> Instant {
    let now = Instant::now();
    near(now, now + pause, BUILT.get())
}

/// The moment that takes the place of this one.
pub(crate) fn about(due: Instant) -> Instant {
    near(Instant::now(), due, BUILT.get())
}

/// The nearest multiple of a slot, or of the longest power of two of slots that is no longer than the
/// pause; for what is at least a slot away.
fn near(now: Instant, due: Instant, built: Option<Instant>) -> Instant {
    let pause = due.saturating_duration_since(now);
    let Some(built) = built.filter(|_| pause >= SLOT) else { return due };
    // A little less counts as a whole period: 250 ms as 256.
    let slots = ((pause + pause / 16).as_nanos() / SLOT.as_nanos()).min(MAX_SLOTS);
    let grid = SLOT * (1 << slots.ilog2());
    let periods = (due.saturating_duration_since(built) + grid / 2).as_nanos() / grid.as_nanos();
    // Some centuries have room.
    u32::try_from(periods).map_or(due, |periods| built + grid * periods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_enough_is_moved_to_a_slot() {
        let built = Instant::now();
        let ms = Duration::from_millis;
        let moved = |now: u64, pause: u64| {
            near(built + ms(now), built + ms(now + pause), Some(built)) - built
        };
        for (now, pause, due) in [
            (0, 63, 63),
            (10, 64, 64),
            (0, 95, 64),
            (0, 96, 128),
            (129, 192, 384),
            (384, 192, 640),
            (3, 250, 256),
            (256, 250, 512),
            (100, 512, 512),
            (64, 1000, 1024),
            (1, 5000, 5120),
        ] {
            assert_eq!(moved(now, pause), ms(due), "{pause} ms after {now} ms");
        }
        assert_eq!(near(built, built + ms(200), None), built + ms(200));
    }
}
