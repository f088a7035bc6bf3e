//! What this module is: a name and a mode that stand in 64 bytes of its data, so that a suite makes another
//! module of it by writing other bytes there.

use std::hint::black_box;

/// `HANDLER-HOST-VARIANT:<name>:<mode>;`, filled up with dots.
static VARIANT: [u8; 64] = *b"HANDLER-HOST-VARIANT:base:ok;...................................";

/// How a variant behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As a handler should.
    Ok,
    /// Traps for every parent.
    Trap,
    /// Traps for parents that have no children yet.
    TrapNew,
    /// Traps when it is asked what it is.
    DescribeTrap,
    /// Describes Secrets as children besides.
    DescribeMore,
    /// Is this variant for parents with the label `pick: yes`, and `base` for the others.
    Some,
    /// Fails permanently for every parent.
    Fail,
    /// Traps for parents whose name ends in an odd digit.
    Half,
}

/// The name and the mode of this module.
pub(crate) fn variant() -> (String, Mode) {
    // Without it the compiler would take the text for known, and what is patched would change nothing.
    let text = String::from_utf8_lossy(black_box(&VARIANT));
    match parse(&text) {
        Some((name, mode)) => (name.to_owned(), mode),
        None => panic!("the variant {text:?} is not HANDLER-HOST-VARIANT:<name>:<mode>;"),
    }
}

fn parse(text: &str) -> Option<(&str, Mode)> {
    let (variant, _) = text.split_once(';')?;
    let (name, mode) = variant
        .strip_prefix("HANDLER-HOST-VARIANT:")?
        .split_once(':')?;
    let mode = match mode {
        "ok" => Mode::Ok,
        "trap" => Mode::Trap,
        "trapNew" => Mode::TrapNew,
        "describeTrap" => Mode::DescribeTrap,
        "describeMore" => Mode::DescribeMore,
        "some" => Mode::Some,
        "fail" => Mode::Fail,
        "half" => Mode::Half,
        _ => return None,
    };
    Some((name, mode))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn as_built_it_is_the_base() {
        assert_eq!(variant(), ("base".to_owned(), Mode::Ok));
    }

    #[rstest]
    #[case("HANDLER-HOST-VARIANT:v2:trapNew;....", Some(("v2", Mode::TrapNew)))]
    #[case("HANDLER-HOST-VARIANT:v2:other;....", None)]
    #[case("HANDLER-HOST-VARIANT:v2;....", None)]
    #[case("HANDLER-HOST-VARIANT:v2:ok....", None)]
    fn a_variant_has_a_name_and_a_known_mode(
        #[case] text: &str,
        #[case] variant: Option<(&str, Mode)>,
    ) {
        assert_eq!(parse(text), variant);
    }
}
