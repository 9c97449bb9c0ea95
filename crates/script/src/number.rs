//! Numbers as C converts and prints them.

/// A number as an integer, as x86-64 converts it: what does not fit is the smallest one.
pub fn truncated(value: f64) -> i64 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// `%.<digits>g` of C.
pub fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        // What C prints of the one that its arithmetic makes.
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("this form has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a small number");
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_c() {
        for (value, digits, expect) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1e15, 14, "1e+15"),
            (1e15, 17, "1000000000000000"),
            (123_456_789_012_345.0, 14, "1.2345678901234e+14"),
            (0.1, 17, "0.10000000000000001"),
            (0.25, 17, "0.25"),
            (1e-5, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (9_007_199_254_740_992.0, 14, "9.007199254741e+15"),
            (1e300, 14, "1e+300"),
            (-1.5, 14, "-1.5"),
            (f64::INFINITY, 14, "inf"),
        ] {
            assert_eq!(general(value, digits), trimmed(expect), "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_is_the_smallest_integer() {
        for value in [f64::NAN, f64::INFINITY, 1e19, -1e300, 9_223_372_036_854_775_808.0] {
            assert_eq!(truncated(value), i64::MIN);
        }
        assert_eq!((truncated(-3.9), truncated(3.9)), (-3, 3));
    }
}
