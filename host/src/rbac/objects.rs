use std::str::FromStr;

use handler_host_core::{Account, AccountError, Rule};
use serde_json::{Value, json};

/// The account or user that gets rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A service account.
    Account(Account),
    /// A user of this name.
    User(String),
}

impl FromStr for Subject {
    type Err = AccountError;

    /// `NAMESPACE/NAME` is an account, and so is the user name of an account; other text without a slash is a user.
    fn from_str(text: &str) -> Result<Self, AccountError> {
        if let Some(account) = Account::of_user(text) {
            return Ok(Self::Account(account));
        }
        match text.split_once('/') {
            Some((namespace, name)) => Account::new(namespace, name).map(Self::Account),
            None => Ok(Self::User(text.to_owned())),
        }
    }
}

/// The rights that one handler needs, and who gets them.
pub(super) struct Needs<'a> {
    pub(super) handler: &'a str,
    /// The handler's own account; None if the host serves it as its own account.
    pub(super) account: Option<&'a Account>,
    pub(super) host: &'a Subject,
    pub(super) rules: &'a [Rule],
    /// The namespaces of the parents; if there are none, they are in all namespaces.
    pub(super) namespaces: &'a [String],
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// The manifests: the account, its roles, and the host's right to act as that account.
pub(super) fn objects(needs: &Needs<'_>) -> Vec<Value> {
    let mut objects = Vec::new();
    if let Some(account) = needs.account {
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(&account.name, Some(&account.namespace)),
        }));
    }
    let subject = match needs.account {
        Some(account) => Subject::Account(account.clone()),
        None => needs.host.clone(),
    };
    let name = format!("handler-host:{}", needs.handler);
    for (namespace, rules) in by_place(needs.rules, needs.namespaces) {
        objects.extend(bound(&name, namespace, &written(&rules), &subject));
    }
    if let Some(account) = needs.account {
        let name = format!("handler-host:impersonate:{}", account.name);
        let rules = json!([{
            "apiGroups": [""],
            "resources": ["serviceaccounts"],
            "resourceNames": [account.name],
            "verbs": ["impersonate"],
        }]);
        objects.extend(bound(&name, Some(&account.namespace), &rules, needs.host));
    }
    objects
}

/// The rules that apply in each namespace, or everywhere, in the order in which the places are named first.
fn by_place<'a>(
    rules: &'a [Rule],
    namespaces: &'a [String],
) -> Vec<(Option<&'a str>, Vec<&'a Rule>)> {
    let mut places: Vec<(Option<&str>, Vec<&Rule>)> = Vec::new();
    for rule in rules {
        let of_rule = match rule.namespaces(namespaces) {
            None => vec![None],
            Some(namespaces) => namespaces.iter().map(|it| Some(it.as_str())).collect(),
        };
        for place in of_rule {
            match places.iter_mut().find(|(known, _)| *known == place) {
                Some((_, rules)) => rules.push(rule),
                None => places.push((place, vec![rule])),
            }
        }
    }
    places
}

/// A role and its binding, in a namespace or for the whole cluster.
fn bound(name: &str, namespace: Option<&str>, rules: &Value, subject: &Subject) -> [Value; 2] {
    let scope = if namespace.is_some() { "" } else { "Cluster" };
    let subject = match subject {
        Subject::Account(account) => json!({
            "kind": "ServiceAccount",
            "namespace": account.namespace,
            "name": account.name,
        }),
        Subject::User(name) => json!({"apiGroup": RBAC, "kind": "User", "name": name}),
    };
    let role = format!("{scope}Role");
    [
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": role,
            "metadata": metadata(name, namespace),
            "rules": rules,
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": format!("{scope}RoleBinding"),
            "metadata": metadata(name, namespace),
            "roleRef": {"apiGroup": RBAC, "kind": role, "name": name},
            "subjects": [subject],
        }),
    ]
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = json!({
        "name": name,
        // Users find all objects of the host by this label.
        "labels": {"app.kubernetes.io/part-of": "handler-host"},
    });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

/// The rules of a role. Resources of one group with the same verbs and names are combined into one rule.
fn written(rules: &[&Rule]) -> Value {
    let mut written: Vec<Value> = Vec::new();
    for rule in rules {
        let verbs: Vec<_> = rule.verbs.iter().map(|verb| verb.as_str()).collect();
        let (groups, verbs) = (json!([rule.group]), json!(verbs));
        let resource = json!(rule.resource());
        let names = (!rule.names.is_empty()).then(|| json!(rule.names));
        let mut before = written.iter_mut();
        let same = before.find(|it| {
            it["apiGroups"] == groups
                && it["verbs"] == verbs
                && it.get("resourceNames") == names.as_ref()
        });
        match same.and_then(|same| same["resources"].as_array_mut()) {
            Some(resources) => resources.push(resource),
            None => {
                let mut rule = json!({
                    "apiGroups": groups,
                    "resources": [resource],
                    "verbs": verbs,
                });
                if let Some(names) = names {
                    rule["resourceNames"] = names;
                }
                written.push(rule);
            }
        }
    }
    json!(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_an_account_or_a_user() {
        let account = Subject::Account(Account::new("ops", "host").unwrap());
        assert_eq!("ops/host".parse(), Ok(account.clone()));
        assert_eq!("system:serviceaccount:ops:host".parse(), Ok(account));
        assert_eq!("jane".parse(), Ok(Subject::User("jane".to_owned())));
        assert!("ops/".parse::<Subject>().is_err());
    }
}
