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
