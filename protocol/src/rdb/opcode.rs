//! The numbers of the format: what stands before each of its parts.

/// A string.
pub const STRING: u8 = 0;
/// A list, element by element.
pub const LIST: u8 = 1;
/// A set, member by member.
pub const SET: u8 = 2;
/// A sorted set with its scores as text.
pub const ZSET: u8 = 3;
/// A hash, field by field.
pub const HASH: u8 = 4;
/// A sorted set with its scores as binary numbers.
pub const ZSET_2: u8 = 5;
/// The value of a module, in a form that never was released.
pub const MODULE_PRE_GA: u8 = 6;
/// The value of a module.
pub const MODULE_2: u8 = 7;
/// A hash as one zipmap.
pub const HASH_ZIPMAP: u8 = 9;
/// A list as one ziplist.
pub const LIST_ZIPLIST: u8 = 10;
/// A set of integers as one sorted array.
pub const SET_INTSET: u8 = 11;
/// A sorted set as one ziplist.
pub const ZSET_ZIPLIST: u8 = 12;
/// A hash as one ziplist.
pub const HASH_ZIPLIST: u8 = 13;
/// A list as several ziplists.
pub const LIST_QUICKLIST: u8 = 14;
/// A stream.
pub const STREAM_LISTPACKS: u8 = 15;
/// A hash as one listpack.
pub const HASH_LISTPACK: u8 = 16;
/// A sorted set as one listpack.
pub const ZSET_LISTPACK: u8 = 17;
/// A list as several listpacks and single elements.
pub const LIST_QUICKLIST_2: u8 = 18;
/// A stream that knows more of its past.
pub const STREAM_LISTPACKS_2: u8 = 19;
/// A set as one listpack.
pub const SET_LISTPACK: u8 = 20;
/// A stream whose consumers know when they were last given an entry.
pub const STREAM_LISTPACKS_3: u8 = 21;
/// In Valkey a hash with deadlines of fields; in Redis the same in a form that never was released.
pub const HASH_2_OR_METADATA_PRE_GA: u8 = 22;
/// A hash with deadlines of fields as one listpack, in a form that never was released.
pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
/// A hash with deadlines of fields.
pub const HASH_METADATA: u8 = 24;
/// A hash with deadlines of fields as one listpack.
pub const HASH_LISTPACK_EX: u8 = 25;

/// Which hash slots are being imported, which concerns a cluster.
pub const SLOT_IMPORT: u8 = 243;
/// How many keys a hash slot has, a hint.
pub const SLOT_INFO: u8 = 244;
/// A library of functions: its text.
pub const FUNCTION2: u8 = 245;
/// A library of functions, in the format before Redis 7.0 was released.
pub const FUNCTION_PRE_GA: u8 = 246;
/// What a module keeps besides its values.
pub const MODULE_AUX: u8 = 247;
/// For how many seconds nobody has accessed the key that follows.
pub const IDLE: u8 = 248;
/// How often the key that follows is accessed, as eviction counts it.
pub const FREQ: u8 = 249;
/// A fact about the file.
pub const AUX: u8 = 250;
/// How many keys a database has, a hint.
pub const RESIZEDB: u8 = 251;
/// When the key that follows expires, in milliseconds.
pub const EXPIRETIME_MS: u8 = 252;
/// When the key that follows expires, in seconds.
pub const EXPIRETIME: u8 = 253;
/// The database of the keys that follow.
pub const SELECTDB: u8 = 254;
/// The end; a checksum follows.
pub const EOF: u8 = 255;

/// What may stand inside the value of a module.
pub mod module {
    /// The value's end.
    pub const EOF: u64 = 0;
    /// A signed integer.
    pub const SINT: u64 = 1;
    /// An unsigned integer.
    pub const UINT: u64 = 2;
    /// A number of 32 bits.
    pub const FLOAT: u64 = 3;
    /// A number of 64 bits.
    pub const DOUBLE: u64 = 4;
    /// A string.
    pub const STRING: u64 = 5;
}

/// The containers of a list's nodes.
pub mod container {
    /// The node is a single element.
    pub const PLAIN: u64 = 1;
    /// The node is a listpack.
    pub const PACKED: u64 = 2;
}
