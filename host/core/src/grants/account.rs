use std::fmt;

use crate::objects::{is_dns_label, is_dns_subdomain};

/// A service account. Requests for a handler's parents and children are made in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

/// Why the names of an account are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The namespace is no DNS label.
    #[error(
        "namespace {0:?} is not a DNS label of at most 63 characters; use a-z, 0-9 and `-`, such as team-a"
    )]
    Namespace(String),
    /// The name is no DNS subdomain.
    #[error("name {0:?} is not a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc")]
    Name(String),
}

impl Account {
    /// Checks both names.
    ///
    /// # Errors
    ///
    /// When a name is not valid.
    pub fn new(namespace: &str, name: &str) -> Result<Self, AccountError> {
        if !is_dns_label(namespace) {
            return Err(AccountError::Namespace(namespace.to_owned()));
        }
        if !is_dns_subdomain(name) {
            return Err(AccountError::Name(name.to_owned()));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Its name as a user of the API server.
    #[must_use]
    pub fn user(&self) -> String {
        format!("{USER}{}:{}", self.namespace, self.name)
    }

    /// The account of a user of the API server; None if the user is no service account.
    #[must_use]
    pub fn of_user(user: &str) -> Option<Self> {
        let (namespace, name) = user.strip_prefix(USER)?.split_once(':')?;
        Self::new(namespace, name).ok()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

const USER: &str = "system:serviceaccount:";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn an_account_is_known_by_its_user() {
        let account = Account::new("team-a", "evc").unwrap();
        assert_eq!(account.user(), "system:serviceaccount:team-a:evc");
        assert_eq!(Account::of_user(&account.user()), Some(account));
        assert_eq!(Account::of_user("admin"), None);
    }

    #[rstest]
    #[case::a_usual_one("team-a", "evc", true)]
    #[case::a_name_with_dots("a", "evc.team", true)]
    #[case::no_namespace("", "evc", false)]
    #[case::no_name("a", "", false)]
    #[case::a_namespace_with_dots("a.b", "evc", false)]
    #[case::a_name_that_would_end_the_user("a", "evc:x", false)]
    fn an_account_has_names_that_it_could_have(
        #[case] namespace: &str,
        #[case] name: &str,
        #[case] can_be: bool,
    ) {
        assert_eq!(Account::new(namespace, name).is_ok(), can_be);
    }
}
