/// One line of a probe's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(super) name: String,
    /// Why the check did not pass; None if it passed.
    pub(super) problem: Option<String>,
}

impl Check {
    pub(super) fn passed(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            problem: None,
        }
    }
}

/// Whether all checks passed, and the text of the probe's answer. The text has the format of the API server: a line
/// for each check, or one word if all passed and the request is not verbose.
pub(super) fn answer(probe: &str, checks: &[Check], is_verbose: bool) -> (bool, String) {
    let passed = checks.iter().all(|check| check.problem.is_none());
    if passed && !is_verbose {
        return (true, "ok".to_owned());
    }
    let lines = checks.iter().map(|check| match &check.problem {
        None => format!("[+]{} ok\n", check.name),
        Some(problem) => format!("[-]{} failed: {problem}\n", check.name),
    });
    let verdict = if passed { "passed" } else { "failed" };
    let text = lines.collect::<String>() + &format!("{probe} check {verdict}\n");
    (passed, text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::well(None, false, "ok")]
    #[case::well_in_words(None, true, "[+]a ok\n[+]b ok\nlivez check passed\n")]
    #[case::not_well(Some("c"), false, "[+]a ok\n[-]b failed: c\nlivez check failed\n")]
    fn a_probe_answers_as_the_api_server_does(
        #[case] problem: Option<&str>,
        #[case] is_verbose: bool,
        #[case] text: &str,
    ) {
        let b = Check {
            name: "b".to_owned(),
            problem: problem.map(str::to_owned),
        };
        let (passed, answered) = answer("livez", &[Check::passed("a"), b], is_verbose);
        assert_eq!((passed, answered.as_str()), (problem.is_none(), text));
    }
}
