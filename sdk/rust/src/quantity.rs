//! Kubernetes quantities: `1Gi`, `1.5G`, `500M`, `1e9`, `1024`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A text that the API server accepts as a quantity, such as `1Gi`, `500m` or `1e9`.
///
/// The text stays as it was given, so a child may carry it as it is. The grammar is the API server's: the
/// documented one, the suffixes `n` and `u`, and only whole numbers behind `e`. Fractions of a byte are quantities
/// too; the API server rounds them up. An exponent must fit into eight bits: no documented quantity needs more,
/// and an API server may take very long to read one.
///
/// ```
/// use std::cmp::Ordering;
/// use handler_sdk::Quantity;
///
/// let size: Quantity = "1.5Gi".parse().unwrap();
/// assert_eq!(size.sign(), Ordering::Greater);
/// assert_eq!(size.as_str(), "1.5Gi");
/// assert!("lots".parse::<Quantity>().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Quantity {
    text: String,
    sign: Ordering,
}

/// A text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQuantity;

impl Quantity {
    /// The text, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the quantity compares to zero.
    #[must_use]
    pub fn sign(&self) -> Ordering {
        self.sign
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        if !is_number(number) || !is_suffix(suffix) {
            return Err(NotAQuantity);
        }
        let sign = if number.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            Ordering::Equal
        } else if text.starts_with('-') {
            Ordering::Less
        } else {
            Ordering::Greater
        };
        Ok(Self {
            text: text.to_owned(),
            sign,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for NotAQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a quantity such as 1Gi")
    }
}

impl std::error::Error for NotAQuantity {}

/// Digits with at most one point, which may stand before, between or behind them.
fn is_number(text: &str) -> bool {
    text.matches('.').count() <= 1 && text.contains(|c: char| c.is_ascii_digit())
}

/// No quantity is documented to exceed 2^63 - 1, so a longer exponent is most likely a mistake. An API server
/// that was sent `1e2147483647` had not answered after 20 s.
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

    fn sign(text: &str) -> Result<Ordering, NotAQuantity> {
        text.parse().map(|quantity: Quantity| quantity.sign())
    }

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
        assert_eq!(sign(text), Ok(Ordering::Greater));
        if !text.starts_with('+') {
            assert_eq!(sign(&format!("-{text}")), Ok(Ordering::Less));
        }
    }

    #[rstest]
    fn zero_is_zero_in_every_form(
        #[values(
            "0", "00", "0.0", ".0", "0.", "0Gi", "0e9", "0E0", "-0", "+0", "-0.0Mi", "0n"
        )]
        text: &str,
    ) {
        assert_eq!(sign(text), Ok(Ordering::Equal));
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
        assert_eq!(sign(text), Err(NotAQuantity));
    }
}
