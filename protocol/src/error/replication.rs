//! What those are told who ask for replicas, or are some.

use super::CommandError;

error_table! {
    /// WAIT on a replica.
    WAIT_ON_REPLICA = "ERR WAIT cannot be used with replica instances. Please also note that since \
        Redis 4.0 if a replica is configured to be writable (which is not the default) writes to \
        replicas are just local and are not propagated.";
    /// WAITAOF on a replica.
    WAITAOF_ON_REPLICA = "ERR WAITAOF cannot be used with replica instances. Please also note that \
        writes to replicas are just local and are not propagated.";
    /// WAITAOF for this node's file where it keeps none.
    WAITAOF_WITHOUT_FILE = "ERR WAITAOF cannot be used when numlocal is set but appendonly is \
        disabled.";
    /// PSYNC to a node that lost its own primary.
    NO_MASTER_LINK = "NOMASTERLINK Can't SYNC while not connected with my master";
    /// SYNC or PSYNC from a client that still waits for replies.
    SYNC_PENDING_OUTPUT = "ERR SYNC and PSYNC are invalid with pending output";
    /// A command that replicas may not send.
    NOT_FROM_REPLICA = "ERR Command is not valid when client is a replica.";
    /// FAILOVER ABORT while none is under way.
    NO_FAILOVER = "ERR No failover in progress.";
    /// FAILOVER while one is under way.
    FAILOVER_IN_PROGRESS = "ERR FAILOVER already in progress.";
    /// FAILOVER on a replica.
    FAILOVER_ON_REPLICA = "ERR FAILOVER is not valid when server is a replica.";
    /// FAILOVER without replicas.
    FAILOVER_NO_REPLICAS = "ERR FAILOVER requires connected replicas.";
    /// FAILOVER with a timeout of zero or less.
    FAILOVER_TIMEOUT = "ERR FAILOVER timeout must be greater than 0";
    /// FAILOVER FORCE without TIMEOUT or TO.
    FAILOVER_FORCE = "ERR FAILOVER with force option requires both a timeout and target HOST and \
        IP.";
    /// FAILOVER TO an address that is no replica.
    FAILOVER_NOT_A_REPLICA = "ERR FAILOVER target HOST and PORT is not a replica.";
    /// FAILOVER TO a replica that has not caught up yet.
    FAILOVER_NOT_ONLINE = "ERR FAILOVER target replica is not online.";
}
