//! Whether a command printed what a document shows.

use std::sync::LazyLock;

use regex::Regex;

/// What is other in each run, whatever the document shows for it: times, UIDs, digests, durations and ages; and the
/// blanks between columns, which are as wide as what stands in them.
static VARYING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uid>"),
        (r"\b[0-9a-f]{64}\b", "<digest>"),
        (r"\b[0-9a-f]{12}\b", "<short digest>"),
        (r"\b\d+\.\d+ s\b", "<duration>"),
        (r"\b(\d+[dhms]){1,2}\b", "<age>"),
        (r"(\S) {2,}", "$1  "),
    ];
    let compile = |(pattern, name)| Some((Regex::new(pattern).ok()?, name));
    patterns.into_iter().filter_map(compile).collect()
});

fn settled(line: &str) -> String {
    let replace = |line: String, (pattern, name): &(Regex, &str)| {
        pattern.replace_all(&line, *name).into_owned()
    };
    VARYING.iter().fold(line.trim_end().to_owned(), replace)
}

/// Whether what was printed is what a document shows. There `…` stands for anything within a line and, alone in a
/// line, for any lines.
pub fn shows(expected: &[String], printed: &str) -> bool {
    let mut pattern = String::from(r"\A");
    let end = expected.iter().rposition(|line| !line.trim().is_empty());
    for line in &expected[..end.map_or(0, |last| last + 1)] {
        if line.trim() == "…" {
            pattern.push_str(r"(?:.*\n)*");
            continue;
        }
        let parts = line
            .split('…')
            .map(settled)
            .map(|part| regex::escape(&part));
        pattern.push_str(&parts.collect::<Vec<_>>().join(".*"));
        pattern.push_str(r"\n");
    }
    pattern.push_str(r"\z");
    let printed = printed.trim_end().lines().map(settled);
    let printed: String = printed.map(|line| line + "\n").collect();
    Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&printed))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_same("a\nb\n", "a\nb\n")]
    #[case::nothing("", "")]
    #[case::no_newline_at_the_end("a", "a\n")]
    #[case::a_blank_line_before_the_next_command("a\n\n", "a\n")]
    #[case::within_a_line("a … c", "a b c\n")]
    #[case::at_its_end("a: …", "a: b\n")]
    #[case::any_lines("a\n…\nd", "a\nb\nc\nd\n")]
    #[case::no_lines("a\n…\nd", "a\nd\n")]
    #[case::all_lines("…", "a\nb\n")]
    #[case::indented("a\n  …\nd", "a\nb\nd\n")]
    #[case::ages("NAME  AGE\na     3s", "NAME  AGE\na     2m10s\n")]
    #[case::columns("0s   Normal", "12s  Normal\n")]
    #[case::times("at 2026-11-23T05:16:58Z", "at 2026-11-24T00:00:01.25Z\n")]
    #[case::durations("(0.5 s)", "(12.25 s)\n")]
    fn it_shows(#[case] expected: &str, #[case] printed: &str) {
        let expected: Vec<_> = expected.lines().map(str::to_owned).collect();
        assert!(shows(&expected, printed));
    }

    #[rstest]
    #[case::another_word("a b", "a c\n")]
    #[case::more("a", "a\nb\n")]
    #[case::less("a\nb", "a\n")]
    #[case::another_order("a\nb", "b\na\n")]
    #[case::an_indent("  a", "a\n")]
    #[case::a_number("2 claims", "3 claims\n")]
    #[case::not_within_a_line("a … c", "a b\nc\n")]
    #[case::signs("a.c", "abc\n")]
    fn it_does_not_show(#[case] expected: &str, #[case] printed: &str) {
        let expected: Vec<_> = expected.lines().map(str::to_owned).collect();
        assert!(!shows(&expected, printed));
    }
}
