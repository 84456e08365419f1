//! Keyspace notifications: which events a command raises, compared with Redis.

use larder_tests::compare_with;

#[test]
fn events_come_on_both_channels() {
    compare_with(
        &["--notify-keyspace-events", "KEA"],
        r#"
        @b PSUBSCRIBE __key*
        SET a 1
        @b @read
        @b @read
        SETEX a 100 x
        @b @read
        @b @read
        @b @read
        @b @read
        SELECT 3
        LPUSH l x
        @b @read
        @b @read
        CONFIG SET notify-keyspace-events El
        SET a 1
        LPUSH l y
        @b @read
        CONFIG SET notify-keyspace-events g
        DEL a
        CONFIG SET notify-keyspace-events Kg
        DEL l
        @b @read
        "#,
    );
}

/// Which keys a command looked at before it failed.
#[test]
fn misses_of_commands_that_fail() {
    compare_with(
        &["--notify-keyspace-events", "Em"],
        r#"
        SET str x
        SADD set a
        @b PSUBSCRIBE __key*
        SINTER str m1
        SINTER m2 str m3
        @b @read
        SUNION set str m4
        SDIFF set str m5
        SINTERCARD 2 str m6
        SUNIONSTORE d m7 str m8
        @b @read
        SINTER m9 set m10
        @b @read
        @b @read
        XAUTOCLAIM m11 g c x 0
        @b @read
        XAUTOCLAIM m12 g c 0 0 COUNT 0
        @b @read
        XAUTOCLAIM m13 g c 0 0
        @b @read
        XAUTOCLAIM str g c 0 0 COUNT 0
        XAUTOCLAIM str g c 0 0
        GET end
        @b @read
        "#,
    );
}
