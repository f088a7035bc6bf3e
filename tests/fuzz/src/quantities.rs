use handler_host_core::{canonical, whole};
use handler_sdk::Quantity;

/// What an API server made of texts: a line for each, with the text, a tab, and the form in which it was stored, or nothing
/// where it was refused.
pub const RECORDED: &str = include_str!("../quantities.tsv");

/// A text and what an API server made of it.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// What was written.
    pub text: &'a str,
    /// What was stored; None if it was refused.
    pub stored: Option<&'a str>,
}

/// What an API server made of texts.
pub fn recorded() -> impl Iterator<Item = Recorded<'static>> {
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (text, stored) = line.split_once('\t')?;
        Some(Recorded {
            text,
            stored: (!stored.is_empty()).then_some(stored),
        })
    })
}

/// Reads a text as a quantity.
pub fn quantities(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let sign = text.parse::<Quantity>().map(|quantity| quantity.sign());
    let Some(form) = canonical(text) else {
        assert_eq!(
            whole(text),
            None,
            "{text:?} is no quantity, and yet a number"
        );
        return;
    };
    assert_eq!(canonical(&form).as_ref(), Some(&form), "{text:?}");
    assert_eq!(whole(&form), whole(text), "{text:?} and {form:?}");
    // An int64 in nano units has 28 digits; a sign and an exponent come to them.
    assert!(form.len() <= 33, "{form:?}");
    let negative = negated(text);
    assert_eq!(canonical(&negative), Some(negated(&form)), "{negative:?}");
    // Exponents of more than eight bits are refused to handlers, and have no use.
    if let Ok(sign) = sign {
        assert_eq!(form == "0", sign.is_eq(), "{text:?}");
        assert_eq!(form.starts_with('-'), sign.is_lt(), "{text:?}");
        assert!(whole(text).is_none_or(|number| sign.is_eq() == (number == 0)));
    }
}

/// The same quantity with the other sign.
fn negated(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(positive) => positive.to_owned(),
        None if text == "0" => "0".to_owned(),
        None => format!("-{}", text.strip_prefix('+').unwrap_or(text)),
    }
}
