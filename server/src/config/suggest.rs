//! The name that somebody who wrote an unknown one may have meant.

use super::settings::DIRECTIVES;

/// Names longer than this are not compared: no directive comes near, and the work grows with it.
const MAX_NAME_BYTES: usize = 64;

/// The known name that takes the fewest edits, if few are enough.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let name = name.to_ascii_lowercase();
    // One typo in three letters is still the same word, more is another.
    let most = (name.len() / 3).min(4);
    DIRECTIVES
        .iter()
        .flat_map(|directive| [Some(directive.name), directive.alias])
        .flatten()
        .map(|known| (edits(name.as_bytes(), known.as_bytes()), known))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// How many bytes must be inserted, removed or replaced to make `a` into `b`.
fn edits(a: &[u8], b: &[u8]) -> usize {
    // The distances from the prefix of `a` seen so far to each prefix of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, from) in a.iter().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (above, to) in row.iter().skip(1).zip(b) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from != to));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(a.len())
}
