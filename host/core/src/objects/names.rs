//! The forms of names that Kubernetes has, as of
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/> and
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.

/// RFC 1123 as Kubernetes applies it to most names: at most 253 characters of `a-z0-9-.`, each label
/// beginning and ending with a letter or digit.
pub(crate) fn is_dns_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A DNS subdomain without dots, of at most 63 characters: the name of a namespace.
pub(crate) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && !name.contains('.') && is_dns_subdomain(name)
}

/// The key of a label or an annotation: a name, with or without a DNS subdomain and a slash before it.
pub(crate) fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// The value of a label: at most 63 letters, digits, `-`, `_` and `.`, that begin and end with a letter or digit; or nothing.
pub(crate) fn is_label_value(value: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_end = |end: Option<&u8>| end.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    value.len() <= 63
        && value.bytes().all(is_inner)
        && is_end(bytes.first())
        && is_end(bytes.last())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("tier", true)]
    #[case("example.com/tier", true)]
    #[case("A_b.c-1", true)]
    #[case("", false)]
    #[case("/tier", false)]
    #[case("example.com/", false)]
    #[case("Example.com/tier", false)]
    #[case("a/b/c", false)]
    #[case("-a", false)]
    #[case("a b", false)]
    #[case(
        "a123456789a123456789a123456789a123456789a123456789a123456789abcd",
        false
    )]
    fn a_qualified_name_has_at_most_one_prefix(#[case] key: &str, #[case] is_valid: bool) {
        assert_eq!(is_qualified_name(key), is_valid);
    }

    #[rstest]
    #[case("", true)]
    #[case("a", true)]
    #[case("1.2_3-x", true)]
    #[case("a,b", false)]
    #[case(".a", false)]
    #[case("a-", false)]
    #[case("\u{e9}", false)]
    fn a_label_value_is_plain_or_empty(#[case] value: &str, #[case] is_valid: bool) {
        assert_eq!(is_label_value(value), is_valid);
    }
}
