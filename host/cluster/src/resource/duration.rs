use std::time::Duration;

/// The longest text that the CRD allows. In this length, numbers of at most 15 characters do not overflow.
const LONGEST: usize = 32;
const LONGEST_NUMBER: usize = 15;
const UNITS: [char; 3] = ['h', 'm', 's'];

/// Reads `1s`, `500ms`, `1.5h` or `1m30s`; None for what is none of these.
///
/// It is the form of Kubernetes, without signs, without units below milliseconds, and with a digit on both
/// sides of a point.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let is_amount = |number: &str| {
        let is_whole =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        number.len() <= LONGEST_NUMBER && number.splitn(2, '.').all(is_whole)
    };
    let mut numbers = text.split(UNITS).filter(|number| !number.is_empty());
    if text.len() > LONGEST || !text.ends_with(UNITS) || !numbers.all(is_amount) {
        return None;
    }
    text.parse::<kube::core::Duration>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1s", 1000)]
    #[case("500ms", 500)]
    #[case("1m30s", 90_000)]
    #[case("1.5s", 1500)]
    #[case("0.5h", 1_800_000)]
    #[case("24h", 86_400_000)]
    #[case("1h1m1s1ms", 3_661_001)]
    #[case("0s", 0)]
    #[case("0s1ms", 1)]
    #[case("86400000ms", 86_400_000)]
    fn a_duration_is_numbers_with_units(#[case] text: &str, #[case] millis: u64) {
        assert_eq!(parse(text), Some(Duration::from_millis(millis)));
    }

    #[rstest]
    fn anything_else_is_no_duration(
        #[values(
            "",
            "s",
            "1",
            "0",
            "-1s",
            "+1s",
            "1 s",
            " 1s",
            "1s ",
            "1d",
            "1S",
            "1us",
            "1ns",
            "1.s",
            ".5s",
            "1.2.3s",
            "1s1",
            "\u{661}s",
            "PT1S",
            "1e3s",
            "soon",
            "99999999999999999h",
            "9999999999999999h"
        )]
        text: &str,
    ) {
        assert_eq!(parse(text), None);
    }
}
