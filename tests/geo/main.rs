//! Positions: every command, option and edge against a real server.

use larder_tests::compare;

/// Some cities of Sicily, Redis's own example, and some points around the edges of the map.
const PLACES: &str = r#"
    GEOADD sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
    GEOADD sicily 13.583333 37.316667 Agrigento 14.25 37.0666 Gela 12.758489 38.788135 edge1
    GEOADD world 0 0 zero 180 0 east -180 0 west 179.9 1 date -179.9 -1 line 0 85 north 0 -85 south
    GEOADD world 180 85.05112878 corner -180 -85.05112878 origin 2.35 48.85 Paris -74 40.7 NewYork
"#;

fn compare_with_places(script: &str) {
    for entries in [128, 2] {
        compare(&format!("CONFIG SET zset-max-listpack-entries {entries}\n{PLACES}\n{script}"));
    }
}

#[test]
fn adding_and_reading() {
    compare_with_places(
        r#"
        ZRANGE sicily 0 -1 WITHSCORES
        ZRANGE world 0 -1 WITHSCORES
        GEOADD sicily NX 1 1 Palermo 2 2 new
        GEOADD sicily XX CH 13.36 38.11 Palermo 2 2 newer
        GEOADD sicily CH 2 3 new
        GEOADD sicily XX NX 1 1 a
        GEOADD sicily 1 1
        GEOADD sicily 1 1 a 2
        GEOADD sicily NX CH
        GEOADD sicily 181 0 a
        GEOADD sicily 0 86 a
        GEOADD sicily inf 0 a
        GEOADD sicily 1e300 -1.5 a
        GEOADD sicily x 0 a
        GEOADD sicily 0 nan a
        GEOADD sicily 0 0 a 200 0 b
        ZSCORE sicily a
        GEOPOS sicily Palermo none Catania
        GEOPOS sicily
        GEOPOS world corner origin north south zero east
        GEOPOS missing a b
        GEOHASH sicily Palermo none Catania
        GEOHASH world corner origin zero Paris
        GEOHASH sicily
        GEOHASH missing a
        GEODIST sicily Palermo Catania
        GEODIST sicily Palermo Catania km
        GEODIST sicily Palermo Catania MI
        GEODIST sicily Palermo Catania ft
        GEODIST sicily Palermo Catania yd
        GEODIST sicily Palermo Palermo
        GEODIST world east west
        GEODIST world north south
        GEODIST world Paris NewYork m
        GEODIST sicily Palermo none
        GEODIST missing a b
        GEODIST missing a b yd
        GEODIST sicily a b c d
        SET s 1
        GEOADD s 1 1 a
        GEOPOS s a
        GEOHASH s a
        GEODIST s a b
        GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m
        "#,
    );
}

#[test]
fn searches() {
    compare_with_places(
        r#"
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 200 km ASC
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 200 km DESC
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 400 10 km ASC
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 100 mi ASC WITHDIST
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 0 m
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 1000 km COUNT 2
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 1000 km COUNT 2 DESC
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 1000 km COUNT 2 ANY
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 1000 km COUNT 2 ANY ASC
        GEOSEARCH sicily FROMMEMBER Palermo BYRADIUS 1000 km
        GEOSEARCH world FROMLONLAT 0 0 BYRADIUS 20000 km ASC
        GEOSEARCH world FROMLONLAT 0 0 BYRADIUS 5000 km ASC WITHDIST
        GEOSEARCH world FROMLONLAT 179.95 0 BYRADIUS 500 km ASC
        GEOSEARCH world FROMLONLAT -179.95 0 BYRADIUS 500 km ASC
        GEOSEARCH world FROMLONLAT 0 84 BYRADIUS 500 km ASC WITHDIST
        GEOSEARCH world FROMLONLAT 0 -84 BYBOX 500 500 km ASC
        GEOSEARCH world FROMLONLAT 10 70 BYRADIUS 2500 km ASC
        @unordered GEOSEARCH world FROMLONLAT 0 0 BYRADIUS inf m
        GEOSEARCH missing FROMLONLAT 0 0 BYRADIUS 1 m
        GEOSEARCH missing FROMMEMBER a BYRADIUS 1 m
        GEORADIUS sicily 15 37 200 km ASC WITHDIST
        GEORADIUS sicily 15 37 200 km WITHCOORD COUNT 1
        GEORADIUS sicily 15 37 200 KM WITHHASH DESC
        GEORADIUS_RO sicily 15 37 100 km ASC
        GEORADIUSBYMEMBER sicily Agrigento 100 km ASC
        GEORADIUSBYMEMBER_RO sicily Agrigento 100 km ASC WITHDIST
        GEORADIUS missing 15 37 200 km
        GEORADIUSBYMEMBER missing a 1 km
        GEORADIUSBYMEMBER missing a x yd
        "#,
    );
}

#[test]
fn stores() {
    compare_with_places(
        r#"
        GEOSEARCHSTORE out sicily FROMLONLAT 15 37 BYRADIUS 200 km
        ZRANGE out 0 -1 WITHSCORES
        GEOSEARCHSTORE out sicily FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST COUNT 2
        @near 1 ZCARD out
        GEOSEARCHSTORE out sicily FROMLONLAT 0 0 BYRADIUS 1 m
        EXISTS out
        SET out x
        GEORADIUS sicily 15 37 200 km STORE out
        ZRANGE out 0 -1 WITHSCORES
        GEORADIUS sicily 15 37 200 km STOREDIST out STORE out2
        ZRANGE out2 0 -1 WITHSCORES
        GEORADIUS sicily 15 37 200 km STORE x1 STORE x2
        EXISTS x1 x2
        GEORADIUSBYMEMBER sicily Palermo 200 km STORE out
        ZRANGE out 0 -1 WITHSCORES
        GEORADIUS missing 15 37 200 km STORE out
        EXISTS out
        GEORADIUSBYMEMBER missing a 200 km STORE out2
        EXISTS out2
        GEOSEARCHSTORE out missing FROMMEMBER a BYRADIUS 1 m
        GEORADIUS sicily 15 37 200 km STORE out WITHDIST
        GEOSEARCHSTORE out sicily FROMLONLAT 15 37 BYRADIUS 200 km WITHCOORD
        GEORADIUS_RO sicily 15 37 200 km STORE out
        GEORADIUSBYMEMBER_RO sicily Palermo 200 km STOREDIST out
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 200 km STORE out
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST
        "#,
    );
}

#[test]
fn what_is_refused() {
    compare_with_places(
        r#"
        GEOSEARCH sicily FROMLONLAT 15 37
        GEOSEARCH sicily BYRADIUS 1 m
        GEOSEARCH sicily ASC BYRADIUS 1 m
        geosearch sicily ASC BYRADIUS 1 m DESC ASC
        GEOSEARCH sicily FROMLONLAT 15 37 FROMMEMBER Palermo BYRADIUS 1 m
        GEOSEARCH sicily FROMMEMBER Palermo FROMLONLAT 15 37 BYRADIUS 1 m
        GEOSEARCH sicily FROMMEMBER none BYRADIUS 1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m BYBOX 1 1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 1 1 m BYRADIUS 1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS -1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS x m
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 yd
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX -1 1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 1 -1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX x 1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 1 x m
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 1 1 yd
        GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 1 1
        GEOSEARCH sicily FROMLONLAT 200 37 BYRADIUS 1 m
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m COUNT 0
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m COUNT -1
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m COUNT x
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m COUNT
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m ANY
        GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 1 m NEAR
        GEORADIUS sicily 15 37 x km
        GEORADIUS sicily 15 37 -1 km
        GEORADIUS sicily 15 37 1 yd
        GEORADIUS sicily 15 370 1 km
        GEORADIUS sicily 15 37 1 km BYBOX 1 1 m
        GEORADIUSBYMEMBER sicily none 1 km
        GEORADIUS sicily 15 37 1 km STORE
        "#,
    );
}

#[test]
fn any_score_is_a_position() {
    compare(
        r#"
        ZADD odd 0 a -1 b 1e15 c 4503599627370495 d 0.5 e
        GEOPOS odd a c d e
        GEOHASH odd a c d e
        GEODIST odd a d
        @unordered GEOSEARCH odd FROMLONLAT 0 0 BYRADIUS 30000 km
        ZADD far 4 a inf b 1e308 c -inf d -1e308 e 9223372036854775808 f 18446744073709549568 g 1.9e19 h
        GEOPOS far a b c d e f g h
        GEOHASH far a b c d e f g h
        GEODIST far b f
        GEOSEARCHSTORE out far FROMMEMBER c BYBOX 5000 1000 km
        ZRANGE out 0 -1
        GEOSEARCHSTORE out far FROMMEMBER g BYBOX 5000 1000 km
        ZRANGE out 0 -1
        "#,
    );
}
