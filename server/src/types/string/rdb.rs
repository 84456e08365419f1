//! Strings in dump files.

use crate::raw::{EntryRef, NewValue, Value};
use larder_protocol::rdb::{Error, Reader, Text, Writer};

/// Appends a string.
#[inline]
pub fn put(out: &mut Writer, entry: EntryRef<'_>) {
    match entry.string_bytes() {
        Some(bytes) => out.string(bytes),
        None => match entry.value() {
            Value::Int(number) => out.int_string(number),
            _ => unreachable!("every other string has bytes"),
        },
    }
}

/// Reads a string.
///
/// # Errors
/// It is none.
#[inline]
pub fn read<T>(reader: &mut Reader<'_>, store: impl FnOnce(NewValue<'_>) -> T) -> Result<T, Error> {
    Ok(match reader.text()? {
        Text::Int(number) => store(NewValue::Int(number.into())),
        Text::Bytes(bytes) => store(NewValue::string(bytes)),
        Text::Long(bytes) => store(NewValue::Raw(bytes)),
    })
}
