//! The name and the mode of this module. They are 64 bytes of its data, and a suite makes another module by changing
//! these bytes.

use std::hint::black_box;

/// The text `HANDLER-HOST-VARIANT:<name>:<mode>;`, followed by dots up to 64 bytes.
static VARIANT: [u8; 64] = *b"HANDLER-HOST-VARIANT:base:ok;...................................";

/// How a variant behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VariantMode {
    /// It behaves as a handler should.
    Ok,
    /// It traps for every parent.
    Trap,
    /// It traps for parents that have no children yet.
    TrapNew,
    /// It traps in `describe`.
    DescribeTrap,
    /// It also describes Secrets as children.
    DescribeMore,
    /// It uses the name of this variant for parents with the label `pick: yes`, and the name `base` for the others.
    Some,
    /// It fails permanently for every parent.
    Fail,
    /// It traps for parents whose name ends in an odd digit.
    Half,
}

/// The name and the mode of this module.
pub(crate) fn variant() -> (String, VariantMode) {
    // Without `black_box` the compiler would use the text as a constant, and changed bytes would have no effect.
    let text = String::from_utf8_lossy(black_box(&VARIANT));
    match parse(&text) {
        Some((name, mode)) => (name.to_owned(), mode),
        None => panic!("the variant {text:?} is not HANDLER-HOST-VARIANT:<name>:<mode>;"),
    }
}

fn parse(text: &str) -> Option<(&str, VariantMode)> {
    let (variant, _) = text.split_once(';')?;
    let (name, mode) = variant
        .strip_prefix("HANDLER-HOST-VARIANT:")?
        .split_once(':')?;
    let mode = match mode {
        "ok" => VariantMode::Ok,
        "trap" => VariantMode::Trap,
        "trapNew" => VariantMode::TrapNew,
        "describeTrap" => VariantMode::DescribeTrap,
        "describeMore" => VariantMode::DescribeMore,
        "some" => VariantMode::Some,
        "fail" => VariantMode::Fail,
        "half" => VariantMode::Half,
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
        assert_eq!(variant(), ("base".to_owned(), VariantMode::Ok));
    }

    #[rstest]
    #[case("HANDLER-HOST-VARIANT:v2:trapNew;....", Some(("v2", VariantMode::TrapNew)))]
    #[case("HANDLER-HOST-VARIANT:v2:other;....", None)]
    #[case("HANDLER-HOST-VARIANT:v2;....", None)]
    #[case("HANDLER-HOST-VARIANT:v2:ok....", None)]
    fn a_variant_has_a_name_and_a_known_mode(
        #[case] text: &str,
        #[case] variant: Option<(&str, VariantMode)>,
    ) {
        assert_eq!(parse(text), variant);
    }
}
