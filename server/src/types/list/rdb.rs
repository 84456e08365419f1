//! Lists in dump files: packed nodes one after the other.

use super::{End, Fill, List};
use crate::raw::Kind;
use crate::types::object::Object;
use crate::types::packed::{self, Item, Packed};
use crate::types::rdb::{self, Built};
use larder_protocol::rdb::{Error, Reader, Writer, opcode, ziplist};

/// Bytes from which on Redis takes no listpack.
const LISTPACK_MAX_BYTES: usize = 1 << 30;

/// Appends a small list.
pub fn put_packed(out: &mut Writer, packed: Packed<'_>) {
    out.length(1);
    put_node(out, packed);
}

/// Appends a large list.
pub fn put(out: &mut Writer, list: &List) {
    out.length(list.nodes() as u64);
    list.each_node(|packed| put_node(out, packed));
}

fn put_node(out: &mut Writer, packed: Packed<'_>) {
    match packed.first().map(|at| packed.get(at)) {
        // An element so large has a node of its own.
        Some(Item::Bytes(bytes)) if packed.listpack_bytes() >= LISTPACK_MAX_BYTES => {
            out.length(opcode::container::PLAIN);
            out.string(bytes);
        }
        _ => {
            out.length(opcode::container::PACKED);
            rdb::put_listpack(out, packed);
        }
    }
}

/// Reads a list in any of its forms.
pub(in crate::types) fn read(
    reader: &mut Reader<'_>,
    kind: u8,
    fill: Fill,
) -> Result<Option<Built>, Error> {
    let mut list = List::default();
    match kind {
        opcode::LIST => {
            let (len, mut element) = (reader.length()?, Vec::new());
            for _ in 0..len {
                reader.string_into(&mut element)?;
                list.push(End::Right, &element, fill);
            }
        }
        opcode::LIST_ZIPLIST => {
            let offset = reader.offset();
            let bytes = reader.string()?;
            let pushed = ziplist::each(&bytes, |element| {
                list.push(End::Right, &item_of(element).bytes(), fill);
                Ok(())
            });
            pushed.map_err(|reason| rdb::at(offset, reason))?;
        }
        opcode::LIST_QUICKLIST => {
            for _ in 0..reader.length()? {
                list.push_node(from_ziplist(reader)?);
            }
        }
        _ => {
            for _ in 0..reader.length()? {
                let node = read_node(reader)?;
                list.push_node(node);
            }
        }
    }
    Ok(built(list, fill))
}

/// A list in the form that suits it; none without elements.
fn built(list: List, fill: Fill) -> Option<Built> {
    if list.len() == 0 {
        return None;
    }
    match list.single_node() {
        Some(packed) if !fill.is_exceeded(Packed::new(packed).listpack_bytes(), list.len()) => {
            Some(Built::Packed(Kind::ListPacked, packed.to_vec()))
        }
        _ => Some(Built::object(Object::List(list))),
    }
}

fn read_node(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    match reader.length()? {
        opcode::container::PACKED => rdb::read_listpack(reader),
        opcode::container::PLAIN => {
            let (mut element, mut elements) = (Vec::new(), Vec::new());
            reader.string_into(&mut element)?;
            // Only an element that is large stands alone.
            if element.is_empty() {
                return Err(reader.corrupt("a list's node without a byte"));
            }
            packed::append(&mut elements, Item::of(&element));
            Ok(packed::from_elements(1, &elements))
        }
        _ => Err(reader.corrupt("a list's node in an unknown container")),
    }
}

fn from_ziplist(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let offset = reader.offset();
    let (bytes, mut elements) = (reader.string()?, Vec::new());
    let count = ziplist::each(&bytes, |element| {
        packed::append(&mut elements, item_of(element));
        Ok(())
    });
    let count = count.map_err(|reason| rdb::at(offset, reason))?;
    Ok(packed::from_elements(count, &elements))
}

/// A ziplist's element as one of a packed sequence.
pub(in crate::types) fn item_of(element: ziplist::Element<'_>) -> Item<'_> {
    match element {
        ziplist::Element::Int(number) => Item::Int(number),
        ziplist::Element::Bytes(bytes) => Item::of(bytes),
    }
}
