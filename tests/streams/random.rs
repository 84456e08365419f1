//! Random stream commands beside Redis.

use larder_tests::{Table, differential};

/// Which consumers exist is not asked: 7.2 makes one earlier than 7.0.
#[test]
fn random_commands() {
    differential(Table(
        r#"
        XADD s 1-* f {value}
        XADD s 1-* {f|g|f} {int}
        XADD s {2|3|4|5}-* f {int} g {value}
        XADD {s|t} {1|2|5|9}-{1|5|20|100} f {value}
        XADD {s|t} {1|2|5|9}-* f {value}
        XADD t {MAXLEN|MINID|} {=|~|} {small} {LIMIT 0|LIMIT 2|} {1|2}-* f {value}
        XADD t MAXLEN {=|~} {0|5|50|100|150} {9|10|11|12|13}-* f {int}
        XADD t MINID {=|~} {0|5|9|9-50|10-3} {9|10|11|12|13}-* f {int}
        XTRIM {s|t} MAXLEN {=|~} {100|200|5|50} {LIMIT 0|LIMIT 100|}
        XTRIM {s|t} MINID {=|~} {1|2|1-50|2-10} {LIMIT 0|LIMIT 100|}
        XLEN {s|t}
        XRANGE {s|t} {-|1|2|(1-5|5-20} {+|3|4|(9-1|9} {COUNT 3|COUNT 1|}
        XREVRANGE {s|t} {+|3|4|(9-1|9} {-|1|2|(1-5|5-20} {COUNT 3|COUNT 1|}
        XDEL {s|t} {1|2|5|9}-{1|5|20|100} {1|2|3}-{1|2|3|4|5|6}
        XREAD {COUNT 2|COUNT 1} STREAMS s t {0|1-5|3|9} {0|1-5|3|9|$}
        XGROUP CREATE {s|t} {g|h} {0|1-5|3|$} {MKSTREAM|}
        XGROUP CREATE {s|t} {g|h} {0|1-5|3|$}
        XGROUP SETID {s|t} {g|h} {0|1-5|3|$}
        @kind XGROUP CREATECONSUMER {s|t} {g|h} {a|b}
        XGROUP DELCONSUMER {s|t} {g|h} {a|b}
        XREADGROUP GROUP {g|h} {a|b} COUNT {1|2|3} STREAMS {s|t} {>|>|>|0|1-5}
        XREADGROUP GROUP {g|h} {a|b} COUNT {1|2|3} NOACK STREAMS s t > >
        XACK {s|t} {g|h} {1|2|3|9}-{0|1|2|3|4|5|6|20} {1|2|5|9}-{1|5|20|100}
        XCLAIM {s|t} {g|h} {a|b} 0 {1|2|3|9}-{0|1|2|3|4|5|6|20} {FORCE|} {JUSTID|} {RETRYCOUNT 5|}
        XAUTOCLAIM {s|t} {g|h} {a|b} 0 {-|1-5|2} COUNT {1|2|5} {JUSTID|}
        XPENDING {s|t} {g|h}
        XPENDING {s|t} {g|h} {-|1|2} {+|5|9} 0
        @near 60000 XPENDING {s|t} {g|h} - + 3 {a|b|}
        XSETID {s|t} 13-{1|5|300}
        {DEL|DEL|EXISTS|EXISTS|EXISTS|EXISTS} {s|t}
        COPY s t REPLACE
        "#,
    ));
}
