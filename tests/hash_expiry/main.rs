//! Deadlines of fields. The installed Redis may be older than they are, so the replies are stated as
//! Redis 8.2 gives them; where `LARDER_TEST_REDIS82` names one, they are compared with its as well.

mod exact;

use larder_tests::{Redis, Server, compare_on, compare_with};

/// Compares with what is stated and, where there is one, with a Redis that knows these commands.
#[track_caller]
fn check(args: &[&str], script: &str) {
    compare_with(args, script);
    let unstated: Vec<&str> =
        script.lines().map(str::trim).filter(|line| !line.starts_with('=')).collect();
    for protocol in [2, 3] {
        if let Some(redis) = Redis::newer(args) {
            compare_on(&Server::with(args), &redis, protocol, &unstated.join("\n"));
        }
    }
}

#[test]
fn deadlines_are_set_and_told() {
    check(
        &[],
        r#"
        SET s 1
        = +OK
        HSET h a 1 b 2 c 3
        = :3
        HEXPIRE h
        = -ERR wrong number of arguments for 'hexpire' command
        HEXPIRE h 10 FIELDS 1
        = -ERR wrong number of arguments for 'hexpire' command
        HEXPIRE h 10 FIELDS 1 a
        = [:1]
        HEXPIRE h 10 foo 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HEXPIRE h 10 nx FIELDS 1
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 nx FIELDS 1 a
        = [:0]
        HEXPIRE h 10 nx xx FIELDS 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HEXPIRE h 10 FIELDS 1 a b
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 2 a
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 0 a
        = -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 10 FIELDS -1 a
        = -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 10 FIELDS x a
        = -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h x FIELDS 1 a
        = -ERR value is not an integer or out of range
        HEXPIRE h -1 FIELDS 1 a
        = -ERR invalid expire time, must be >= 0
        HEXPIRE h 9223372036854775807 FIELDS 1 a
        = -ERR invalid expire time in 'hexpire' command
        HEXPIRE h 281474976710656 FIELDS 1 a
        = -ERR invalid expire time in 'hexpire' command
        HPEXPIRE h 281474976710656 FIELDS 1 a
        = -ERR invalid expire time in 'hpexpire' command
        HPEXPIREAT h 70368744177663 FIELDS 1 a
        = [:1]
        HPEXPIREAT h 70368744177664 FIELDS 1 a
        = -ERR invalid expire time in 'hpexpireat' command
        HEXPIREAT h 70368744177 FIELDS 1 a
        = [:1]
        HEXPIREAT h 70368744178 FIELDS 1 a
        = -ERR invalid expire time in 'hexpireat' command
        HEXPIRETIME h FIELDS 2 a b
        = [:70368744177, :-1]
        HPEXPIRETIME h FIELDS 3 a b zz
        = [:70368744177000, :-1, :-2]
        HPEXPIRETIME h FIELDS 3 a b
        = -ERR The `numfields` parameter must match the number of arguments
        HPEXPIRETIME h FIELDS 0 a b
        = -ERR Number of fields must be a positive integer
        HPEXPIRETIME h FIELDS x a b
        = -ERR Number of fields must be a positive integer
        HPEXPIRETIME h foo 2 a b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HPEXPIRETIME h FIELDS 2
        = -ERR wrong number of arguments for 'hpexpiretime' command
        HPEXPIRETIME h FIELDS
        = -ERR wrong number of arguments for 'hpexpiretime' command
        HPEXPIRETIME s FIELDS 1 a
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HPEXPIRETIME s foo 1 a
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HPEXPIRETIME nokey FIELDS 2 a b
        = [:-2, :-2]
        HPEXPIRETIME nokey FIELDS 3 a b
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE s 10 FIELDS 1 a
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HEXPIRE s x FIELDS 1 a
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HEXPIRE nokey 10 FIELDS 2 a b
        = [:-2, :-2]
        HEXPIRE nokey 0 FIELDS 2 a b
        = [:-2, :-2]
        HEXPIRE nokey 10 FIELDS 3 a b
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 xx FIELDS 2 a b
        = [:1, :0]
        HEXPIRE h 20 gt FIELDS 2 a b
        = [:1, :0]
        HEXPIRE h 15 lt FIELDS 2 a b
        = [:1, :1]
        HEXPIRE h 16 lt FIELDS 2 a b
        = [:0, :0]
        HEXPIRE h 30 gt FIELDS 3 a b c
        = [:1, :1, :0]
        HEXPIRE h 40 nx FIELDS 3 a b c
        = [:0, :0, :1]
        HEXPIRE h 40 nx FIELDS 3 c c d
        = [:0, :0, :-2]
        HGETALL h
        =2 ["b", "2", "a", "1", "c", "3"]
        =3 {"b": "2", "a": "1", "c": "3"}
        OBJECT ENCODING h
        = "listpackex"
        HEXPIRE h 0 FIELDS 4 a a zz b
        = [:2, :-2, :-2, :2]
        HGETALL h
        =2 ["c", "3"]
        =3 {"c": "3"}
        HEXPIREAT h 1 gt FIELDS 1 c
        = [:0]
        HEXPIREAT h 1 lt FIELDS 1 c
        = [:2]
        EXISTS h
        = :0
        HSET h a 1 b 2
        = :2
        HPERSIST h FIELDS 2 a x
        = [:-1, :-2]
        HPERSIST h FIELDS 1 a x
        = -ERR The `numfields` parameter must match the number of arguments
        HPERSIST h FIELDS 0 a x
        = -ERR Number of fields must be a positive integer
        HPERSIST h FIELDS x a
        = -ERR Number of fields must be a positive integer
        HPERSIST h foo 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HPERSIST nokey FIELDS 2 a a
        = [:-2, :-2]
        HPERSIST s FIELDS 1 a
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HPERSIST h FIELDS 1
        = -ERR wrong number of arguments for 'hpersist' command
        HEXPIRE h 10 FIELDS 1 a
        = [:1]
        HPERSIST h FIELDS 3 a a b
        = [:1, :-1, :-1]
        OBJECT ENCODING h
        = "listpackex"
        HEXPIRE h 10 FIELDS 9223372036854775807 a
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 9223372036854775808 a
        = -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 10 FIELDS 1
        = -ERR wrong number of arguments for 'hexpire' command
        HTTL h FIELDS 9223372036854775807 a
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 1 fields
        = [:-2]
        HEXPIRE h 10 FIELDS 1 a nx
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 a FIELDS 1
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HEXPIRE h 10 FIELDS 1 b xx
        = -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 1 b xx fields
        = -ERR The `numfields` parameter must match the number of arguments
        HTTL h FIELDS 2 a b
        = [:-1, :-1]
        "#,
    );
}

#[test]
fn fields_are_read_and_expire() {
    check(
        &[],
        r#"
        HSET h a 1 b 2 c 3
        = :3
        SET s 1
        = +OK
        HGETEX h
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h a
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h FIELDS
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h FIELDS 1 a
        = ["1"]
        HGETEX h FIELDS 0 a
        = -ERR Number of fields must be a positive integer
        HGETEX h FIELDS -1 a
        = -ERR Number of fields must be a positive integer
        HGETEX h FIELDS x a
        = -ERR Number of fields must be a positive integer
        HGETEX h FIELDS 2 a
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h FIELDS 1 a b
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h foo 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h ex 10 FIELDS 1 a
        = ["1"]
        HGETEX h ex 10 px 10 FIELDS 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h ex FIELDS 1 a
        = -ERR value is not an integer or out of range
        HGETEX h ex x FIELDS 1 a
        = -ERR value is not an integer or out of range
        HGETEX h ex 0 FIELDS 1 a
        = ["1"]
        HGETEX h ex -1 FIELDS 1 a
        = -ERR invalid expire time, must be >= 0
        HGETEX h ex 9223372036854775807 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h ex 9223372036854775 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h px 9223372036854775807 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h exat 0 FIELDS 1 a
        = [nil]
        HGETEX h exat 70368744177664 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h pxat 70368744177664 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h pxat 70368744177663 FIELDS 1 a
        = [nil]
        HGETEX h pxat 70368744177660 FIELDS 1 a
        = [nil]
        HGETEX h pxat 281474976710655 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h pxat 281474976710656 FIELDS 1 a
        = -ERR invalid expire time in 'hgetex' command
        HGETEX h pxat 1 FIELDS 1 a
        = [nil]
        HGETALL h
        =2 ["b", "2", "c", "3"]
        =3 {"b": "2", "c": "3"}
        HGETEX h FIELDS 1 b ex 10
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h FIELDS 1 b persist
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h persist FIELDS 1 b
        = ["2"]
        HGETEX h persist ex 10 FIELDS 1 b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h persist persist FIELDS 1 b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h ex 10 persist FIELDS 1 b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h FIELDS 1 b fields 1 b
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h keepttl FIELDS 1 b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX s FIELDS 1 b
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HGETEX s FIELDS 0 b
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HGETEX nokey FIELDS 2 b c
        = [nil, nil]
        HGETEX h FIELDS 9223372036854775808 b
        = -ERR Number of fields must be a positive integer
        HGETEX h FIELDS 2147483648 b
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h ex
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h ex 10 a b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h ex 10
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h ex 10 FIELDS 1
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h ex 10 FIELDS
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h ex 1.5 FIELDS 1 a
        = -ERR value is not an integer or out of range
        HGETDEL
        = -ERR wrong number of arguments for 'hgetdel' command
        HGETDEL h
        = -ERR wrong number of arguments for 'hgetdel' command
        HGETDEL h FIELDS 1
        = -ERR wrong number of arguments for 'hgetdel' command
        HGETDEL h FIELDS 1 b
        = ["2"]
        HGETDEL h FIELDS 2 b
        = -ERR The `numfields` parameter must match the number of arguments
        HGETDEL h FIELDS 1 b c
        = -ERR The `numfields` parameter must match the number of arguments
        HGETDEL h foo 1 b
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETDEL h FIELDS 0 b
        = -ERR Number of fields must be a positive integer
        HGETDEL h FIELDS x b
        = -ERR Number of fields must be a positive integer
        HGETDEL h FIELDS -3 b
        = -ERR Number of fields must be a positive integer
        HGETDEL s FIELDS 1 b
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HGETDEL s foo 1 b
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HGETDEL s FIELDS 0 b
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HGETDEL nokey FIELDS 2 b c
        = [nil, nil]
        HGETDEL nokey FIELDS 3 b c
        = -ERR The `numfields` parameter must match the number of arguments
        HGETDEL h FIELDS 1 c
        = ["3"]
        EXISTS h
        = :0
        HGETEX h ex x FIELDS
        = -ERR value is not an integer or out of range
        HGETEX h persist FIELDS 1
        = -ERR The `numfields` parameter must match the number of arguments
        HGETEX h ex 10 a
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h px 10 FIELDS
        = -ERR wrong number of arguments for 'hgetex' command
        HGETEX h px 10 FIELDS x
        = -ERR Number of fields must be a positive integer
        HSETEX s foo 1 a 1
        = -ERR unknown argument: foo
        HSETEX s FIELDS 0 a 1
        = -ERR invalid number of fields
        HSETEX s ex x FIELDS 1 a 1
        = -ERR value is not an integer or out of range
        HGETDEL h FIELDS 1 fields
        = [nil]
        HGETEX h FIELDS a fields 1 a
        = -ERR Number of fields must be a positive integer
        HGETEX h persist 10 FIELDS 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h foo FIELDS 1 a
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h a b c d e
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX nokey a b c d e
        = -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX nokey ex x FIELDS 1 a
        = -ERR value is not an integer or out of range
        HGETEX nokey ex 10 FIELDS 2 a b
        = [nil, nil]
        HEXPIRE nokey -1 FIELDS 1 a
        = -ERR invalid expire time, must be >= 0
        HEXPIRE nokey x FIELDS 1 a
        = -ERR value is not an integer or out of range
        HSETEX h ex 10 foo 1 a 1
        = -ERR unknown argument: foo
        HSETEX h FIELDS 1 a 1 b
        = -ERR wrong number of arguments for 'hsetex' command
        "#,
    );
}

#[test]
fn fields_are_set_and_expire() {
    check(
        &[],
        r#"
        SET s 1
        = +OK
        HSETEX h FIELDS 1 a 1
        = :1
        HSETEX h
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 1
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 1 a
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h ex 10 FIELDS 1 a
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 1 a 1 b 2
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 2 a 1
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 2 a 1 b
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 0 a 1
        = -ERR invalid number of fields
        HSETEX h FIELDS x a 1
        = -ERR invalid number of fields
        HSETEX h FIELDS -1 a 1
        = -ERR invalid number of fields
        HSETEX h foo 1 a 1
        = -ERR unknown argument: foo
        HSETEX h fnx FIELDS 1 a 2
        = :0
        HSETEX h fxx FIELDS 1 a 2
        = :1
        HSETEX h fnx FIELDS 2 a 2 b 3
        = :0
        HSETEX h fnx FIELDS 2 b 2 c 3
        = :1
        HSETEX h fxx FIELDS 2 b 2 d 3
        = :0
        HSETEX h fnx fxx FIELDS 2 b 2 d 3
        = -ERR Only one of FXX or FNX arguments can be specified
        HSETEX h fnx fnx FIELDS 2 x 2 d 3
        = -ERR Only one of FXX or FNX arguments can be specified
        HSETEX h ex 10 px 10 FIELDS 1 a 1
        = -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h ex 10 keepttl FIELDS 1 a 1
        = -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h keepttl keepttl FIELDS 1 a 1
        = -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h keepttl ex 10 FIELDS 1 a 1
        = -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h ex 10 ex 20 FIELDS 1 a 1
        = -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h ex 10 fnx FIELDS 1 zz 1
        = :1
        HTTL h FIELDS 1 zz
        = [:10]
        HSETEX h ex 0 FIELDS 1 a 1
        = :1
        HSETEX h ex -1 FIELDS 1 a 1
        = -ERR invalid expire time, must be >= 0
        HSETEX h ex x FIELDS 1 a 1
        = -ERR value is not an integer or out of range
        HSETEX h px 281474976710656 FIELDS 1 a 1
        = -ERR invalid expire time in 'hsetex' command
        HSETEX h ex 281474976710656 FIELDS 1 a 1
        = -ERR invalid expire time in 'hsetex' command
        HSETEX h ex 9223372036854775807 FIELDS 1 a 1
        = -ERR invalid expire time in 'hsetex' command
        HSETEX h pxat 281474976710655 FIELDS 1 a 1
        = -ERR invalid expire time in 'hsetex' command
        HPEXPIRETIME h FIELDS 1 a
        = [:-2]
        HSETEX h pxat 281474976710656 FIELDS 1 a 1
        = -ERR invalid expire time in 'hsetex' command
        HSETEX h pxat 70368744177663 FIELDS 1 a 1
        = :1
        HSETEX h pxat 70368744177664 FIELDS 1 a 1
        = -ERR invalid expire time in 'hsetex' command
        HSETEX h exat 1 FIELDS 1 a 1
        = :1
        HGETALL h
        =2 ["zz", "1", "b", "2", "c", "3"]
        =3 {"zz": "1", "b": "2", "c": "3"}
        HSETEX new exat 1 FIELDS 1 a 1
        = :1
        EXISTS new
        = :0
        HSETEX new fxx FIELDS 1 a 1
        = :0
        EXISTS new
        = :0
        HSETEX s FIELDS 1 a 1
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HSETEX s fnx FIELDS 1 a 1
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        HSETEX h FIELDS 1 a 1 ex 10
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 1 a 1 fnx
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 1 b 1 fields 1 b 2
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h ex 10
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h ex 10 FIELDS
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h ex 10 FIELDS 1
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h ex
        = -ERR wrong number of arguments for 'hsetex' command
        HSETEX h a b c d e
        = -ERR unknown argument: a
        HSETEX h fnx a 1 b 2
        = -ERR unknown argument: a
        HSETEX h FIELDS 9223372036854775807 b 1
        = -ERR invalid number of fields
        HSETEX h FIELDS 4611686018427387904 b 1
        = -ERR invalid number of fields
        HSETEX h FIELDS 2147483648 b 1
        = -ERR invalid number of fields
        HSETEX h persist FIELDS 1 b 1
        = -ERR unknown argument: persist
        HSETEX h nx FIELDS 1 b 1
        = -ERR unknown argument: nx
        HSETEX h ex 10 exat 10 FIELDS 1 b 1
        = -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h ex 100 FIELDS 3 a 1 a 2 b 3
        = :1
        HGETALL h
        =2 ["zz", "1", "b", "3", "a", "2", "c", "3"]
        =3 {"zz": "1", "b": "3", "a": "2", "c": "3"}
        HTTL h FIELDS 2 a b
        = [:100, :100]
        HSETEX h keepttl FIELDS 1 a 5
        = :1
        HTTL h FIELDS 2 a b
        = [:100, :100]
        HSETEX h FIELDS 1 a 5
        = :1
        HTTL h FIELDS 2 a b
        = [:-1, :100]
        "#,
    );
}

#[test]
fn other_commands_keep_deadlines_or_clear_them() {
    let script = r#"
        HSET h a 1 b 2 c 3 d 4
        = :4
        HEXPIRE h 100 FIELDS 2 a b
        = [:1, :1]
        HSET h a 5
        = :0
        HTTL h FIELDS 2 a b
        = [:-1, :100]
        HINCRBY h b 1
        = :3
        HINCRBYFLOAT h b 0.5
        = "3.5"
        HTTL h FIELDS 1 b
        = [:100]
        HSETNX h b 9
        = :0
        HSETNX h e 9
        = :1
        HTTL h FIELDS 2 b e
        = [:100, :-1]
        HMSET h b 7 c 8
        = +OK
        HTTL h FIELDS 2 b c
        = [:-1, :-1]
        HEXPIRE h 100 FIELDS 3 a b c
        = [:1, :1, :1]
        HDEL h a
        = :1
        HSET h a 1
        = :1
        HTTL h FIELDS 3 a b c
        = [:-1, :100, :100]
        COPY h copied
        = :1
        HTTL copied FIELDS 3 a b c
        = [:-1, :100, :100]
        RENAME h renamed
        = +OK
        HTTL renamed FIELDS 3 a b c
        = [:-1, :100, :100]
        HSET other x 1
        = :1
        RENAME other renamed
        = +OK
        HTTL renamed FIELDS 2 b x
        = [:-2, :-1]
        MOVE copied 5
        = :1
        HTTL copied FIELDS 1 b
        = [:-2]
        SELECT 5
        = +OK
        HTTL copied FIELDS 3 a b c
        = [:-1, :100, :100]
        HPERSIST copied FIELDS 2 b c
        = [:1, :1]
        HTTL copied FIELDS 2 b c
        = [:-1, :-1]
        COPY copied plain
        = :1
        SET copied string
        = +OK
        HTTL copied FIELDS 1 b
        = -WRONGTYPE Operation against a key holding the wrong kind of value
        DEL copied
        = :1
        HSET copied b 1
        = :1
        HTTL copied FIELDS 1 b
        = [:-1]
        EXPIRE copied 100
        = :1
        HEXPIRE copied 50 FIELDS 1 b
        = [:1]
        TTL copied
        = :100
        PERSIST copied
        = :1
        HTTL copied FIELDS 1 b
        = [:50]
        HSET mix f 1 g 2 h 3
        = :3
        HEXPIRE mix 200 FIELDS 1 f
        = [:1]
        HEXPIRE mix 100 FIELDS 1 h
        = [:1]
        HGET mix f
        = "1"
        HMGET mix f g h i
        = ["1", "2", "3", nil]
        HEXISTS mix h
        = :1
        HSTRLEN mix f
        = :1
        HLEN mix
        = :3
    "#;
    check(&[], script);
    check(&["--hash-max-listpack-entries", "0"], script);
}

#[test]
fn small_hashes_lie_in_the_order_of_their_deadlines() {
    check(
        &[],
        r#"
        HSET h a 1 b 2 c 3 d 4
        = :4
        HGETALL h
        =2 ["a", "1", "b", "2", "c", "3", "d", "4"]
        =3 {"a": "1", "b": "2", "c": "3", "d": "4"}
        HEXPIREAT h 7000000300 FIELDS 1 d
        = [:1]
        HGETALL h
        =2 ["d", "4", "a", "1", "b", "2", "c", "3"]
        =3 {"d": "4", "a": "1", "b": "2", "c": "3"}
        HEXPIREAT h 7000000200 FIELDS 2 b c
        = [:1, :1]
        HKEYS h
        = ["c", "b", "d", "a"]
        HEXPIREAT h 7000000400 FIELDS 1 c
        = [:1]
        HVALS h
        = ["2", "4", "3", "1"]
        HPERSIST h FIELDS 1 b
        = [:1]
        HGETALL h
        =2 ["d", "4", "c", "3", "a", "1", "b", "2"]
        =3 {"d": "4", "c": "3", "a": "1", "b": "2"}
        HSET h d 9
        = :0
        HKEYS h
        = ["c", "a", "b", "d"]
        HSET h e 5
        = :1
        HEXPIREAT h 7000000400 FIELDS 1 e
        = [:1]
        HKEYS h
        = ["e", "c", "a", "b", "d"]
        HSCAN h 0
        = ["0", ["e", "5", "c", "3", "a", "1", "b", "2", "d", "9"]]
        HRANDFIELD h 10
        = ["e", "c", "a", "b", "d"]
        HRANDFIELD h 10 withvalues
        =2 ["e", "5", "c", "3", "a", "1", "b", "2", "d", "9"]
        =3 [["e", "5"], ["c", "3"], ["a", "1"], ["b", "2"], ["d", "9"]]
        OBJECT ENCODING h
        = "listpackex"
        HSET h long 0123456789012345678901234567890123456789012345678901234567890123456789
        = :1
        OBJECT ENCODING h
        = "hashtable"
        HEXPIRETIME h FIELDS 4 a c d e
        = [:-1, :7000000400, :-1, :7000000400]
        HSET g a 1
        = :1
        HEXPIRE g 100 FIELDS 1 a
        = [:1]
        COPY g copied
        = :1
        HPERSIST copied FIELDS 1 a
        = [:1]
        OBJECT ENCODING copied
        = "listpackex"
        "#,
    );
}
