/// Decimal suffixes of Kubernetes quantities and their power of ten.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// Binary suffixes and their power of 1024.
const BINARY: [(&str, u32); 6] = [
    ("Ki", 1),
    ("Mi", 2),
    ("Gi", 3),
    ("Ti", 4),
    ("Pi", 5),
    ("Ei", 6),
];
/// Values are counted in units of 10⁻⁹, the finest that the API server keeps.
const NANO: i128 = 1_000_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Notation {
    Decimal,
    Binary,
    Exponent,
}

/// The form in which the API server writes a quantity back: no fraction, the largest suffix that loses
/// nothing. `1024Mi` is `1Gi`, `1.5Gi` is `1536Mi`, `0.1` is `100m`, `1e3` stays `1e3`.
///
/// The rule is that of <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
/// None for a text that is no quantity, and for values that do not fit into an `int64` of nano units or bytes: those
/// have to be compared as texts.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let (nanos, format) = parse(text)?;
    if nanos == 0 {
        return Some("0".to_owned());
    }
    // Binary suffixes are for multiples of 1024. For others the API server uses decimal ones.
    if format == Notation::Binary && nanos % (1024 * NANO) == 0 {
        return Some(binary_form(nanos / NANO));
    }
    let (mantissa, exponent) = decimal_form(nanos);
    match format {
        Notation::Exponent if exponent == 0 => Some(mantissa.to_string()),
        Notation::Exponent => Some(format!("{mantissa}e{exponent}")),
        Notation::Decimal | Notation::Binary => {
            let (suffix, _) = DECIMAL.iter().find(|(_, power)| *power == exponent)?;
            Some(format!("{mantissa}{suffix}"))
        }
    }
}

/// The whole number that a quantity means, such as 67108864 for `64Mi`. None for a text that is no quantity, and for a
/// negative number or a fraction.
#[must_use]
pub fn whole(text: &str) -> Option<u64> {
    let (nanos, _) = parse(text)?;
    (nanos % NANO == 0)
        .then(|| u64::try_from(nanos / NANO).ok())
        .flatten()
}

fn parse(text: &str) -> Option<(i128, Notation)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits_end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (nanos, format) = scale(digits, places, suffix)?;
    // The API server caps values that do not fit into an int64.
    if nanos > i128::from(i64::MAX) * NANO {
        return None;
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    Some((sign * nanos, format))
}

/// `digits`, of which `places` are behind the point, times the factor of the suffix, in nano units, rounded up.
fn scale(digits: i128, places: i32, suffix: &str) -> Option<(i128, Notation)> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        let factor = 1024_i128.checked_pow(*power)?;
        let scaled = digits.checked_mul(factor)?;
        return Some((times_ten_to(scaled, 9 - places)?, Notation::Binary));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((times_ten_to(digits, power + 9 - places)?, Notation::Decimal));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = exponent.checked_add(9)?.checked_sub(places)?;
    Some((times_ten_to(digits, power)?, Notation::Exponent))
}

fn times_ten_to(digits: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        digits.checked_mul(factor)
    } else {
        Some(digits / factor + i128::from(digits % factor != 0))
    }
}

fn binary_form(mut value: i128) -> String {
    let mut suffix = "";
    for (name, _) in BINARY {
        if value % 1024 != 0 {
            break;
        }
        value /= 1024;
        suffix = name;
    }
    format!("{value}{suffix}")
}

/// The mantissa without trailing thousands, and its power of ten.
fn decimal_form(nanos: i128) -> (i128, i32) {
    let (mut mantissa, mut exponent) = (nanos, -9);
    while mantissa % 1000 == 0 && exponent < 18 {
        mantissa /= 1000;
        exponent += 3;
    }
    (mantissa, exponent)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The right column is what kube-apiserver 1.36 answered for a PersistentVolumeClaim; a suite asks it again.
    #[rstest]
    #[case("1G", "1G")]
    #[case("1Gi", "1Gi")]
    #[case("1024Mi", "1Gi")]
    #[case("1.5Gi", "1536Mi")]
    #[case(".5Gi", "512Mi")]
    #[case("5.", "5")]
    #[case("+1G", "1G")]
    #[case("1000M", "1G")]
    #[case("1500M", "1500M")]
    #[case("1e9", "1e9")]
    #[case("1E9", "1e9")]
    #[case("1000e6", "1e9")]
    #[case("100e2", "10e3")]
    #[case("1e2", "100")]
    #[case("1073741824", "1073741824")]
    #[case("1000", "1k")]
    #[case("0.1", "100m")]
    #[case("1000m", "1")]
    #[case("512Ki", "512Ki")]
    #[case("0.5Ki", "512")]
    #[case("1.0", "1")]
    #[case("0Gi", "0")]
    #[case("-1024Ki", "-1Mi")]
    #[case("77187.5Ki", "79040k")]
    #[case("1000.5Ki", "1024512")]
    fn a_quantity_has_the_servers_canonical_form(#[case] written: &str, #[case] form: &str) {
        assert_eq!(canonical(written).as_deref(), Some(form));
    }

    #[rstest]
    #[case("")]
    #[case(".")]
    #[case("lots")]
    #[case("1GB")]
    #[case("1 Gi")]
    #[case("1.2.3")]
    #[case("--1")]
    #[case("1e")]
    #[case("1gi")]
    #[case("99999999999999999999Ei")]
    #[case("1e99999999999")]
    fn what_is_no_quantity_has_no_form(#[case] written: &str) {
        assert_eq!(canonical(written), None);
    }

    #[rstest]
    #[case("64Mi", Some(64 << 20))]
    #[case("1k", Some(1000))]
    #[case("0.5Ki", Some(512))]
    #[case("1500m", None)]
    #[case("-1", None)]
    #[case("lots", None)]
    fn a_quantity_is_a_whole_number_or_none(#[case] written: &str, #[case] number: Option<u64>) {
        assert_eq!(whole(written), number);
    }
}
