//! Geohashes as Redis computes them: positions as 52-bit scores, and the areas that cover a search.
//!
//! A hash interleaves the bits of a position's place in the range of longitudes and in that of
//! latitudes: the more bits (`step` for each), the smaller the area it names. Every operation is done
//! in Redis's order, because results show the last bit of a double.

use larder_protocol::number::cast_u64;

/// Mean radius of the earth in metres.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Half the width in metres of a Mercator map.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
/// Bits of each coordinate in a score.
const MAX_STEP: u32 = 26;
/// Bits at even places of an interleaved number: those of the latitude.
const EVEN: u64 = 0x5555_5555_5555_5555;
/// Bits at odd places: those of the longitude.
const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;

/// A position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    /// East of Greenwich, -180 to 180.
    pub(super) longitude: f64,
    /// North of the equator; Mercator's map ends at about 85.
    pub(super) latitude: f64,
}

/// The positions that can be encoded.
pub(super) const WORLD: Bounds =
    Bounds { west: -180.0, south: -85.051_128_78, east: 180.0, north: 85.051_128_78 };
/// The range of the standard's geohash strings.
const GLOBE: Bounds = Bounds { west: -180.0, south: -90.0, east: 180.0, north: 90.0 };

/// An area in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

/// A geohash of `step` bits for each coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    bits: u64,
    step: u32,
}

fn interleave(latitude: u32, longitude: u32) -> u64 {
    spread(latitude) | spread(longitude) << 1
}

/// The bits of a number, each followed by a zero.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every other bit, from the lowest on.
fn gather(interleaved: u64) -> u32 {
    let mut bits = interleaved & EVEN;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

impl Bounds {
    /// Whether a position lies in it.
    pub(super) fn contains(self, at: Position) -> bool {
        (self.west..=self.east).contains(&at.longitude)
            && (self.south..=self.north).contains(&at.latitude)
    }
}

impl Hash {
    fn encode(at: Position, range: Bounds, step: u32) -> Self {
        let scale = (1_u64 << step) as f64;
        let latitude = (at.latitude - range.south) / (range.north - range.south) * scale;
        let longitude = (at.longitude - range.west) / (range.east - range.west) * scale;
        Self { bits: interleave(latitude as u32, longitude as u32), step }
    }

    /// The area that it names.
    fn area(self) -> Bounds {
        let scale = (1_u64 << self.step) as f64;
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        let height = WORLD.north - WORLD.south;
        let width = WORLD.east - WORLD.west;
        let part = |number: u32, of: f64| f64::from(number) / scale * of;
        Bounds {
            south: WORLD.south + part(latitude, height),
            north: WORLD.south + part(latitude.wrapping_add(1), height),
            west: WORLD.west + part(longitude, width),
            east: WORLD.west + part(longitude.wrapping_add(1), width),
        }
    }

    /// The scores of the positions in its area: from the first one up to, not including, the second.
    pub(super) fn scores(self) -> (f64, f64) {
        let aligned = |bits: u64| (bits << (2 * (MAX_STEP - self.step))) as f64;
        (aligned(self.bits), aligned(self.bits.wrapping_add(1)))
    }

    /// The area so many areas to the east and to the north.
    fn moved(self, east: i32, north: i32) -> Self {
        let (longitude, latitude) = (self.bits & ODD, self.bits & EVEN);
        let unused = 64 - self.step * 2;
        let step_by = |bits: u64, by: i32, gaps: u64| match by {
            0 => bits,
            1.. => bits.wrapping_add(gaps + 1),
            _ => (bits | gaps).wrapping_sub(gaps + 1),
        };
        // The gaps are filled so that a carry passes over the other coordinate's bits.
        let longitude = match east {
            0 => longitude,
            _ => step_by(longitude, east, EVEN >> unused) & (ODD >> unused),
        };
        let latitude = match north {
            0 => latitude,
            _ => step_by(latitude, north, ODD >> unused) & (EVEN >> unused),
        };
        Self { bits: longitude | latitude, step: self.step }
    }
}

/// The score of a position.
pub(super) fn encode(at: Position) -> u64 {
    Hash::encode(at, WORLD, MAX_STEP).bits
}

/// The position that a score stands for: the middle of its area.
pub(super) fn decode(score: f64) -> Position {
    // Any number may be a score, also what is no hash.
    let area = Hash { bits: cast_u64(score), step: MAX_STEP }.area();
    Position {
        longitude: f64::midpoint(area.west, area.east).clamp(WORLD.west, WORLD.east),
        latitude: f64::midpoint(area.south, area.north).clamp(WORLD.south, WORLD.north),
    }
}

/// The standard's geohash string of a position.
pub(super) fn text_of(at: Position) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = Hash::encode(at, GLOBE, MAX_STEP).bits;
    // 52 bits make ten characters; the eleventh has always been 0.
    let character = |at: u32| ALPHABET[(bits >> (52 - 5 * (at + 1)) & 0x1f) as usize];
    (0..10).map(character).chain([ALPHABET[0]]).collect()
}

fn latitude_distance_m(first: f64, second: f64) -> f64 {
    EARTH_RADIUS_M * (radians(second) - radians(first)).abs()
}

fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// The distance in metres between two positions, on a sphere.
pub(super) fn distance_m(first: Position, second: Position) -> f64 {
    let v = ((radians(second.longitude) - radians(first.longitude)) / 2.0).sin();
    if v == 0.0 {
        return latitude_distance_m(first.latitude, second.latitude);
    }
    let (first, second) = (radians(first.latitude), radians(second.latitude));
    let u = ((second - first) / 2.0).sin();
    let a = u * u + first.cos() * second.cos() * v * v;
    2.0 * EARTH_RADIUS_M * a.sqrt().asin()
}

/// What a search looks in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A circle.
    Circle {
        /// Its radius in metres.
        radius_m: f64,
    },
    /// A box along the coordinates.
    Rectangle {
        /// Its width in metres.
        width_m: f64,
        /// Its height in metres.
        height_m: f64,
    },
}

impl Shape {
    /// The distance in metres of a position from the centre, if it lies in the shape.
    pub(super) fn distance_m(self, center: Position, at: Position) -> Option<f64> {
        match self {
            Self::Circle { radius_m } => {
                let distance = distance_m(center, at);
                (distance <= radius_m).then_some(distance)
            }
            Self::Rectangle { width_m, height_m } => {
                if latitude_distance_m(at.latitude, center.latitude) > height_m / 2.0 {
                    return None;
                }
                let across = Position { longitude: center.longitude, latitude: at.latitude };
                if distance_m(at, across) > width_m / 2.0 {
                    return None;
                }
                Some(distance_m(center, at))
            }
        }
    }

    fn bounds(self, center: Position) -> Bounds {
        let (width, height) = match self {
            Self::Circle { radius_m } => (radius_m, radius_m),
            Self::Rectangle { width_m, height_m } => (width_m / 2.0, height_m / 2.0),
        };
        let north = degrees(height / EARTH_RADIUS_M);
        // The side that is nearer to a pole spans more degrees.
        let widest =
            if center.latitude < 0.0 { center.latitude - north } else { center.latitude + north };
        let east = degrees(width / EARTH_RADIUS_M / radians(widest).cos());
        Bounds {
            west: center.longitude - east,
            south: center.latitude - north,
            east: center.longitude + east,
            north: center.latitude + north,
        }
    }

    /// The areas that together cover the shape: the centre's and those around it that are needed.
    pub(super) fn areas(self, center: Position) -> Vec<Hash> {
        let bounds = self.bounds(center);
        let reach_m = match self {
            Self::Circle { radius_m } => radius_m,
            Self::Rectangle { width_m, height_m } => {
                ((width_m / 2.0) * (width_m / 2.0) + (height_m / 2.0) * (height_m / 2.0)).sqrt()
            }
        };
        let mut step = step_for(reach_m, center.latitude);
        let mut hash = Hash::encode(center, WORLD, step);
        let is_short = hash.moved(0, 1).area().north < bounds.north
            || hash.moved(0, -1).area().south > bounds.south
            || hash.moved(1, 0).area().east < bounds.east
            || hash.moved(-1, 0).area().west > bounds.west;
        if step > 1 && is_short {
            step -= 1;
            hash = Hash::encode(center, WORLD, step);
        }
        let area = hash.area();
        let useless = |east: i32, north: i32| {
            step >= 2
                && ((north < 0 && area.south < bounds.south)
                    || (north > 0 && area.north > bounds.north)
                    || (east < 0 && area.west < bounds.west)
                    || (east > 0 && area.east > bounds.east))
        };
        const AROUND: [(i32, i32); 8] =
            [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut areas = vec![hash];
        for (east, north) in AROUND {
            let neighbour = hash.moved(east, north);
            // In the largest areas neighbours may be the same one. Like Redis, only the one before is
            // compared, and the centre is not.
            let is_known = areas.len() > 1 && areas.last() == Some(&neighbour);
            if !useless(east, north) && !is_known {
                areas.push(neighbour);
            }
        }
        areas
    }
}

/// The number of bits at which an area and its neighbours cover so many metres around a position.
fn step_for(mut reach_m: f64, latitude: f64) -> u32 {
    if reach_m == 0.0 {
        return MAX_STEP;
    }
    let mut step = 1;
    while reach_m < MERCATOR_MAX_M {
        reach_m *= 2.0;
        step += 1;
    }
    // Two less, so that the reach is inside in most cases; fewer still where areas are narrow.
    step -= 2;
    if latitude.abs() > 66.0 {
        step -= 1;
    }
    if latitude.abs() > 80.0 {
        step -= 1;
    }
    step.clamp(1, MAX_STEP as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = Position> {
        (WORLD.west..WORLD.east, WORLD.south..WORLD.north)
            .prop_map(|(longitude, latitude)| Position { longitude, latitude })
    }

    proptest! {
        #[test]
        fn a_score_stands_for_its_position(at in position()) {
            let score = encode(at);
            prop_assert!(score < 1 << 52);
            let found = decode(score as f64);
            prop_assert!(distance_m(at, found) < 1.0, "{at:?} {found:?}");
            prop_assert_eq!(encode(found), score);
        }

        #[test]
        fn areas_cover_a_circle(center in position(), around in position(), radius_m in 0.0..3e5_f64) {
            let shape = Shape::Circle { radius_m };
            let at = Position {
                longitude: center.longitude + around.longitude / 180.0,
                latitude: center.latitude + around.latitude / 90.0,
            };
            let is_inside = at.longitude.abs() <= 180.0 && at.latitude.abs() <= 84.0
                && center.latitude.abs() <= 80.0 && center.longitude.abs() < 170.0
                && shape.distance_m(center, at).is_some();
            let score = encode(at) as f64;
            let covers = |hash: &Hash| { let (from, to) = hash.scores(); (from..to).contains(&score) };
            prop_assert!(!is_inside || shape.areas(center).iter().any(covers));
        }

        #[test]
        fn moves_come_back(at in position(), step in 1..26_u32, east in -1..2, north in -1..2) {
            let hash = Hash::encode(at, WORLD, step);
            prop_assert_eq!(hash.moved(east, north).moved(-east, -north), hash);
        }
    }

    #[test]
    fn any_number_is_a_score() {
        for score in [f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300, 0.5, f64::MAX] {
            let at = decode(score);
            assert!(at.latitude.abs() <= 90.0 && at.longitude.abs() <= 180.0, "{score}");
        }
    }

    #[test]
    fn strings_are_the_standards() {
        let at = decode(encode(Position { longitude: 13.361389, latitude: 38.115556 }) as f64);
        assert_eq!(text_of(at), b"sqc8b49rny0");
    }
}
