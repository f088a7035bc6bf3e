use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::is_dns_subdomain;

/// A kind of Kubernetes object, as its objects name it: `apiVersion` and `kind`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// `v1` for the core group, else `group/version`.
    pub api_version: String,
    /// Singular, and CamelCase by convention: `PersistentVolumeClaim`.
    pub kind: String,
}

/// Why a kind was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// `apiVersion` is not of the form that the API server serves.
    #[error(
        "apiVersion {0:?} is neither `version` nor `group/version`; write `v1` or `kopf.dev/v1`"
    )]
    ApiVersion(String),
    /// No object can have this kind.
    #[error(
        "kind {0:?} is not made of at most 63 letters, digits and `-`, beginning with a letter; write it as objects do, such as `ConfigMap`"
    )]
    Kind(String),
}

impl Kind {
    /// Checks both parts.
    ///
    /// # Errors
    ///
    /// When a part is not valid.
    pub fn new(api_version: &str, kind: &str) -> Result<Self, KindError> {
        let parts: Vec<_> = api_version.split('/').collect();
        if parts.len() > 2 || parts.iter().any(|part| !is_dns_subdomain(part)) {
            return Err(KindError::ApiVersion(api_version.to_owned()));
        }
        if !is_kind(kind) {
            return Err(KindError::Kind(kind.to_owned()));
        }
        Ok(Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The version within the group.
    #[must_use]
    pub fn version(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or(self.api_version.as_str(), |(_, version)| version)
    }

    /// Whether this is the same kind in any version. Versions are views of the same objects.
    #[must_use]
    pub fn is_same_kind(&self, other: &Self) -> bool {
        (self.group(), &self.kind) == (other.group(), &other.kind)
    }

    /// The name by which kubectl takes the kind: `persistentvolumeclaim`, `deployment.apps`.
    #[must_use]
    pub fn kubectl_name(&self) -> String {
        let kind = self.kind.to_lowercase();
        match self.group() {
            "" => kind,
            group => format!("{kind}.{group}"),
        }
    }

    /// The short name for people: the initials of a kind of three words or more (`PVC`), else the kind.
    #[must_use]
    pub fn spoken(&self) -> String {
        let initials: String = self.kind.chars().filter(char::is_ascii_uppercase).collect();
        // A kind in capitals, such as `TLS`, has as many initials as letters.
        if initials.len() >= 3 && initials.len() < self.kind.len() {
            initials
        } else {
            self.kind.clone()
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)
    }
}

/// What the API server takes for a kind: in lower case it is a label of RFC 1035. So `widget` and `Wid-Get` are kinds too.
fn is_kind(kind: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    kind.len() <= 63
        && kind.starts_with(|first: char| first.is_ascii_alphabetic())
        && !kind.ends_with('-')
        && kind.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::core_group("v1", "PersistentVolumeClaim", "", "v1", "PVC")]
    #[case::named_group("kopf.dev/v1", "EphemeralVolumeClaim", "kopf.dev", "v1", "EVC")]
    #[case::two_words("v1", "ConfigMap", "", "v1", "ConfigMap")]
    #[case::all_capitals("x.io/v1", "TLS", "x.io", "v1", "TLS")]
    #[case::lower_case("x.io/v1", "widget", "x.io", "v1", "widget")]
    #[case::with_a_hyphen("x.io/v1", "Wid-get", "x.io", "v1", "Wid-get")]
    fn a_kind_knows_its_group_version_and_spoken_name(
        #[case] api_version: &str,
        #[case] kind: &str,
        #[case] group: &str,
        #[case] version: &str,
        #[case] spoken: &str,
    ) {
        let kind = Kind::new(api_version, kind).unwrap();
        assert_eq!((kind.group(), kind.version()), (group, version));
        assert_eq!(kind.spoken(), spoken);
    }

    #[rstest]
    #[case::nothing("", "ConfigMap")]
    #[case::three_parts("a/b/c", "ConfigMap")]
    #[case::capitals("V1", "ConfigMap")]
    #[case::no_kind("v1", "")]
    #[case::a_digit_first("v1", "1Config")]
    #[case::a_hyphen_last("v1", "Config-")]
    #[case::too_long(
        "v1",
        "K123456789012345678901234567890123456789012345678901234567890123"
    )]
    #[case::a_path("v1", "Config/Map")]
    fn a_kind_that_no_object_could_carry_is_refused(#[case] api_version: &str, #[case] kind: &str) {
        assert!(Kind::new(api_version, kind).is_err());
    }
}
