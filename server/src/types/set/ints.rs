//! A small set of integers: sorted, each in as many bytes as the widest needs.
//!
//! The bytes are a width (2, 4 or 8) and the integers, little-endian, in ascending order; so a member
//! is found by halving. As in Redis's intset, the width only ever grows.

use crate::raw::Splice;

/// A set without members.
pub(super) const EMPTY: &[u8] = &[2];

/// A set of integers, to read.
#[derive(Clone, Copy, Debug)]
pub struct Ints<'a>(&'a [u8]);

impl<'a> Ints<'a> {
    /// The set in `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    fn width(self) -> usize {
        usize::from(self.0[0])
    }

    /// How many members it has.
    #[inline]
    pub fn len(self) -> usize {
        (self.0.len() - 1) / self.width()
    }

    /// The member at a position.
    #[inline]
    pub fn get(self, index: usize) -> i64 {
        let width = self.width();
        let bytes = &self.0[1 + index * width..][..width];
        match bytes {
            [a, b] => i64::from(i16::from_le_bytes([*a, *b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([*a, *b, *c, *d])),
            _ => bytes.try_into().map_or(0, i64::from_le_bytes),
        }
    }

    /// The members in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i64> + use<'a> {
        (0..self.len()).map(move |index| self.get(index))
    }

    /// Where a member is, or where it would be.
    pub fn search(self, member: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(&member) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Whether an integer is a member.
    #[inline]
    pub fn contains(self, member: i64) -> bool {
        self.search(member).is_ok()
    }
}

fn width_of(member: i64) -> usize {
    match member {
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    }
}

/// Adds a member; false when it was there.
pub(super) fn add(store: &mut impl Splice, member: i64) -> bool {
    let ints = Ints::new(store.as_ref());
    let Err(place) = ints.search(member) else { return false };
    let (width, wanted) = (ints.width(), width_of(member));
    if wanted > width {
        let mut wider = Vec::with_capacity(1 + (ints.len() + 1) * wanted);
        wider.push(wanted as u8);
        ints.iter().for_each(|other| wider.extend_from_slice(&other.to_le_bytes()[..wanted]));
        let all = store.as_ref().len();
        store.splice(0..all, &[&wider]);
    }
    let width = width.max(wanted);
    let at = 1 + place * width;
    store.splice(at..at, &[&member.to_le_bytes()[..width]]);
    true
}

/// Removes the member at a position.
pub(super) fn remove_at(store: &mut impl Splice, index: usize) {
    let width = Ints::new(store.as_ref()).width();
    let at = 1 + index * width;
    store.splice(at..at + width, &[]);
}
