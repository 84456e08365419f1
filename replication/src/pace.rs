//! Timers of one thread that fall together, so that a thread at rest wakes up seldom.
//!
//! Tokio keeps a timer that is more than 64 ms away in a slot of 64 ms: it wakes up when the slot
//! begins, to look closer, and again when the timer is due. So one that is due when a slot begins costs
//! one wake in place of two, and those of all tasks of a thread cost one together. Slots are counted
//! from when the runtime was built.
//!
//! Invariant: only times that may be half a slot early or late are moved. Where nobody noted a runtime,
//! as under a simulator, none is.

use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// A slot of tokio's timers.
const SLOT: Duration = Duration::from_millis(64);

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

/// The nearest beginning of a slot, for what is at least a slot away.
fn near(now: Instant, due: Instant, built: Option<Instant>) -> Instant {
    let Some(built) = built.filter(|_| due.saturating_duration_since(now) >= SLOT) else {
        return due;
    };
    let slots = (due.saturating_duration_since(built) + SLOT / 2).as_nanos() / SLOT.as_nanos();
    // Some centuries of slots have room.
    u32::try_from(slots).map_or(due, |slots| built + SLOT * slots)
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
            (129, 192, 320),
            (64, 1000, 1088),
        ] {
            assert_eq!(moved(now, pause), ms(due), "{pause} ms after {now} ms");
        }
        assert_eq!(near(built, built + ms(200), None), built + ms(200));
    }
}
