//! Bits of strings: what Redis answers is compared elsewhere; here is what goes over slices, and an odd field.

use super::check;

#[test]
fn fields_at_any_bit_keep_what_is_around_them() {
    check(
        "SET k \"\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\" ; BITFIELD k SET i64 3 0 GET u3 0 GET u5 67 GET i64 3 ; BITCOUNT k",
        "OK ; [-1, 7, 31, 0] ; 8",
    );
}

#[test]
fn a_field_that_does_not_fit_wraps_stays_at_the_end_or_fails() {
    check(
        "BITFIELD k INCRBY u2 0 5 OVERFLOW SAT INCRBY u2 2 5 OVERFLOW FAIL INCRBY u2 4 5 SET i8 8 -128",
        "[1, 3, nil, 0]",
    );
}

#[test]
fn the_destination_may_be_a_source() {
    check(
        "SET a abc ; SET b xy ; BITOP XOR a a b a ; GET a",
        "OK ; OK ; 3 ; \"xy\\x00\"",
    );
}
