//! Commands on the keys they name: DEL, UNLINK, EXISTS, TYPE, TOUCH.

use super::object::type_name;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::evict::Touch;
use crate::keyspace::notify::Classes;
use larder_protocol::Reply;

/// DEL key [key ...], and UNLINK: what is removed is freed after the locks in either case.
pub fn del<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut removed = 0;
    for key in call.keys() {
        if call.db.remove(key) {
            call.changed(Classes::GENERIC, "del", key);
            removed += 1;
        }
    }
    Ok(Reply::Int(removed))
}

/// EXISTS key [key ...]: a key that is named twice counts twice.
pub fn exists<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let found = call.keys().filter(|key| call.db.find_untouched(*key).is_some()).count();
    Ok(Reply::Int(found as i64))
}

/// TYPE key
pub fn type_of<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let name = call.db.find_untouched(key).map_or("none", type_name);
    Ok(Reply::Simple(name))
}

/// TOUCH key [key ...]
pub fn touch<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.session.no_touch {
        // CLIENT NO-TOUCH hides reads that are not meant as one; this one is.
        let random = call.random() as u32;
        let touch = Touch::new(&call.node.config.load(), call.now_ms(), || random);
        call.db.set_touch(touch);
    }
    let found = call.keys().filter(|key| call.db.find(*key).is_some()).count();
    Ok(Reply::Int(found as i64))
}
