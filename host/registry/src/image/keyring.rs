use serde_json::Value;

use super::credentials::RegistryLogin;

/// The host under which the kubelet looks for credentials of Docker Hub.
const DOCKER_HUB: &str = "index.docker.io";

/// The entries of the `auths` of a pull secret, as the kubelet reads them: an entry is for a registry, with or without a
/// path, and its host may have wildcards. See `pkg/credentialprovider/keyring.go` of Kubernetes.
pub(super) struct Keyring<'a>(Vec<(Pattern, &'a Value)>);

/// What an entry is for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    /// With the port, if there is one.
    host: String,
    /// Empty, or with a slash in front.
    path: String,
}

impl<'a> Keyring<'a> {
    pub(super) fn of(auths: &'a Value) -> Self {
        let entries = auths.as_object().into_iter().flatten();
        let mut entries: Vec<_> = entries
            .map(|(key, entry)| (Pattern::of(key), entry))
            .collect();
        // The most specific ones first, as the kubelet sorts them.
        entries.sort_by(|(one, _), (other, _)| {
            let text = |it: &Pattern| format!("{}{}", it.host, it.path);
            text(other).cmp(&text(one))
        });
        Self(entries)
    }

    /// The login for a repository of a registry: of the first entry that is for it and says one. `anonymous` if none does.
    pub(super) fn login(&self, registry: &str, repository: &str) -> Result<RegistryLogin, String> {
        let path = format!("/{repository}");
        let matching = self
            .0
            .iter()
            .filter(|(pattern, _)| pattern.is_for(registry, &path));
        for (_, entry) in matching {
            if let Some(login) = login(entry)? {
                return Ok(login);
            }
        }
        if registry == "docker.io" {
            return self.login(DOCKER_HUB, repository);
        }
        Ok(RegistryLogin::Anonymous)
    }
}

impl Pattern {
    fn of(key: &str) -> Self {
        let rest = key
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) => (host, format!("/{path}")),
            None => (rest, String::new()),
        };
        // The API's version is no part of a repository.
        let path = ["/v1/", "/v2/"]
            .into_iter()
            .find_map(|version| path.strip_prefix(version))
            .map_or(path.clone(), |rest| format!("/{rest}"));
        Self {
            host: host.to_owned(),
            path: if path == "/" { String::new() } else { path },
        }
    }

    fn is_for(&self, registry: &str, path: &str) -> bool {
        let (pattern, pattern_port) = split_port(&self.host);
        let (host, port) = split_port(registry);
        let (patterns, parts): (Vec<_>, Vec<_>) =
            (pattern.split('.').collect(), host.split('.').collect());
        pattern_port == port
            && patterns.len() == parts.len()
            && patterns
                .iter()
                .zip(&parts)
                .all(|(pattern, part)| is_match(pattern, part))
            && path.starts_with(&self.path)
    }
}

fn split_port(host: &str) -> (&str, &str) {
    host.rsplit_once(':').unwrap_or((host, ""))
}

/// Whether a part of a host is what a pattern with `*` and `?` says.
fn is_match(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<_>, Vec<_>) = (pattern.chars().collect(), part.chars().collect());
    // For each prefix of the pattern, which prefixes of the part it matches.
    let mut matches = vec![false; part.len() + 1];
    if let Some(first) = matches.first_mut() {
        *first = true;
    }
    for expected in pattern {
        let mut next = vec![false; part.len() + 1];
        for end in 0..=part.len() {
            let before = end.checked_sub(1);
            let is_before = before
                .and_then(|it| matches.get(it))
                .copied()
                .unwrap_or(false);
            let is_char = before.and_then(|it| part.get(it)) == Some(&expected);
            let found = match expected {
                '*' => {
                    let is_longer = before.and_then(|it| next.get(it)).copied().unwrap_or(false);
                    matches.get(end).copied().unwrap_or(false) || is_longer
                }
                '?' => is_before,
                _ => is_before && is_char,
            };
            if let Some(slot) = next.get_mut(end) {
                *slot = found;
            }
        }
        matches = next;
    }
    matches.last().copied().unwrap_or(false)
}

/// The login of an entry; None if it says none.
fn login(entry: &Value) -> Result<Option<RegistryLogin>, String> {
    let text = |field: &str| entry[field].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(RegistryLogin::IdentityToken(token.to_owned())));
    }
    if let Some(auth) = text("auth") {
        let decoded = super::credentials::decoded(auth);
        let decoded = decoded.ok_or("the auth of an entry is not `user:password` in base64")?;
        let (name, password) = decoded
            .split_once(':')
            .ok_or("the auth of an entry is not `user:password` in base64")?;
        return Ok(Some(RegistryLogin::Password {
            name: name.to_owned(),
            password: password.to_owned(),
        }));
    }
    let named = text("username").zip(text("password"));
    Ok(named.map(|(name, password)| RegistryLogin::Password {
        name: name.to_owned(),
        password: password.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::the_host(&["reg.example"], "reg.example")]
    #[case::a_url(&["https://reg.example/v1/"], "https://reg.example/v1/")]
    #[case::another_host(&["other.example"], "")]
    #[case::another_port(&["reg.example:5000"], "")]
    #[case::by_path(&["reg.example/team"], "reg.example/team")]
    #[case::by_another_path(&["reg.example/other"], "")]
    #[case::the_longest_path_first(&["reg.example", "reg.example/team/app", "reg.example/team"], "reg.example/team/app")]
    #[case::a_wildcard(&["*.example"], "*.example")]
    #[case::a_wildcard_in_a_part(&["r*g.exam?le"], "r*g.exam?le")]
    #[case::a_wildcard_is_no_dot(&["*"], "")]
    #[case::an_exact_one_before_a_wildcard(&["*.example", "reg.example"], "reg.example")]
    fn an_entry_is_for_hosts_and_paths(#[case] keys: &[&str], #[case] expected: &str) {
        let entries = keys
            .iter()
            .map(|key| ((*key).to_owned(), json!({"username": key, "password": "p"})));
        let auths = Value::Object(entries.collect());
        let found = Keyring::of(&auths)
            .login("reg.example", "team/app")
            .unwrap();
        let name = match found {
            RegistryLogin::Password { name, .. } => name,
            RegistryLogin::Anonymous | RegistryLogin::IdentityToken(_) => String::new(),
        };
        assert_eq!(name, expected);
    }

    #[rstest]
    #[case::empty(json!({}), "me")]
    #[case::an_empty_auth(json!({"auth": ""}), "me")]
    #[case::a_name_alone(json!({"username": "x"}), "me")]
    #[case::null(json!(null), "me")]
    // you:secret
    #[case::one_that_says_a_login(json!({"auth": "eW91OnNlY3JldA=="}), "you")]
    fn an_entry_without_a_login_is_skipped(#[case] entry: Value, #[case] expected: &str) {
        let auths =
            json!({"reg.example/team": entry, "reg.example": {"username": "me", "password": "p"}});
        match Keyring::of(&auths)
            .login("reg.example", "team/app")
            .unwrap()
        {
            RegistryLogin::Password { name, .. } => assert_eq!(name, expected),
            RegistryLogin::Anonymous | RegistryLogin::IdentityToken(_) => panic!("no login"),
        }
    }

    #[test]
    fn docker_hub_has_several_names() {
        for key in [
            "https://index.docker.io/v1/",
            "index.docker.io",
            "docker.io",
        ] {
            let auths = json!({key: {"username": "me", "password": "p"}});
            let found = Keyring::of(&auths)
                .login("docker.io", "library/app")
                .unwrap();
            assert!(matches!(found, RegistryLogin::Password { .. }), "{key}");
        }
    }
}
