//! Kubernetes quantities: `1Gi`, `1.5G`, `500M`, `1e9`, `1024`.

use std::cmp::Ordering;

/// How a quantity compares to zero; none if the text is not a quantity.
///
/// The grammar is the API server's: the documented one with `n` and `u` besides, and whole numbers
/// only behind `e`. Fractions of a byte are quantities too; the API server rounds them up.
pub(crate) fn sign(text: &str) -> Option<Ordering> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    if !is_number(number) || !is_suffix(suffix) {
        return None;
    }
    Some(if number.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        Ordering::Equal
    } else if text.starts_with('-') {
        Ordering::Less
    } else {
        Ordering::Greater
    })
}

/// Digits with at most one point among, before or behind them.
fn is_number(text: &str) -> bool {
    text.matches('.').count() <= 1 && text.contains(|c: char| c.is_ascii_digit())
}

/// No quantity is documented to go above 2^63 - 1, so a longer exponent is a mistake at best, and an
/// API server that was sent `1e2147483647` had not answered after 20 s.
fn is_suffix(text: &str) -> bool {
    match text {
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" => true,
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => true,
        exponent => exponent
            .strip_prefix(['e', 'E'])
            .is_some_and(|digits| digits.parse::<i8>().is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    fn every_form_of_a_quantity_is_accepted(
        #[values(
            "1",
            "1G",
            "1Gi",
            "007",
            "1.5Gi",
            ".5Gi",
            "5.",
            "5.Gi",
            "+1G",
            "100n",
            "100u",
            "100m",
            "1k",
            "1M",
            "1T",
            "1P",
            "1E",
            "1Ki",
            "1Mi",
            "1Ti",
            "1Pi",
            "1Ei",
            "1e9",
            "1E9",
            "1.5e3",
            "1e+9",
            "1e-3",
            "0.5",
            "1000000000.0",
            "12345678901234567890123"
        )]
        text: &str,
    ) {
        assert_eq!(sign(text), Some(Ordering::Greater));
        if !text.starts_with('+') {
            assert_eq!(sign(&format!("-{text}")), Some(Ordering::Less));
        }
    }

    #[rstest]
    fn zero_is_zero_in_every_form(
        #[values(
            "0", "00", "0.0", ".0", "0.", "0Gi", "0e9", "0E0", "-0", "+0", "-0.0Mi", "0n"
        )]
        text: &str,
    ) {
        assert_eq!(sign(text), Some(Ordering::Equal));
    }

    #[rstest]
    fn anything_else_is_not_a_quantity(
        #[values(
            "",
            " ",
            "lots",
            "1 Gi",
            " 1Gi",
            "1Gi ",
            "1GB",
            "1gi",
            "1g",
            "1K",
            "1ki",
            "1kB",
            "Gi",
            ".",
            "+",
            "-",
            "--1",
            "+-1",
            "1.2.3",
            "1..2",
            "1e",
            "1e1.5",
            "1e9Gi",
            "1Gi5",
            "1e9G",
            "0x10",
            "1_000",
            "1,5Gi",
            "\u{661}",
            "1e128",
            "1e-129",
            "1e2147483647",
            "1e99999999999",
            "e9",
            "Infinity",
            "NaN"
        )]
        text: &str,
    ) {
        assert_eq!(sign(text), None);
    }
}
