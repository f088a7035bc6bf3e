use std::time::Duration;

/// What stands behind a number, in nanoseconds; the longer first where one begins with another.
const UNITS: [(&str, u128); 4] = [
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];
/// Beyond what any duration here may be, and far from what overflows.
const MOST_DIGITS: usize = 16;

/// Reads `1s`, `500ms`, `1.5h` or `1m30s`; None for what is none of these. Kubernetes' own form, less
/// signs and units below milliseconds.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (mut nanos, mut rest) = part(text)?;
    while !rest.is_empty() {
        let (more, behind) = part(rest)?;
        nanos = nanos.checked_add(more)?;
        rest = behind;
    }
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The first number with its unit in nanoseconds, and what stands behind it.
fn part(text: &str) -> Option<(u128, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, behind) = text.split_at(unit_at);
    let (unit, nanos) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    if whole.is_empty() || number.len() > MOST_DIGITS {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some((digits * nanos / scale, &behind[unit.len()..]))
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
