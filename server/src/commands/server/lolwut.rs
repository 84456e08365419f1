//! LOLWUT: a piece of computer art, different each time, and the version.
//!
//! Ours is a larder: shelves of jars, each filled to a height of its own.

use crate::dispatch::call::{Call, CommandResult};
use crate::observe::info::{LARDER_VERSION, REDIS_VERSION};
use larder_protocol::Reply;
use larder_protocol::number::parse_i64;

/// Columns and shelves when nobody asks for others, and the most there are.
const COLUMNS: (i64, i64) = (66, 1000);
const SHELVES: (i64, i64) = (3, 200);
/// Lines of a jar that can be filled.
const JAR_LINES: usize = 3;
const JAR_COLUMNS: usize = 6;
const CONTENTS: &[u8] = b":o*#%@~";

/// LOLWUT [VERSION version] [columns [shelves]]
pub fn lolwut<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut reader = call.args.reader(1);
    // Only the pictures of old versions insist on numbers; today's passes over what it cannot use.
    let strict = reader.remaining() >= 2 && reader.keyword("version") && reader.int() < 7;
    let mut number = |(default, most): (i64, i64)| {
        let given = match reader.peek().and_then(parse_i64) {
            Some(_) => reader.int(),
            None if strict && reader.has_next() => reader.int(),
            None => default,
        };
        given.clamp(1, most) as usize
    };
    let (columns, shelves) = (number(COLUMNS), number(SHELVES));
    reader.finish()?;
    let jars = (columns / JAR_COLUMNS).max(1);
    let mut art = String::new();
    for _ in 0..shelves {
        draw_shelf(&mut art, jars, &mut || call.random());
    }
    art.push_str("\nA larder, never stocked the same way twice. ");
    art.push_str(&format!("Larder ver. {LARDER_VERSION} (Redis ver. {REDIS_VERSION})\n"));
    Ok(Reply::text(art))
}

fn draw_shelf(art: &mut String, jars: usize, random: &mut impl FnMut() -> u64) {
    let filled: Vec<(usize, char)> = (0..jars)
        .map(|_| {
            let draw = random() as usize;
            let contents = CONTENTS[draw / 8 % CONTENTS.len()];
            (draw % (JAR_LINES + 2), char::from(contents))
        })
        .collect();
    // One height more than a jar has stands for a gap on the shelf.
    let gap = JAR_LINES + 1;
    let mut line = |draw: &dyn Fn(usize, char) -> String| {
        for (height, contents) in &filled {
            let shown = if *height == gap { String::new() } else { draw(*height, *contents) };
            art.push_str(&format!("{shown:<width$}", width = JAR_COLUMNS));
        }
        art.truncate(art.trim_end_matches(' ').len());
        art.push('\n');
    };
    line(&|_, _| " ___".to_owned());
    for level in (0..JAR_LINES).rev() {
        line(&|height, contents| {
            let inside = if height > level { contents } else { ' ' };
            format!("|{inside}{inside}{inside}|")
        });
    }
    art.push_str(&"=".repeat(jars * JAR_COLUMNS));
    art.push('\n');
}
