//! PFSELFTEST: what Redis's test of the same name looks at.

use super::{Encoding, HEADER_BYTES, REGISTERS, add, count, dense, empty, make_dense, set_dense};
use larder_protocol::CommandError;

/// How often all registers are set to something else.
const ROUNDS: usize = 1000;
/// How many elements are added; a check follows at each power of ten.
const ELEMENTS: u64 = 10_000_000;
/// The expected error of a cardinality, as a part of it: 1.04 / sqrt(registers).
const ERROR: f64 = 1.04 / 128.0;

/// Tests registers and estimates.
///
/// # Errors
/// Says what is wrong.
pub(super) fn run(rng: &mut fastrand::Rng, sparse_max_bytes: u64) -> Result<(), CommandError> {
    let mut hll = empty();
    make_dense(&mut hll)?;
    let mut registers = [0; REGISTERS];
    for _ in 0..ROUNDS {
        registers.fill_with(|| rng.u8(..64));
        set_dense(&mut hll, &registers);
        let read = dense::registers(&hll[HEADER_BYTES..]);
        for (index, (is, should_be)) in read.into_iter().zip(registers).enumerate() {
            if is != should_be {
                return failed(format!("Register {index} should be {should_be} but is {is}"));
            }
        }
    }
    check_estimates(rng.u64(..), sparse_max_bytes.min(hll.len() as u64))
}

fn check_estimates(seed: u64, sparse_max_bytes: u64) -> Result<(), CommandError> {
    let (mut dense, mut sparse) = (empty(), empty());
    make_dense(&mut dense)?;
    let mut checkpoint = 1;
    for element in 1..=ELEMENTS {
        let bytes = (element ^ seed).to_le_bytes();
        add(&mut dense, &bytes, sparse_max_bytes)?;
        add(&mut sparse, &bytes, sparse_max_bytes)?;
        if element != checkpoint {
            continue;
        }
        if element < sparse_max_bytes / 2 && Encoding::of(&sparse)? != Encoding::Sparse {
            return failed("sparse encoding not used".to_owned());
        }
        let estimate = count(&dense)?;
        if estimate != count(&sparse)? {
            return failed("dense/sparse disagree".to_owned());
        }
        // Ten elements may well meet in a register, and one is not a tenth of a part.
        let largest = if element == 10 { 1 } else { (ERROR * 6.0 * element as f64).ceil() as u64 };
        let error = estimate.abs_diff(element);
        if error > largest {
            return failed(format!("Too big error. card:{element} abserr:{error}"));
        }
        checkpoint *= 10;
    }
    Ok(())
}

fn failed(what: String) -> Result<(), CommandError> {
    Err(CommandError::custom(format!("ERR TESTFAILED {what}")))
}
