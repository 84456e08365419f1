//! Bytes of a dump file, as hostile as they come: the reader may refuse them, but neither panic nor
//! take memory for what they claim; what it unpacks or checks is sound.

#![no_main]

use larder_protocol::rdb::{Reader, Text, listpack, lzf, ziplist};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    match choice % 5 {
        0 => read(&mut Reader::of_bytes(rest), rest.len()),
        1 => read(&mut Reader::of_source(&mut &*rest), rest.len()),
        2 => {
            if let Ok(checked) = listpack::check(rest) {
                assert!(checked.elements.len() <= rest.len() && checked.count <= rest.len());
            }
        }
        3 => {
            let _ = ziplist::each(rest, |_| Ok(()));
            let _ = ziplist::each_of_zipmap(rest, |_, _| Ok(()));
        }
        _ => {
            let (mut packed, mut out) = (Vec::new(), Vec::new());
            assert!(lzf::Compressor::default().compress(rest, usize::MAX, &mut packed));
            assert!(lzf::decompress(&packed, rest.len(), &mut out).is_ok());
            assert_eq!(out, rest);
            let _ = lzf::decompress(rest, usize::from(choice) * 7, &mut out);
        }
    }
});

/// Reads whatever the bytes themselves ask for, until that goes wrong.
fn read(reader: &mut Reader<'_>, len: usize) {
    while let Ok(choice) = reader.opcode() {
        let is_read = match choice % 6 {
            0 => reader.length().is_ok(),
            1 => reader.double().is_ok(),
            2 => reader.text_double().is_ok(),
            3 => reader.take(usize::from(choice)).is_ok(),
            4 => reader.string_into(&mut Vec::new()).is_ok(),
            _ => match reader.text() {
                // No three bytes unpack to more than 264.
                Ok(Text::Bytes(bytes)) => bytes.len() <= 264 * len,
                Ok(Text::Long(bytes)) => bytes.capacity() <= 264 * len + (1 << 20),
                Ok(Text::Int(_)) => true,
                Err(_) => false,
            },
        };
        assert!(reader.offset() <= len as u64);
        if !is_read {
            return;
        }
    }
}
