//! Which encoding a hash has: packed up to a number of fields and a length, then a table for good.

use larder_tests::compare_with;

#[test]
fn the_number_of_fields_decides() {
    compare_with(
        &["--hash-max-listpack-entries", "4"],
        r#"
        HSET h a 1 b 2 c 3 d 4
        OBJECT ENCODING h
        HSET h a 5
        OBJECT ENCODING h
        HSET h e 5
        OBJECT ENCODING h
        HDEL h e d c
        OBJECT ENCODING h
        @unordered HGETALL h
        HSET i a 1 b 2 c 3 d 4 e 5
        OBJECT ENCODING i
        HSET j a 1 a 2 a 3 a 4 a 5
        # 7.2 counts the fields of the call, the same one five times here.
        OBJECT ENCODING j
        = "hashtable"
        HINCRBY k a 1
        HINCRBY k b 1
        HINCRBY k c 1
        HINCRBY k d 1
        OBJECT ENCODING k
        HINCRBY k e 1
        OBJECT ENCODING k
        HSETNX l a 1
        OBJECT ENCODING l
        COPY h copy
        OBJECT ENCODING copy
        CONFIG SET hash-max-listpack-entries 1
        HSET l a 2
        OBJECT ENCODING l
        HSET l b 2
        OBJECT ENCODING l
        "#,
    );
}

#[test]
fn the_length_of_a_field_or_value_decides() {
    compare_with(
        &["--hash-max-listpack-value", "8"],
        r#"
        HSET h 12345678 12345678
        OBJECT ENCODING h
        HSET h a 123456789
        OBJECT ENCODING h
        HSET i 123456789 a
        OBJECT ENCODING i
        HSET j a 1
        HSETNX j b 123456789
        OBJECT ENCODING j
        HSET k n 99999999
        HINCRBY k n 1
        OBJECT ENCODING k
        HSET l n 1
        HINCRBYFLOAT l n 0.123456789
        OBJECT ENCODING l
        "#,
    );
}

#[test]
fn large_hashes_read_the_same() {
    let mut script = String::new();
    for number in 0..600 {
        let value = "v".repeat(number % 7 * number % 90);
        script.push_str(&format!("HSET h field:{number} \"{value}\"\n"));
        if number % 3 == 0 {
            script.push_str(&format!("HDEL h field:{}\n", number / 2));
        }
    }
    script.push_str(
        "HLEN h
        OBJECT ENCODING h
        @unordered HGETALL h
        @unordered HKEYS h
        @unordered HVALS h
        HGET h field:599
        HMGET h field:1 field:2 field:301 field:302
        COPY h copy
        DEL h
        HLEN copy
        @unordered HGETALL copy\n",
    );
    compare_with(&[], &script);
    compare_with(
        &["--hash-max-listpack-entries", "1000", "--hash-max-listpack-value", "1000"],
        &script,
    );
}
