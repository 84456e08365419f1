//! What the stream commands refuse.

use super::CommandError;

error_table! {
    /// An argument that is no entry ID.
    INVALID_STREAM_ID = "ERR Invalid stream ID specified as stream command argument";
    /// An interval that excludes the highest ID and all below.
    INVALID_INTERVAL_START = "ERR invalid start ID for the interval";
    /// An interval that excludes the lowest ID and all above.
    INVALID_INTERVAL_END = "ERR invalid end ID for the interval";
    /// XADD of the ID that means none.
    XADD_ID_ZERO = "ERR The ID specified in XADD must be greater than 0-0";
    /// XADD of an ID that is not above the last one.
    XADD_ID_SMALL = "ERR The ID specified in XADD is equal or smaller than the target stream top \
        item";
    /// XADD to a stream whose last ID is the highest.
    XADD_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items";
    /// XADD of more than 1 GB.
    XADD_TOO_LARGE = "ERR Elements are too large to be stored";
    /// A MAXLEN of XADD or XTRIM below zero.
    TRIM_MAXLEN = "ERR The MAXLEN argument must be >= 0.";
    /// A LIMIT of XADD or XTRIM below zero.
    TRIM_LIMIT = "ERR The LIMIT argument must be >= 0.";
    /// XADD or XTRIM with more than one of MAXLEN and MINID.
    TRIM_TWICE = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
    /// LIMIT without MAXLEN or MINID.
    LIMIT_WITHOUT_TRIM = "ERR syntax error, LIMIT cannot be used without specifying a trimming \
        strategy";
    /// LIMIT without `~`.
    LIMIT_EXACT = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    /// XTRIM without MAXLEN or MINID.
    XTRIM_NO_STRATEGY = "ERR syntax error, XTRIM must be called with a trimming strategy";
    /// XREAD with GROUP.
    XREAD_GROUP = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
    /// XREAD with NOACK.
    XREAD_NOACK = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
    /// XREAD of the ID `>`.
    XREAD_NEW = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
        <group> <consumer> option.";
    /// XREADGROUP of the ID `$`.
    XREADGROUP_LAST = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read \
        the history of this consumer by specifying a proper ID, or use the > ID to get new \
        messages. The $ ID would just return an empty result set.";
    /// XREADGROUP without GROUP.
    XREADGROUP_NO_GROUP = "ERR Missing GROUP option for XREADGROUP";
    /// XGROUP of a key that does not exist.
    XGROUP_NO_KEY = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you \
        may want to use the MKSTREAM option to create an empty stream automatically.";
    /// XGROUP CREATE of a group that exists.
    BUSY_GROUP = "BUSYGROUP Consumer Group name already exists";
    /// ENTRIESREAD below -1.
    ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1";
    /// ENTRIESADDED below zero.
    ENTRIES_ADDED = "ERR entries_added must be positive";
    /// XSETID with a MAXDELETEDID above the ID.
    XSETID_BELOW_GIVEN_DELETED = "ERR The ID specified in XSETID is smaller than the provided \
        max_deleted_entry_id";
    /// XSETID below what was deleted.
    XSETID_BELOW_DELETED = "ERR The ID specified in XSETID is smaller than current \
        max_deleted_entry_id";
    /// XSETID below the last entry.
    XSETID_BELOW_TOP = "ERR The ID specified in XSETID is smaller than the target stream top item";
    /// XSETID with fewer entries added than there are.
    XSETID_BELOW_LEN = "ERR The entries_added specified in XSETID is smaller than the target \
        stream length";
    /// XCLAIM with a minimum that is no number.
    XCLAIM_MIN_IDLE = "ERR Invalid min-idle-time argument for XCLAIM";
    /// XCLAIM with an IDLE that is no number.
    XCLAIM_IDLE = "ERR Invalid IDLE option argument for XCLAIM";
    /// XCLAIM with a TIME that is no number.
    XCLAIM_TIME = "ERR Invalid TIME option argument for XCLAIM";
    /// XCLAIM with a RETRYCOUNT that is no number.
    XCLAIM_RETRY_COUNT = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
    /// XAUTOCLAIM with a minimum that is no number.
    XAUTOCLAIM_MIN_IDLE = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
    /// XAUTOCLAIM with a COUNT that is not above zero.
    XAUTOCLAIM_COUNT = "ERR COUNT must be > 0";
}
