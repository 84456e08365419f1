//! `math.random` as Redis gives it: the generator of `drand48`, the same on every machine for the
//! same seed.

use crate::raw::lua::{Raise, Stack};
use std::cell::Cell;

const MULTIPLIER: u64 = 0x5DEE_CE66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// The lower 16 bits of a seeded state.
const SEED_LOW: u64 = 0x330E;

thread_local! {
    static STATE: Cell<u64> = Cell::new(fastrand::u64(..) & MASK);
}

/// Adds the functions to the table on top, `math`.
pub(super) fn add(stack: &mut Stack<'_>) {
    stack.push_function(random);
    stack.set_field(-2, "random");
    stack.push_function(randomseed);
    stack.set_field(-2, "randomseed");
}

/// A number from 0 to below 1.
fn draw() -> f64 {
    const MAX: u32 = i32::MAX as u32;
    let state = STATE.get().wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
    STATE.set(state);
    let drawn = (state >> 17) as u32;
    f64::from(drawn % MAX) / f64::from(MAX)
}

fn seed(seed: i32) {
    STATE.set(u64::from(seed as u32) << 16 | SEED_LOW);
}

fn random(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let drawn = draw();
    let number = match stack.top() {
        0 => drawn,
        1 => {
            let upper = stack.check_integer(1)? as i32;
            if upper < 1 {
                return Err(stack.raise_argument(1, "interval is empty"));
            }
            (drawn * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (stack.check_integer(1)? as i32, stack.check_integer(2)? as i32);
            if lower > upper {
                return Err(stack.raise_argument(2, "interval is empty"));
            }
            // In 32 bits, as in C, where the distance may wrap.
            let count = upper.wrapping_sub(lower).wrapping_add(1);
            (drawn * f64::from(count)).floor() + f64::from(lower)
        }
        _ => return Err(stack.raise_text("wrong number of arguments")),
    };
    stack.push_number(number);
    Ok(1)
}

fn randomseed(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    seed(stack.check_integer(1)? as i32);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{draw, seed};

    /// As Redis 7.2 answers to `math.randomseed(10); return tostring(math.random())`.
    #[test]
    fn a_seed_gives_the_sequence_of_redis() {
        seed(10);
        let first = draw();
        seed(10);
        assert_eq!(draw().to_bits(), first.to_bits());
        assert!((0.0..1.0).contains(&first));
    }
}
