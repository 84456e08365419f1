//! Every error text a peer can see, in one table.
//!
//! Errors come in classes that differ in what happens next: a [`ProtocolError`] is reported and
//! closes the connection, because the position in the byte stream is lost; a [`CommandError`] is an
//! ordinary reply. Clients match on these texts, so they are Redis's to the letter.
//!
//! A [`CommandError`] never holds a byte that could end its line early: constants are checked by a
//! test, and every text that is built at run time passes [`CommandError::custom`].

pub use request::ProtocolError;
use std::borrow::Cow;
use std::fmt;

/// An error reply: the text on the wire without the leading `-` and the line end, such as
/// `ERR syntax error`. It may repeat bytes of a client, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

impl std::error::Error for CommandError {}

/// For people: what is not UTF-8 is shown as U+FFFD.
impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandError({:?})", String::from_utf8_lossy(&self.0))
    }
}

/// Declares the constants and, for the tests, the list of all of them; for the parts below as well.
macro_rules! error_table {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl CommandError {
            $($(#[$doc])* pub const $name: CommandError = CommandError::from_static($text);)*
        }

        #[cfg(test)]
        pub(super) const TABLE: &[(&str, &str)] = &[$((stringify!($name), $text),)*];
    };
}

error_table! {
    // Arguments, any command.

    /// Options that do not belong together, are unknown, or are incomplete.
    SYNTAX = "ERR syntax error";
    /// Not a canonical decimal integer that fits 64 bits.
    NOT_INTEGER = "ERR value is not an integer or out of range";
    /// Not a number as `strtod` reads it, or NaN.
    NOT_FLOAT = "ERR value is not a valid float";
    /// An integer outside the range the argument allows.
    VALUE_OUT_OF_RANGE = "ERR value is out of range";
    /// A count that has to be zero or more.
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    /// A list or array position beyond the end.
    OUT_OF_RANGE = "ERR index out of range";
    /// A byte offset that is negative.
    OFFSET_OUT_OF_RANGE = "ERR offset is out of range";
    /// A cursor of the SCAN family that is no number.
    INVALID_CURSOR = "ERR invalid cursor";
    /// `numkeys` exceeds the arguments that follow.
    TOO_MANY_KEYS = "ERR Number of keys can't be greater than number of args";
    /// `numkeys` is below zero.
    NEGATIVE_KEYS = "ERR Number of keys can't be negative";
    /// `numkeys` is not above zero.
    NUMKEYS_NOT_POSITIVE = "ERR numkeys should be greater than 0";
    /// LIMIT is below zero.
    NEGATIVE_LIMIT = "ERR LIMIT can't be negative";
    /// COUNT is not above zero.
    COUNT_NOT_POSITIVE = "ERR COUNT should be greater than 0";
    /// A blocking command's timeout is below zero.
    NEGATIVE_TIMEOUT = "ERR timeout is negative";
    /// A blocking command's timeout is no number.
    TIMEOUT_NOT_FLOAT = "ERR timeout is not a float or out of range";
    /// A blocking command's timeout is no integer (commands that take milliseconds).
    TIMEOUT_NOT_INTEGER = "ERR timeout is not an integer or out of range";
    /// A blocking command's timeout does not fit.
    TIMEOUT_OUT_OF_RANGE = "ERR timeout is out of range";

    // Keys and values.

    /// The key holds another type than the command works on.
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// The command needs a key that exists.
    NO_SUCH_KEY = "ERR no such key";
    /// Source and destination name the same place.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// RESTORE onto a key that exists, without REPLACE.
    BUSY_KEY = "BUSYKEY Target key name already exists.";
    /// A payload of DUMP or FUNCTION DUMP from a later version, or one that was damaged.
    PAYLOAD = "ERR DUMP payload version or checksum are wrong";
    /// A payload that holds no value.
    BAD_PAYLOAD = "ERR Bad data format";
    /// RESTORE with a time to live below zero.
    NEGATIVE_TTL = "ERR Invalid TTL value, must be >= 0";
    /// RESTORE with an idle time below zero.
    NEGATIVE_IDLE_TIME = "ERR Invalid IDLETIME value, must be >= 0";
    /// RESTORE with a frequency that is no byte.
    FREQUENCY = "ERR Invalid FREQ value, must be >= 0 and <= 255";
    /// A value would exceed `proto-max-bulk-len`.
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// An integer increment would leave 64 bits.
    INCR_OVERFLOW = "ERR increment or decrement would overflow";
    /// A decrement that cannot be negated.
    DECR_OVERFLOW = "ERR decrement would overflow";
    /// A floating point increment would leave the numbers.
    NAN_OR_INF = "ERR increment would produce NaN or Infinity";
    /// A hash increment that itself is no number.
    VALUE_NAN_OR_INF = "ERR value is NaN or Infinity";
    /// HINCRBY on a field that is no integer.
    HASH_NOT_INTEGER = "ERR hash value is not an integer";
    /// HINCRBYFLOAT on a field that is no number.
    HASH_NOT_FLOAT = "ERR hash value is not a float";
    /// Fields of a hash named without FIELDS before them.
    FIELDS_MISSING = "ERR Mandatory argument FIELDS is missing or not at the right position";
    /// HEXPIRE and its kin with a number of fields that is none.
    FIELDS_NOT_POSITIVE = "ERR Parameter `numFields` should be greater than 0";
    /// Other commands on fields with a number of fields that is none.
    FIELD_COUNT_NOT_POSITIVE = "ERR Number of fields must be a positive integer";
    /// HSETEX with a number of fields that is none.
    FIELD_COUNT_INVALID = "ERR invalid number of fields";
    /// A number of fields that is not the number of those that follow.
    FIELD_COUNT_MISMATCH = "ERR The `numfields` parameter must match the number of arguments";
    /// A field that is to expire before the Unix epoch.
    NEGATIVE_EXPIRE = "ERR invalid expire time, must be >= 0";
    /// HSETEX with both of its conditions, or with one twice.
    FIELD_CONDITIONS = "ERR Only one of FXX or FNX arguments can be specified";
    /// HSETEX with two deadlines.
    FIELD_DEADLINES = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
    /// LCS on keys that are no strings.
    LCS_NOT_STRINGS = "ERR The specified keys must contain string values";
    /// LCS with both IDX and LEN.
    LCS_LEN_AND_IDX = "ERR If you want both the length and indexes, please just use IDX.";
    /// LCS on strings beyond 4 GB.
    LCS_STRING_TOO_LONG = "ERR String too long for LCS";
    /// LCS whose table would not fit.
    LCS_MEMORY = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    /// A number that has a place of its own for every value but the lowest.
    NOT_ABOVE_LOWEST = "ERR value is out of range, value must between -9223372036854775807 and \
        9223372036854775807";
    /// LPOS with a COUNT below zero.
    NEGATIVE_COUNT = "ERR COUNT can't be negative";
    /// LPOS with a MAXLEN below zero.
    NEGATIVE_MAXLEN = "ERR MAXLEN can't be negative";
    /// A count of LMPOP or ZMPOP that is not above zero.
    LOWER_COUNT_NOT_POSITIVE = "ERR count should be greater than 0";
    /// LPOS with RANK 0.
    RANK_ZERO = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
        ... or use negative to start from the end of the list";
    /// A score range end that is no number.
    RANGE_NOT_FLOAT = "ERR min or max is not a float";
    /// A lexicographic range end without `[`, `(`, `-` or `+`.
    RANGE_NOT_LEX = "ERR min or max not valid string range item";
    /// ZADD with NX and XX.
    XX_AND_NX = "ERR XX and NX options at the same time are not compatible";
    /// ZADD with more than one of GT, LT, NX.
    GT_LT_NX = "ERR GT, LT, and/or NX options at the same time are not compatible";
    /// ZADD INCR with several pairs.
    INCR_SINGLE_PAIR = "ERR INCR option supports a single increment-element pair";
    /// ZADD or ZINCRBY that would add infinities of both signs.
    SCORE_NAN = "ERR resulting score is not a number (NaN)";
    /// ZRANGE with LIMIT but neither BYSCORE nor BYLEX.
    LIMIT_NEEDS_BY = "ERR syntax error, LIMIT is only supported in combination with either \
        BYSCORE or BYLEX";
    /// ZRANGE with WITHSCORES and BYLEX.
    WITHSCORES_WITH_BYLEX = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    /// A weight of ZUNION and the like that is no number.
    WEIGHT_NOT_FLOAT = "ERR weight value is not a float";
    /// A bit offset beyond 4 Gbit or no number.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// SETBIT with another value than 0 or 1.
    BIT_VALUE = "ERR bit is not an integer or out of range";
    /// BITPOS with another bit than 0 or 1.
    BIT_ARGUMENT = "ERR The bit argument must be 1 or 0.";
    /// BITOP NOT with several sources.
    BITOP_NOT = "ERR BITOP NOT must be called with a single source key.";
    /// BITFIELD with a type it does not know.
    BITFIELD_TYPE = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
        supported but i64 is.";
    /// BITFIELD with an OVERFLOW mode it does not know.
    BITFIELD_OVERFLOW = "ERR Invalid OVERFLOW type specified";
    /// BITFIELD_RO with a write.
    BITFIELD_READ_ONLY = "ERR BITFIELD_RO only supports the GET subcommand";
    /// A string that is no HyperLogLog.
    NOT_HYPERLOGLOG = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    /// A HyperLogLog whose bytes make no sense.
    CORRUPT_HYPERLOGLOG = "INVALIDOBJ Corrupted HLL object detected";
    /// A geographic command with a unit it does not know.
    GEO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI";
    /// A radius that is no number.
    RADIUS_NOT_FLOAT = "ERR need numeric radius";
    /// A radius below zero.
    NEGATIVE_RADIUS = "ERR radius cannot be negative";
    /// A width that is no number.
    WIDTH_NOT_FLOAT = "ERR need numeric width";
    /// A height that is no number.
    HEIGHT_NOT_FLOAT = "ERR need numeric height";
    /// A width or height below zero.
    NEGATIVE_BOX = "ERR height or width cannot be negative";
    /// A search around a member that is not there.
    NO_SUCH_CENTER = "ERR could not decode requested zset member";
    /// COUNT of a geographic search that is not above zero.
    GEO_COUNT_NOT_POSITIVE = "ERR COUNT must be > 0";
    /// ANY without COUNT.
    ANY_NEEDS_COUNT = "ERR the ANY argument requires COUNT argument";
    /// PFDEBUG of a key that is not there.
    PFDEBUG_NO_KEY = "ERR The specified key does not exist";
    /// PFDEBUG DECODE of a dense HyperLogLog.
    PFDEBUG_NOT_SPARSE = "ERR HLL encoding is not sparse";
    /// SORT of something that is no number, without ALPHA.
    SORT_NOT_FLOAT = "ERR One or more scores can't be converted into double";
    /// RESTORE of bytes whose version or checksum is wrong.
    BAD_DUMP = "ERR DUMP payload version or checksum are wrong";
    /// RESTORE of bytes that do not describe a value.
    BAD_FORMAT = "ERR Bad data format";
    /// RESTORE with a negative lifetime.
    INVALID_TTL = "ERR Invalid TTL value, must be >= 0";
    /// RESTORE with a negative IDLETIME.
    INVALID_IDLETIME = "ERR Invalid IDLETIME value, must be >= 0";
    /// RESTORE with FREQ outside a byte.
    INVALID_FREQ = "ERR Invalid FREQ value, must be >= 0 and <= 255";

    // Expiry.

    /// EXPIRE with NX next to XX, GT or LT.
    EXPIRE_NX_CONFLICT = "ERR NX and XX, GT or LT options at the same time are not compatible";
    /// EXPIRE with GT and LT.
    EXPIRE_GT_LT_CONFLICT = "ERR GT and LT options at the same time are not compatible";
    /// OBJECT IDLETIME under an LFU policy.
    IDLETIME_UNDER_LFU = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please \
        note that when switching between policies at runtime LRU and LFU data will take some time \
        to adjust.";
    /// OBJECT FREQ under a policy that is not LFU.
    FREQ_WITHOUT_LFU = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
        Please note that when switching between policies at runtime LRU and LFU data will take \
        some time to adjust.";

    // Databases.

    /// SELECT, MOVE, COPY of a database number the server does not have.
    DB_INDEX = "ERR DB index is out of range";
    /// A database argument that is no number.
    INVALID_DB_INDEX = "ERR invalid DB index";
    /// SWAPDB's first argument is no number.
    INVALID_FIRST_DB_INDEX = "ERR invalid first DB index";
    /// SWAPDB's second argument is no number.
    INVALID_SECOND_DB_INDEX = "ERR invalid second DB index";

    // Gates: may this command run now, from this client?

    /// The client has to authenticate first.
    NO_AUTH = "NOAUTH Authentication required.";
    /// HELLO before AUTH.
    HELLO_NO_AUTH = "NOAUTH HELLO must be called with the client already authenticated, otherwise \
        the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
        select the RESP protocol version at the same time";
    /// Wrong user, wrong password, or a disabled user.
    WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
    /// AUTH with a password although none is set.
    NO_PASSWORD_SET = "ERR AUTH <password> called without any password configured for the default \
        user. Are you sure your configuration is correct?";
    /// HELLO with another version than 2 or 3.
    NO_PROTO = "NOPROTO unsupported protocol version";
    /// HELLO whose version is no number.
    PROTO_NOT_INTEGER = "ERR Protocol version is not an integer or out of range";
    /// MONITOR where each command needs a reply.
    MONITOR_DENIED = "ERR MONITOR isn't allowed for DENY BLOCKING client";
    /// A client that looks on asks for what is in the data set.
    REPLICA_AT_KEYSPACE = "ERR Replica can't interact with the keyspace";
    /// The data set is still being loaded.
    LOADING = "LOADING Redis is loading the dataset in memory";
    /// A script runs for too long.
    BUSY_SCRIPT = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN \
        NOSAVE.";
    /// A function runs for too long.
    BUSY_FUNCTION = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or \
        SHUTDOWN NOSAVE.";
    /// EVALSHA of a digest that is not in the cache.
    NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL.";
    /// SCRIPT KILL while nothing runs.
    NOT_BUSY = "NOTBUSY No scripts in execution right now.";
    /// SCRIPT KILL of a script that has written.
    UNKILLABLE = "UNKILLABLE Sorry the script already executed write commands against the dataset. \
        You can either wait the script termination or kill the server in a hard way using the \
        SHUTDOWN NOSAVE command.";
    /// A replica that lost its primary and may not serve stale data.
    MASTER_DOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \
        'no'.";
    /// Writes are refused because the last snapshot failed.
    MISCONF_SNAPSHOT = "MISCONF Redis is configured to save RDB snapshots, but it's currently \
        unable to persist to disk. Commands that may modify the data set are disabled, because \
        this instance is configured to report errors during writes if RDB snapshotting fails \
        (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the \
        RDB error.";
    /// A script that may write, while the dump file cannot be written.
    SCRIPT_MISCONF_SNAPSHOT = "MISCONF Redis is configured to save RDB snapshots, but it's currently \
        unable to persist to disk. Writable scripts are blocked. Use 'no-writes' flag for read only \
        scripts.";
    /// A script that may write, on a replica.
    SCRIPT_ON_REPLICA = "READONLY Can not run script with write flag on readonly replica";
    /// A script that does not say that it may run above the limit.
    SCRIPT_OOM = "OOM allow-oom flag is not set on the script, can not run it when used memory > \
        'maxmemory'";
    /// A script that does not say that stale data are good enough for it.
    SCRIPT_MASTER_DOWN = "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' \
        and 'allow-stale' flag is not set on the script.";
    /// A write to a replica.
    READ_ONLY = "READONLY You can't write against a read only replica.";
    /// Memory is full and nothing can be evicted.
    OOM = "OOM command not allowed when used memory > 'maxmemory'.";
    /// Fewer in-sync replicas than `min-replicas-to-write`.
    NO_REPLICAS = "NOREPLICAS Not enough good replicas to write.";
    /// A replica's own client sent a command on the keyspace.
    REPLICA_KEYSPACE = "ERR Replica can't interact with the keyspace";
    /// No more connections.
    MAX_CLIENTS = "ERR max number of clients reached";
    /// A connection from outside while nothing protects the server.
    DENIED = "DENIED Redis is running in protected mode because protected mode is enabled and no \
        password is set for the default user. In this mode connections are only accepted from the \
        loopback interface. If you want to connect from external computers to Redis you may adopt \
        one of the following solutions: 1) Just disable protected mode sending the command \
        'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from \
        the same host the server is running, however MAKE SURE Redis is not publicly accessible \
        from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) \
        Alternatively you can just disable the protected mode by editing the Redis configuration \
        file, and setting the protected mode option to 'no', and then restarting the server. 3) \
        If you started the server manually just for testing, restart it with the \
        '--protected-mode no' option. 4) Set up an authentication password for the default user. \
        NOTE: You only need to do one of the above things in order for the server to start \
        accepting connections from the outside.";

    // Transactions.

    /// EXEC of a transaction in which a command was refused.
    EXEC_ABORT = "EXECABORT Transaction discarded because of previous errors.";
    /// MULTI inside MULTI.
    NESTED_MULTI = "ERR MULTI calls can not be nested";
    /// EXEC outside a transaction.
    EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI";
    /// DISCARD outside a transaction.
    DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI";
    /// WATCH inside a transaction.
    WATCH_INSIDE_MULTI = "ERR WATCH inside MULTI is not allowed";
    /// A command that may not be queued.
    NOT_IN_TRANSACTION = "ERR Command not allowed inside a transaction";

    // Connections.

    /// CLIENT KILL of an address nobody has.
    NO_SUCH_CLIENT = "ERR No such client";
    /// RESET from a replica or a monitor.
    RESET_NOT_NORMAL = "ERR can only reset normal client connections";
    /// CLIENT ID arguments below 1.
    INVALID_CLIENT_ID = "ERR Invalid client ID";
    /// CLIENT KILL ID with something that is no id.
    CLIENT_ID_NOT_POSITIVE = "ERR client-id should be greater than 0";
    /// CLIENT UNBLOCK with an unknown reason.
    UNBLOCK_REASON = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
    /// What a client gets that CLIENT UNBLOCK ... ERROR woke.
    UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    /// What a blocked client gets when the node becomes a replica.
    UNBLOCKED_BY_ROLE = "UNBLOCKED force unblock from blocking operation, instance state changed \
        (master -> replica?)";
    /// CLIENT PAUSE with an unknown mode.
    PAUSE_MODE = "ERR CLIENT PAUSE mode must be WRITE or ALL";
    /// CLIENT TRACKING with several REDIRECT.
    TRACKING_SINGLE_REDIRECT = "ERR A client can only redirect to a single other client";
    /// CLIENT TRACKING REDIRECT to nobody.
    TRACKING_NO_REDIRECT = "ERR The client ID you want redirect to does not exist";
    /// CLIENT TRACKING PREFIX without BCAST.
    TRACKING_PREFIX_NEEDS_BCAST = "ERR PREFIX option requires BCAST mode to be enabled";
    /// CLIENT TRACKING that would change the mode.
    TRACKING_SWITCH_BCAST = "ERR You can't switch BCAST mode on/off before disabling tracking for \
        this client, and then re-enabling it with a different mode.";
    /// CLIENT TRACKING with OPTIN or OPTOUT and BCAST.
    TRACKING_OPT_WITH_BCAST = "ERR OPTIN and OPTOUT are not compatible with BCAST";
    /// CLIENT TRACKING with OPTIN and OPTOUT.
    TRACKING_OPTIN_AND_OPTOUT = "ERR You can't specify both OPTIN mode and OPTOUT mode";
    /// CLIENT TRACKING that would change the opt mode.
    TRACKING_SWITCH_OPT = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for \
        this client, and then re-enabling it with a different mode.";
    /// CLIENT CACHING outside OPTIN and OPTOUT.
    CACHING_MODE = "ERR CLIENT CACHING can be called only when the client is in tracking mode with \
        OPTIN or OPTOUT mode enabled";
    /// CLIENT CACHING YES outside OPTIN.
    CACHING_YES = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
    /// CLIENT CACHING NO outside OPTOUT.
    CACHING_NO = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";

    // Users.

    /// ACL SETUSER of a name that a file could not hold.
    ACL_USER_NAME = "ERR Usernames can't contain spaces or null characters";
    /// ACL DELUSER of the default user.
    ACL_DEFAULT_USER = "ERR The 'default' user cannot be removed";
    /// ACL LOAD or ACL SAVE without a file.
    NO_ACL_FILE = "ERR This Redis instance is not configured to use an ACL file. You may want to \
        specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you \
        have a Redis configuration file set) in order to store users in the Redis configuration.";
    /// ACL SAVE that failed.
    ACL_SAVE = "ERR There was an error trying to save the ACLs. Please check the server logs for \
        more information";
    /// ACL GENPASS with a number of bits that no password has.
    ACL_PASSWORD_BITS = "ERR ACL GENPASS argument must be the number of bits for the output \
        password, a positive number up to 4096";
    /// SORT with a BY pattern by a user who may not read all keys.
    SORT_BY_DENIED = "ERR BY option of SORT denied due to insufficient ACL permissions.";
    /// SORT with a GET pattern by a user who may not read all keys.
    SORT_GET_DENIED = "ERR GET option of SORT denied due to insufficient ACL permissions.";

    // Server.

    /// DEBUG where `enable-debug-command` does not allow it.
    DEBUG_NOT_ALLOWED = "ERR DEBUG command not allowed. If the enable-debug-command option is set \
        to \"local\", you can run it from a local connection, otherwise you need to set this option \
        in the configuration file, and then restart the server.";
    /// MODULE LOAD and kin where `enable-module-command` does not allow them.
    MODULE_NOT_ALLOWED = "ERR MODULE command not allowed. If the enable-module-command option is set \
        to \"local\", you can run it from a local connection, otherwise you need to set this option \
        in the configuration file, and then restart the server.";
    /// MODULE LOAD: it could not be.
    MODULE_NOT_LOADED = "ERR Error loading the extension. Please check the server logs.";
    /// MODULE UNLOAD of one that is not loaded.
    NO_SUCH_MODULE = "ERR Error unloading module: no such module with that name";
    /// CONFIG REWRITE without a file.
    NO_CONFIG_FILE = "ERR The server is running without a config file";
    /// SAVE or BGSAVE while one runs.
    SAVE_IN_PROGRESS = "ERR Background save already in progress";
    /// BGREWRITEAOF while one runs.
    REWRITE_IN_PROGRESS = "ERR Background append only file rewriting already in progress";
    /// BGREWRITEAOF that could not begin.
    REWRITE_FAILED = "ERR Can't execute an AOF background rewriting. Please check the server logs for \
        more information.";
    /// SHUTDOWN ABORT while none is under way.
    NO_SHUTDOWN = "ERR No shutdown in progress.";
    /// BGSAVE while the append-only file is rewritten.
    CANNOT_BGSAVE = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE \
        SCHEDULE in order to schedule a BGSAVE whenever possible.";
    /// SAVE that failed; the log knows why.
    SAVE_FAILED = "ERR";
    /// SHUTDOWN without NOW by one that may not wait.
    SHUTDOWN_MAY_BLOCK = "ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client";
    /// SHUTDOWN that could not save.
    SHUTDOWN_FAILED = "ERR Errors trying to SHUTDOWN. Check logs.";
    /// COMMAND GETKEYS of a command that does not exist.
    GETKEYS_UNKNOWN = "ERR Invalid command specified";
    /// COMMAND GETKEYS of a command without keys.
    GETKEYS_NO_KEYS = "ERR The command has no key arguments";
    /// COMMAND GETKEYS with the wrong number of arguments.
    GETKEYS_ARITY = "ERR Invalid number of arguments specified for command";
    /// COMMAND GETKEYS whose arguments do not add up.
    GETKEYS_ARGUMENTS = "ERR Invalid arguments specified for command";
    /// A CLUSTER subcommand on a node that is no cluster member.
    CLUSTER_DISABLED = "ERR This instance has cluster support disabled";
}

/// Longest piece of a peer's own text that an error repeats.
const ECHO_BYTES: usize = 128;

impl CommandError {
    /// Any text, its code included (`ERR no such thing`). Bytes that could end the line become
    /// spaces, so a peer's own bytes may be part of it.
    pub fn custom(text: impl Into<Vec<u8>>) -> Self {
        let mut text = text.into();
        text.iter_mut().filter(|byte| breaks_line(**byte)).for_each(|byte| *byte = b' ');
        CommandError(Cow::Owned(text))
    }

    /// As [`CommandError::custom`], with bytes of a peer between two pieces of text. Like Redis, which
    /// prints C strings, it repeats them up to a NUL.
    #[must_use]
    pub fn quoting(before: &str, bytes: &[u8], after: &str) -> Self {
        let bytes = c_string(bytes, bytes.len());
        Self::custom([before.as_bytes(), bytes, after.as_bytes()].concat())
    }

    /// The append-only file cannot be written, for this reason.
    pub fn misconf_aof(reason: &str) -> Self {
        Self::custom(format!("MISCONF Errors writing to the AOF file: {reason}"))
    }

    /// A script that may write, while the append-only file cannot be written.
    #[must_use]
    pub fn script_misconf_aof(reason: &str) -> Self {
        Self::custom(format!(
            "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist \
             to disk. Writable scripts are blocked. Use 'no-writes' flag for read only scripts. AOF \
             error: {reason}"
        ))
    }

    /// As [`CommandError::custom`], for a text that is known when the program is compiled. The
    /// caller answers for its being one line.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        CommandError(Cow::Borrowed(text.as_bytes()))
    }

    /// The command was called with a number of arguments it does not take. `full_name` is the
    /// lower-case name, a subcommand as `config|get`.
    #[must_use]
    pub fn wrong_arity(full_name: &str) -> Self {
        Self::custom(format!("ERR wrong number of arguments for '{full_name}' command"))
    }

    /// No such command. `args` are those that follow the name; as many are repeated as fit 128
    /// bytes.
    pub fn unknown_command<'x>(name: &[u8], args: impl IntoIterator<Item = &'x [u8]>) -> Self {
        let mut echo = Vec::new();
        for arg in args {
            if echo.len() >= ECHO_BYTES {
                break;
            }
            let room = ECHO_BYTES - echo.len();
            echo.push(b'\'');
            echo.extend_from_slice(c_string(arg, room));
            echo.extend_from_slice(b"' ");
        }
        let between = b"', with args beginning with: ";
        let name = c_string(name, ECHO_BYTES);
        Self::custom([b"ERR unknown command '", name, between, &echo].concat())
    }

    /// A queued command that its user may not call any more at EXEC.
    #[must_use]
    pub fn queued_command_denied(reason: &str) -> Self {
        Self::custom(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the \
             EXEC call. This command is no longer allowed for the following reason: {reason}"
        ))
    }

    /// The command `container` (as the peer spelled it) has no such subcommand.
    #[must_use]
    pub fn unknown_subcommand(sub: &[u8], container: &str) -> Self {
        let after = format!("'. Try {} HELP.", container.to_uppercase());
        Self::quoting("ERR unknown subcommand '", c_string(sub, ECHO_BYTES), &after)
    }

    /// A subcommand that exists, in a form that does not.
    #[must_use]
    pub fn subcommand_syntax(sub: &[u8], container: &str) -> Self {
        let before = "ERR unknown subcommand or wrong number of arguments for '";
        let after = format!("'. Try {} HELP.", container.to_uppercase());
        Self::quoting(before, c_string(sub, ECHO_BYTES), &after)
    }

    /// EXPIRE and its kin have no such option.
    #[must_use]
    pub fn unsupported_option(word: &[u8]) -> Self {
        Self::quoting("ERR Unsupported option ", word, "")
    }

    /// A lifetime that is zero, negative, or too large to be a point in time.
    #[must_use]
    pub fn invalid_expire(full_name: &str) -> Self {
        Self::custom(format!("ERR invalid expire time in '{full_name}' command"))
    }

    /// ZUNION and its kin with a count of keys below 1.
    #[must_use]
    pub fn no_input_key(full_name: &str) -> Self {
        Self::custom(format!("ERR at least 1 input key is needed for '{full_name}' command"))
    }

    /// An integer outside `min..=max`.
    #[must_use]
    pub fn out_of_bounds(min: i64, max: i64) -> Self {
        Self::custom(format!("ERR value is out of range, value must between {min} and {max}"))
    }

    /// A command whose answers could not reach a caller that waits for one reply.
    #[must_use]
    pub fn deny_blocking(name: &str) -> Self {
        let name = name.to_uppercase();
        Self::custom(format!("ERR {name} isn't allowed for a DENY BLOCKING client"))
    }

    /// A command that a RESP2 connection in subscriber mode may not send.
    #[must_use]
    pub fn subscriber_mode(full_name: &str) -> Self {
        Self::custom(format!(
            "ERR Can't execute '{full_name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / \
             QUIT / RESET are allowed in this context"
        ))
    }

    /// The user may not run the command; `reason` says why.
    #[must_use]
    pub fn no_permission(reason: &[u8]) -> Self {
        Self::custom([b"NOPERM ", reason].concat())
    }

    /// EXEC refused before it began, because of `reason`: another error, with its code.
    #[must_use]
    pub fn exec_abort_because(reason: &CommandError) -> Self {
        let text = reason.as_bytes();
        let text = text.strip_prefix(b"ERR ").unwrap_or(text);
        Self::custom([b"EXECABORT Transaction discarded because of: ", text].concat())
    }

    /// The whole text, code included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first word, which names the kind of error (`ERR`, `WRONGTYPE`); what error statistics
    /// count.
    #[must_use]
    pub fn code(&self) -> &str {
        // Redis looks for the code in the first 32 bytes only, so that a text without one does not
        // become a statistic of its own.
        let code = self.0.iter().position(|byte| *byte == b' ').map(|end| &self.0[..end]);
        match code.and_then(|code| std::str::from_utf8(code).ok()) {
            Some(code) if code.len() < 32 && !code.is_empty() => code,
            _ => "ERR",
        }
    }

    /// The text after the code.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        let begin = self.0.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        &self.0[begin..]
    }
}

/// Whether a byte would end an error line early, or cut it short for a client written in C.
pub(crate) fn breaks_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// At most `limit` bytes of a peer's text, up to its first NUL, which is where Redis, printing C
/// strings, stops as well.
fn c_string(bytes: &[u8], limit: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(limit)];
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

mod replication;
mod request;
mod scripting;
mod streams;

#[cfg(test)]
mod tests;
