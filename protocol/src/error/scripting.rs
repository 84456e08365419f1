//! What scripts are told when they call what they may not.

use super::CommandError;

error_table! {
    /// A script names no command that there is.
    SCRIPT_UNKNOWN_COMMAND = "ERR Unknown Redis command called from script";
    /// A script calls a command with a number of arguments it does not take.
    SCRIPT_ARITY = "ERR Wrong number of args calling Redis command from script";
    /// A script calls a command that is not for scripts.
    SCRIPT_NOT_ALLOWED = "ERR This Redis command is not allowed from script";
    /// A script calls a command that is not for replicas that lost their primary.
    SCRIPT_ON_STALE = "ERR Can not execute the command on a stale replica";
    /// A script that only reads calls a command that writes.
    SCRIPT_READ_ONLY = "ERR Write commands are not allowed from read-only scripts.";
    /// A script that may write was called by a command for those that only read.
    SCRIPT_WRITES_IN_RO = "ERR Can not execute a script with write flag using *_ro command.";
    /// A script that has written uses keys that it was not given, while another one waits for such.
    SCRIPT_KEYS_BUSY = "ERR a key that the script was not given is in use by another script";
}
