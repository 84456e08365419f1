//! Which encoding a list has: thresholds, and the way there and back.

use larder_tests::{Server, compare_with};

#[test]
fn the_threshold_may_be_a_number_of_elements() {
    // 7.0 knows no packed list; these are the replies of 7.2.
    let server = Server::with(&["--list-max-listpack-size", "3"]);
    let mut conn = server.connect();
    conn.prepare("RPUSH l a b c");
    conn.expect("OBJECT ENCODING l", "\"listpack\"");
    conn.prepare("RPUSH l d");
    conn.expect("OBJECT ENCODING l", "\"quicklist\"");
    // Back at half the threshold only, so that a list at its edge does not change with every push.
    conn.prepare("LPOP l");
    conn.expect("OBJECT ENCODING l", "\"quicklist\"");
    conn.prepare("LPOP l");
    conn.expect("OBJECT ENCODING l", "\"quicklist\"");
    conn.prepare("LPOP l");
    conn.expect("OBJECT ENCODING l", "\"listpack\"");
    conn.expect("LRANGE l 0 -1", "[\"d\"]");
}

#[test]
fn the_threshold_may_be_a_size() {
    let server = Server::with(&["--list-max-listpack-size", "-1"]);
    let mut conn = server.connect();
    conn.prepare(&format!("RPUSH l {}", "x".repeat(4000)));
    conn.expect("OBJECT ENCODING l", "\"listpack\"");
    conn.prepare(&format!("LPUSH l {}", "y".repeat(200)));
    conn.expect("OBJECT ENCODING l", "\"quicklist\"");
    conn.prepare(&format!("RPUSH m small\nLSET m 0 {}", "x".repeat(5000)));
    conn.expect("OBJECT ENCODING m", "\"quicklist\"");
    conn.prepare(&format!("RPUSH n small\nLINSERT n AFTER small {}", "x".repeat(5000)));
    conn.expect("OBJECT ENCODING n", "\"quicklist\"");
    conn.expect("LPOS n small", ":0");
    conn.expect("STRLEN missing", ":0");
}

#[test]
fn long_elements_and_long_lists_read_the_same() {
    for size in ["-5", "-2", "1", "7", "128"] {
        let mut script = String::new();
        for number in 0..300 {
            let len = [3, 5, 64, 300, 4200][number % 5];
            let end = ["LPUSH", "RPUSH"][number % 2];
            script.push_str(&format!("{end} l {}\n", format!("{number}-").repeat(len / 3 + 1)));
        }
        script.push_str(
            "LLEN l
            LRANGE l 0 -1
            LRANGE l 100 110
            LINDEX l 150
            LINDEX l -150
            LSET l 150 middle
            LPOS l middle
            LPOS l middle RANK -1
            LINSERT l BEFORE middle before
            LINSERT l AFTER middle after
            LREM l -1 middle
            LRANGE l 145 155
            LTRIM l 20 -20
            LLEN l
            LPOP l 50
            RPOP l 50
            LRANGE l 0 -1
            COPY l copy
            LPOP l 1000
            LRANGE copy 0 -1\n",
        );
        compare_with(&["--list-max-listpack-size", size, "--proto-max-bulk-len", "100mb"], &script);
    }
}
