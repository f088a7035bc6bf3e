/// The text with control characters escaped: a guest's line stays one line, and no terminal obeys it.
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

/// The text, cut at a character's boundary to at most so many bytes; an ellipsis stands for what was cut.
#[must_use]
pub fn truncated(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{one_line, truncated};

    #[test]
    fn a_text_is_cut_between_characters_and_never_longer_than_it_may_be() {
        assert_eq!(truncated("äöü", 6), "äöü");
        assert_eq!(truncated("äöüß", 7), "äö…");
        assert_eq!(truncated("äöüß", 6), "ä…");
        assert_eq!(truncated("abcd", 3), "…");
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
