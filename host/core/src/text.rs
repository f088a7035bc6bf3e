/// The text with control characters escaped, so that a line of a guest stays one line and cannot control a terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}

/// The longest message of a condition, in bytes: guests and registries contribute to it.
pub const LONGEST_MESSAGE: usize = 4096;

/// The text, cut to at most so many bytes. A text that is cut ends in `…`, and takes no more memory than it needs.
#[must_use]
pub fn truncated(text: String, bytes: usize) -> String {
    if text.len() <= bytes {
        return text;
    }
    let kept = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    [&text[..kept], "…"].concat()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::shorter("abc", 4, "abc")]
    #[case::as_long("abcd", 4, "abcd")]
    #[case::longer("abcde", 4, "a…")]
    #[case::within_a_character("aäbcd", 5, "a…")]
    #[case::after_a_character("aäbcde", 6, "aä…")]
    fn a_text_is_cut_between_characters(
        #[case] text: &str,
        #[case] bytes: usize,
        #[case] cut: &str,
    ) {
        let told = truncated(text.to_owned(), bytes);
        assert_eq!(told, cut);
        assert!(told.capacity() <= text.len() + '…'.len_utf8());
    }

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        let forged = "fine\r\n2026-01-01T00:00:00Z  WARN \u{1b}[31mall is lost\u{9b}1m\0";
        assert_eq!(
            one_line(forged),
            r"fine\r\n2026-01-01T00:00:00Z  WARN \u{1b}[31mall is lost\u{9b}1m\0"
        );
        assert_eq!(one_line(r#"größer "als" \1"#), r#"größer "als" \1"#);
    }
}
