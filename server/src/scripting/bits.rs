//! The library `bit`: operations on numbers as 32 bits.

use crate::raw::lua::{Function, Raise, Stack};

/// Adding it moves a number's lower 32 bits to the end of its representation.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// Fills the table on top.
pub(super) fn add(stack: &mut Stack<'_>) {
    let functions: [(&str, Function); 12] = [
        ("tobit", tobit),
        ("bnot", bnot),
        ("band", |stack| fold(stack, |bits, other| bits & other)),
        ("bor", |stack| fold(stack, |bits, other| bits | other)),
        ("bxor", |stack| fold(stack, |bits, other| bits ^ other)),
        ("lshift", |stack| shift(stack, |bits, by| bits << by)),
        ("rshift", |stack| shift(stack, |bits, by| bits >> by)),
        ("arshift", |stack| shift(stack, |bits, by| (bits as i32 >> by) as u32)),
        ("rol", |stack| shift(stack, u32::rotate_left)),
        ("ror", |stack| shift(stack, u32::rotate_right)),
        ("bswap", bswap),
        ("tohex", tohex),
    ];
    for (name, function) in functions {
        stack.push_function(function);
        stack.set_field(-2, name);
    }
}

fn bits(stack: &mut Stack<'_>, at: i32) -> Result<u32, Raise> {
    stack.check_number(at).map(|number| (number + SHIFT).to_bits() as u32)
}

fn answer(stack: &mut Stack<'_>, bits: u32) -> Result<i32, Raise> {
    stack.push_number(f64::from(bits as i32));
    Ok(1)
}

fn tobit(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let bits = bits(stack, 1)?;
    answer(stack, bits)
}

fn bnot(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let bits = bits(stack, 1)?;
    answer(stack, !bits)
}

fn bswap(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let bits = bits(stack, 1)?;
    answer(stack, bits.swap_bytes())
}

fn fold(stack: &mut Stack<'_>, operation: fn(u32, u32) -> u32) -> Result<i32, Raise> {
    let mut result = bits(stack, 1)?;
    for at in (2..=stack.top()).rev() {
        result = operation(result, bits(stack, at)?);
    }
    answer(stack, result)
}

fn shift(stack: &mut Stack<'_>, operation: fn(u32, u32) -> u32) -> Result<i32, Raise> {
    let (bits, by) = (bits(stack, 1)?, bits(stack, 2)?);
    answer(stack, operation(bits, by & 31))
}

fn tohex(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let value = bits(stack, 1)?;
    let digits = if stack.top() < 2 { 8 } else { bits(stack, 2)? as i32 };
    let count = digits.unsigned_abs().min(8) as usize;
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    stack.push_bytes(&text.as_bytes()[8 - count..]);
    Ok(1)
}
