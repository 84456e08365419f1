//! From registers to a cardinality: Otmar Ertl's estimator ("New cardinality estimation algorithms
//! for HyperLogLog sketches", arXiv:1702.01284), step by step as in Redis, so that the sums are
//! rounded alike.

use super::{RANK_BITS, REGISTERS, Registers};

/// 0.5 / ln 2.
const ALPHA: f64 = 0.721_347_520_444_481_7;
/// Six bits of rank; a hash gives no more than `RANK_BITS + 1`, foreign bytes may.
const RANKS: usize = 64;

/// How many registers have each rank.
pub(super) struct Histogram([usize; RANKS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; RANKS])
    }
}

impl Histogram {
    /// Counts registers of a rank.
    #[inline]
    pub(super) fn add(&mut self, rank: u8, registers: usize) {
        self.0[usize::from(rank) % RANKS] += registers;
    }

    /// Counts all registers.
    pub(super) fn add_all(&mut self, registers: &Registers) {
        registers.iter().for_each(|rank| self.add(*rank, 1));
    }

    /// The estimated number of elements.
    pub(super) fn estimate(&self) -> u64 {
        const M: f64 = REGISTERS as f64;
        let of = |rank: u32| self.0[rank as usize] as f64;
        let mut z = M * tau((M - of(RANK_BITS + 1)) / M);
        for rank in (1..=RANK_BITS).rev() {
            z += of(rank);
            z *= 0.5;
        }
        z += M * sigma(of(0) / M);
        let estimate = (ALPHA * M * M / z).round();
        // What C makes of a number that is none of 64 bits.
        if estimate < i64::MAX as f64 { estimate as u64 } else { i64::MIN as u64 }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
