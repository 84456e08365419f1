//! From list to list, and from the first of several lists.

use crate::on_both;

#[test]
fn lmove_from_end_to_end() {
    on_both(
        r#"
        RPUSH a 1 2 3 4 5 6 7 8
        LMOVE a b LEFT RIGHT
        LMOVE a b RIGHT LEFT
        LMOVE a b LEFT LEFT
        LMOVE a b right right
        LRANGE a 0 -1
        LRANGE b 0 -1
        LMOVE missing b LEFT LEFT
        LMOVE a b UP LEFT
        LMOVE a b LEFT UP
        LMOVE missing b LEFT UP
        LMOVE a b LEFT
        LMOVE a b LEFT LEFT LEFT
        SET s v
        LMOVE s a LEFT LEFT
        LMOVE a s LEFT LEFT
        LMOVE missing s LEFT LEFT
        LMOVE s missing LEFT LEFT
        LRANGE a 0 -1
        LMOVE a b LEFT RIGHT
        LMOVE a b LEFT RIGHT
        LMOVE a b LEFT RIGHT
        LMOVE a b LEFT RIGHT
        LMOVE a b LEFT RIGHT
        EXISTS a
        LRANGE b 0 -1
        "#,
    );
}

#[test]
fn a_list_turns_in_itself() {
    on_both(
        r#"
        RPUSH l 1 2 3 4 5
        EXPIRE l 100
        LMOVE l l LEFT RIGHT
        LRANGE l 0 -1
        LMOVE l l RIGHT LEFT
        LRANGE l 0 -1
        LMOVE l l LEFT LEFT
        LRANGE l 0 -1
        LMOVE l l RIGHT RIGHT
        LRANGE l 0 -1
        RPOPLPUSH l l
        LRANGE l 0 -1
        LTRIM l 0 0
        RPOPLPUSH l l
        LMOVE l l LEFT RIGHT
        LRANGE l 0 -1
        @near 1 TTL l
        "#,
    );
}

#[test]
fn rpoplpush_is_an_lmove() {
    on_both(
        r#"
        RPUSH a 1 2 3
        RPOPLPUSH a b
        RPOPLPUSH a b
        RPOPLPUSH a b
        RPOPLPUSH a b
        EXISTS a
        LRANGE b 0 -1
        SET s v
        RPOPLPUSH b s
        RPOPLPUSH s b
        RPOPLPUSH missing s
        RPOPLPUSH b
        LRANGE b 0 -1
        "#,
    );
}

#[test]
fn lmpop_takes_from_the_first_list() {
    on_both(
        r#"
        RPUSH a 1 2 3 4 5
        RPUSH b 6 7 8
        LMPOP 2 a b LEFT
        LMPOP 2 missing b RIGHT
        LMPOP 2 a b right count 2
        LMPOP 2 a b LEFT COUNT 100
        EXISTS a
        LMPOP 1 a LEFT
        LMPOP 2 a b LEFT COUNT 9223372036854775807
        LMPOP 2 a b LEFT
        LMPOP 0 a LEFT
        LMPOP -1 a LEFT
        LMPOP x a LEFT
        LMPOP 9223372036854775807 a LEFT
        LMPOP 3 a b LEFT
        LMPOP 1 a b LEFT
        LMPOP 1 a UP
        LMPOP 1 a
        LMPOP 1
        LMPOP 1 a LEFT COUNT
        LMPOP 1 a LEFT COUNT 0
        LMPOP 1 a LEFT COUNT -1
        LMPOP 1 a LEFT COUNT x
        LMPOP 1 a LEFT COUNT 1 COUNT 2
        LMPOP 1 a LEFT BOGUS 1
        LMPOP 1 a LEFT COUNT 1 more
        SET s v
        LMPOP 1 s LEFT
        LMPOP 2 missing s LEFT
        RPUSH a 1
        LMPOP 2 a s LEFT
        LMPOP 2 s a LEFT
        "#,
    );
}
