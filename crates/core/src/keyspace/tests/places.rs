//! Places: what is found is what a plain look at every member finds, in slices as at once.

use super::Fixture;
use super::slices::{assert_bounded, assert_same_in_slices};

#[test]
fn a_command_on_places_in_slices_does_what_it_does_at_once() {
    for script in [
        "GEOADD p 13.361389 38.115556 a 15.087269 37.502669 b 2 49 c",
        "GEOADD p NX CH 1 1 rome 2 2 new 3 3 newer",
        "GEOADD p XX CH 1 1 rome 2 2 new 3 3 paris",
        "GEOADD p 1 1 rome 200 2 new",
        "GEOADD a 1 1 x",
        "GEOPOS p rome nothing paris",
        "GEOHASH p rome nothing paris",
        "GEOSEARCH p FROMLONLAT 10 45 BYRADIUS 1000 km ASC WITHDIST WITHHASH WITHCOORD",
        "GEOSEARCH p FROMMEMBER rome BYBOX 3000 2000 km DESC COUNT 3",
        "GEOSEARCH p FROMMEMBER rome BYRADIUS 20000 km COUNT 2 ANY",
        "GEOSEARCH p FROMMEMBER nobody BYRADIUS 20000 km",
        "GEOSEARCH nothing FROMMEMBER nobody BYRADIUS 20000 km",
        "GEOSEARCHSTORE new p FROMLONLAT 10 45 BYRADIUS 1000 km STOREDIST",
        "GEOSEARCHSTORE p p FROMLONLAT 10 45 BYRADIUS 700 km COUNT 2",
        "GEOSEARCHSTORE a nothing FROMLONLAT 10 45 BYRADIUS 700 km",
        "GEOSEARCHSTORE new p FROMLONLAT 10 45 BYRADIUS 0 km",
        "GEORADIUS p 10 45 1000 km WITHDIST",
        "GEORADIUS p 10 45 1000 km STORE a",
        "GEORADIUSBYMEMBER p rome 1000 km DESC STOREDIST new",
        "GEORADIUS_RO p 10 45 1000 km",
        "GEORADIUSBYMEMBER_RO p rome 1000 km COUNT 1",
    ] {
        assert_same_in_slices(script);
    }
}

/// A hundred thousand places all over the world.
fn many_places() -> Fixture {
    let mut fixture = Fixture::new();
    for hundred in 0..100_u32 {
        let places: Vec<_> = (0..1000_u32)
            .map(|number| {
                let at = 1000 * hundred + number;
                let part = |factor: u32| f64::from(at.wrapping_mul(factor)) / f64::from(u32::MAX) - 0.5;
                let (longitude, latitude) = (part(2_654_435_761) * 359.0, part(2_246_822_519) * 169.0);
                format!("{longitude:.6} {latitude:.6} m{at}")
            })
            .collect();
        fixture.run(&format!("GEOADD long {}", places.join(" ")));
    }
    fixture
}

#[test]
fn a_search_over_many_places_takes_a_bounded_part_of_them_in_each_slice() {
    let cases = [
        (
            "GEOSEARCH long FROMLONLAT 0 0 BYRADIUS 30000 km",
            "*100000",
            200_000,
        ),
        (
            "GEOSEARCH long FROMLONLAT 0 0 BYRADIUS 30000 km ASC COUNT 5",
            "*5",
            200_000,
        ),
        (
            "GEOSEARCHSTORE copy long FROMLONLAT 0 0 BYRADIUS 30000 km",
            ":100000",
            200_000,
        ),
        ("GEORADIUS long 0 0 30000 km STOREDIST copy", ":100000", 200_000),
    ];
    assert_bounded(many_places(), &cases);
}

#[test]
fn a_small_search_among_many_places_looks_at_few() {
    let mut fixture = many_places();
    fixture.run("GEOADD long 10 50 here");
    fixture.keyspace.take_work_steps();
    assert_eq!(
        fixture.run("GEORADIUS long 10 50 1 km"),
        r#"["here"]"#,
        "a command of writes counts its steps"
    );
    let steps = fixture.keyspace.take_work_steps();
    assert!(steps < 100, "{steps}");
}

#[test]
fn what_is_found_lies_where_it_was_put() {
    let mut fixture = Fixture::new();
    for (script, expect) in [
        (
            "GEOADD p 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
            "2",
        ),
        ("ZSCORE p Palermo", r#""3479099956230698""#),
        ("GEODIST p Palermo Catania", r#""166274.1516""#),
        ("GEODIST p Palermo Catania KM", r#""166.2742""#),
        ("GEODIST p Palermo nobody", "nil"),
        ("GEOHASH p Palermo Catania", r#"["sqc8b49rny0", "sqdtr74hyu0"]"#),
        (
            "GEOPOS p Palermo nobody",
            r#"[["13.36138933897018433", "38.11555639549629859"], nil]"#,
        ),
        ("GEOSEARCH p FROMLONLAT 15 37 BYRADIUS 100 km", r#"["Catania"]"#),
        (
            "GEORADIUS p 15 37 200 km WITHDIST ASC",
            r#"[["Catania", "56.4413"], ["Palermo", "190.4424"]]"#,
        ),
        (
            "GEOADD p 181 0 x",
            "-ERR invalid longitude,latitude pair 181.000000,0.000000",
        ),
        (
            "GEOADD p 0 0",
            "-ERR wrong number of arguments for 'geoadd' command",
        ),
        ("GEOADD p NX XX 0 0 x", "-ERR syntax error"),
    ] {
        assert_eq!(fixture.run(script), expect, "{script}");
    }
}
