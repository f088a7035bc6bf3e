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

#[cfg(test)]
mod tests {
    use super::one_line;

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
