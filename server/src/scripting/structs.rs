//! The library `struct`: numbers and strings as the bytes of C structures.
//!
//! A format is read character by character up to its end or a NUL. Sizes in it are bounded before
//! they are used, and nothing is allocated by a size alone.

use crate::raw::lua::{Kind, Raise, Stack};
use larder_protocol::number::cast_u64;

/// Bytes of the largest integer.
const INTEGER_MAX_BYTES: usize = 32;
/// The alignment that `!` alone asks for.
const ALIGN_MAX: usize = 8;

/// Fills the table on top.
pub(super) fn add(stack: &mut Stack<'_>) {
    stack.push_function(pack);
    stack.set_field(-2, "pack");
    stack.push_function(unpack);
    stack.set_field(-2, "unpack");
    stack.push_function(size);
    stack.set_field(-2, "size");
}

/// A walk over a format.
struct Format {
    text: Vec<u8>,
    at: usize,
    big_endian: bool,
    align: usize,
}

/// One step of a format.
struct Step {
    letter: u8,
    size: usize,
    padding: usize,
}

impl Format {
    fn new(stack: &mut Stack<'_>) -> Result<Self, Raise> {
        let text = stack.check_bytes(1)?;
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        Ok(Self {
            text: text[..end].to_vec(),
            at: 0,
            big_endian: cfg!(target_endian = "big"),
            align: 1,
        })
    }

    /// The next step, where the bytes before it end at `position`.
    fn next(&mut self, stack: &mut Stack<'_>, position: usize) -> Result<Option<Step>, Raise> {
        let Some(&letter) = self.text.get(self.at) else { return Ok(None) };
        self.at += 1;
        let size = self.size(stack, letter)?;
        let padding = self.padding(position, letter, size);
        Ok(Some(Step { letter, size, padding }))
    }

    fn size(&mut self, stack: &mut Stack<'_>, letter: u8) -> Result<usize, Raise> {
        Ok(match letter {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(stack, 1)?,
            b'i' | b'I' => {
                let size = self.number(stack, 4)?;
                if size > INTEGER_MAX_BYTES {
                    return Err(stack.raise_text(format!(
                        "integral size {size} is larger than limit of {INTEGER_MAX_BYTES}"
                    )));
                }
                size
            }
            _ => 0,
        })
    }

    /// A number in the format, within 31 bits.
    fn number(&mut self, stack: &mut Stack<'_>, default: usize) -> Result<usize, Raise> {
        let mut number = None;
        while let Some(digit) = self.text.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            let next = number.unwrap_or(0usize) * 10 + usize::from(digit - b'0');
            if next > i32::MAX as usize {
                return Err(stack.raise_text("integral size overflow"));
            }
            number = Some(next);
            self.at += 1;
        }
        Ok(number.unwrap_or(default))
    }

    fn padding(&self, position: usize, letter: u8, size: usize) -> usize {
        if size == 0 || letter == b'c' {
            return 0;
        }
        // As in C, where a size that is no power of two gives an alignment that makes no sense.
        let size = size.min(self.align);
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// A step that sets something.
    fn control(&mut self, stack: &mut Stack<'_>, letter: u8) -> Result<(), Raise> {
        match letter {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(stack, ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    let message = format!("alignment {align} is not a power of 2");
                    return Err(stack.raise_text(message));
                }
                self.align = align;
            }
            other => {
                let message = format!("invalid format option '{}'", char::from(other));
                return Err(stack.raise_argument(1, &message));
            }
        }
        Ok(())
    }

    /// Bytes in the format's order, from the machine's.
    fn ordered(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.big_endian != cfg!(target_endian = "big") {
            bytes.reverse();
        }
        bytes
    }
}

fn is_integer(letter: u8) -> bool {
    b"bBhHlLTiI".contains(&letter)
}

fn pack(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let mut format = Format::new(stack)?;
    // What is missing is nil, in errors too.
    stack.push_nil();
    let (mut out, mut at) = (Vec::new(), 2);
    while let Some(step) = format.next(stack, out.len())? {
        let Step { letter, size, padding } = step;
        out.resize(out.len() + padding, 0);
        match letter {
            _ if is_integer(letter) => {
                let number = stack.check_number(at)?;
                out.extend(format.ordered(integer_bytes(number, size)));
                at += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let number = stack.check_number(at)? as f32;
                out.extend(format.ordered(number.to_ne_bytes().to_vec()));
                at += 1;
            }
            b'd' => {
                let number = stack.check_number(at)?;
                out.extend(format.ordered(number.to_ne_bytes().to_vec()));
                at += 1;
            }
            b'c' | b's' => {
                let text = stack.check_bytes(at)?;
                let wanted = if size == 0 { text.len() } else { size };
                match text.get(..wanted) {
                    Some(text) => out.extend_from_slice(text),
                    None => return Err(stack.raise_argument(at + 1, "string too short")),
                }
                at += 1;
                if letter == b's' {
                    out.push(0);
                }
            }
            _ => format.control(stack, letter)?,
        }
        if out.len() > stack.bytes_left() {
            return Err(stack.raise_text("not enough memory"));
        }
    }
    stack.push_bytes(&out);
    Ok(1)
}

/// A number's lowest bytes in the machine's order; beyond 64 bits there is nothing.
fn integer_bytes(number: f64, size: usize) -> Vec<u8> {
    let mut bytes = cast_u64(number).to_le_bytes().to_vec();
    bytes.resize(size, 0);
    if cfg!(target_endian = "big") {
        bytes.reverse();
    }
    bytes
}

/// An integer from bytes in the format's order.
fn integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value =
        if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
    if !signed {
        return value as f64;
    }
    if bytes.is_empty() {
        return 0.0;
    }
    // Beyond 64 bits the place of the sign makes no sense, as in C.
    let signs = u64::MAX << ((bytes.len() * 8 - 1) % 64);
    let value = if value & signs == 0 { value } else { value | signs };
    value as i64 as f64
}

fn unpack(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let mut format = Format::new(stack)?;
    let data = stack.check_bytes(2)?.to_vec();
    let offset =
        if matches!(stack.kind(3), Kind::None | Kind::Nil) { 1 } else { stack.check_integer(3)? };
    // Below zero it is, as an unsigned number, beyond any string.
    if offset == 0 {
        return Err(stack.raise_argument(3, "offset must be 1 or greater"));
    }
    let mut position = (offset as u64 - 1) as usize;
    let mut results = 0;
    while let Some(step) = format.next(stack, position)? {
        let Step { letter, mut size, padding } = step;
        position = position.saturating_add(padding);
        if position > data.len() || size > data.len() - position {
            return Err(stack.raise_argument(2, "data string too short"));
        }
        if !stack.reserve(2) {
            return Err(stack.raise_text("stack overflow (too many results)"));
        }
        let bytes = &data[position..position + size];
        match letter {
            _ if is_integer(letter) => {
                let number = integer(bytes, format.big_endian, letter.is_ascii_lowercase());
                stack.push_number(number);
                results += 1;
            }
            b'x' => {}
            b'f' => {
                let bytes = format.ordered(bytes.to_vec()).try_into().unwrap_or_default();
                stack.push_number(f64::from(f32::from_ne_bytes(bytes)));
                results += 1;
            }
            b'd' => {
                let bytes = format.ordered(bytes.to_vec()).try_into().unwrap_or_default();
                stack.push_number(f64::from_ne_bytes(bytes));
                results += 1;
            }
            b'c' => {
                if size == 0 {
                    size = counted_size(stack, results)?;
                    results -= 1;
                }
                match data[position..].get(..size) {
                    Some(text) => stack.push_bytes(text),
                    None => return Err(stack.raise_argument(2, "data string too short")),
                }
                results += 1;
            }
            b's' => {
                let rest = &data[position..];
                let Some(end) = rest.iter().position(|&byte| byte == 0) else {
                    return Err(stack.raise_text("unfinished string in data"));
                };
                size = end + 1;
                stack.push_bytes(&rest[..end]);
                results += 1;
            }
            _ => format.control(stack, letter)?,
        }
        position += size;
    }
    stack.push_number((position + 1) as f64);
    Ok(results + 1)
}

/// The size of a `c0`: the number unpacked before it, which goes.
fn counted_size(stack: &mut Stack<'_>, results: i32) -> Result<usize, Raise> {
    let number = stack.number(-1).filter(|_| results > 0);
    let Some(number) = number else {
        return Err(stack.raise_text("format 'c0' needs a previous size"));
    };
    stack.pop(1);
    Ok(cast_u64(number) as usize)
}

fn size(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let mut format = Format::new(stack)?;
    let mut position = 0;
    while let Some(step) = format.next(stack, position)? {
        let Step { letter, size, padding } = step;
        position += padding;
        if letter == b's' {
            return Err(stack.raise_argument(1, "option 's' has no fixed size"));
        }
        if letter == b'c' && size == 0 {
            return Err(stack.raise_argument(1, "option 'c0' has no fixed size"));
        }
        if !letter.is_ascii_alphanumeric() {
            format.control(stack, letter)?;
        }
        position += size;
    }
    stack.push_number(position as f64);
    Ok(1)
}
