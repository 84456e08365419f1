//! What this server has not, clusters and modules, is answered as by a Redis that has none.

use larder_tests::{Redis, Server, compare};

/// CLUSTER's subcommands with as many arguments as each takes.
const CLUSTER: &str = "
    CLUSTER ADDSLOTS 1
    CLUSTER ADDSLOTSRANGE 1 2
    CLUSTER BUMPEPOCH
    CLUSTER COUNT-FAILURE-REPORTS node
    CLUSTER COUNTKEYSINSLOT 1
    CLUSTER DELSLOTS 1
    CLUSTER DELSLOTSRANGE 1 2
    CLUSTER FAILOVER
    CLUSTER FLUSHSLOTS
    CLUSTER FORGET node
    CLUSTER GETKEYSINSLOT 1 1
    CLUSTER HELP
    CLUSTER INFO
    CLUSTER KEYSLOT key
    CLUSTER LINKS
    CLUSTER MEET 127.0.0.1 1
    CLUSTER MYID
    CLUSTER NODES
    CLUSTER REPLICAS node
    CLUSTER REPLICATE node
    CLUSTER RESET
    CLUSTER SAVECONFIG
    CLUSTER SET-CONFIG-EPOCH 1
    CLUSTER SETSLOT 1 STABLE
    CLUSTER SHARDS
    CLUSTER SLAVES node
    CLUSTER SLOTS
";

#[test]
fn nobody_is_in_a_cluster() {
    compare(CLUSTER);
    let server = Server::start();
    let mut conn = server.connect();
    let lines = CLUSTER.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines.chain(["CLUSTER MYSHARDID"]) {
        conn.expect(line, "-ERR This instance has cluster support disabled");
    }
    compare(
        "
        CLUSTER
        CLUSTER BOGUS
        CLUSTER KEYSLOT
        CLUSTER INFO x
        MULTI
        CLUSTER INFO
        CLUSTER KEYSLOT
        EXEC
        EVAL \"return redis.pcall('CLUSTER', 'INFO')\" 0
        COMMAND GETKEYS CLUSTER KEYSLOT a
        ",
    );
}

#[test]
fn there_are_no_modules() {
    let words = "
        MODULE
        MODULE BOGUS
        MODULE LIST
        MODULE LIST x
        MODULE LOAD
        MODULE LOAD /nowhere/module.so
        MODULE LOAD /nowhere/module.so a b
        MODULE LOADEX
        MODULE LOADEX /nowhere/module.so CONFIG a b ARGS c
        MODULE UNLOAD
        MODULE UNLOAD module
        MODULE HELP x
        @kind MODULE HELP
        ";
    compare(words);
    let args = ["--enable-module-command", "yes"];
    let (larder, redis) = (Server::with(&args), Redis::with(&args));
    let (mut ours, mut theirs) = (larder.connect(), redis.connect());
    let lines = words.lines().map(str::trim).filter(|line| line.starts_with("MODULE"));
    for line in lines {
        assert_eq!(ours.run(line).to_string(), theirs.run(line).to_string(), "{line}");
    }
    ours.expect(
        "MODULE LOAD a.so",
        "-ERR Error loading the extension. Please check the server logs.",
    );
    assert!(larder.log().contains("modules are not supported"));
}
