//! Runs of `handler-host diff` over the namespace of a test.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::isolated::Namespace;
use crate::accounts::TestAccount;
use crate::control_plane::ControlPlane;
use crate::objects::kinds::ResourceKind;
use crate::paths;
use crate::programs::handler_host::{Output, handler_host};

/// Runs `diff` with a guest over a namespace, as the account of the host.
pub async fn diff(guest: &str, namespace: &Namespace, more: &[&str]) -> Output {
    diff_as(TestAccount::Host, guest, namespace, more).await
}

/// As [`diff`], as an account of the control plane.
pub async fn diff_as(
    account: TestAccount,
    guest: &str,
    namespace: &Namespace,
    more: &[&str],
) -> Output {
    let kubeconfig = ControlPlane::shared().await.kubeconfig(account);
    let module = paths::guest(guest).unwrap_or_else(|error| panic!("{error:#}"));
    let mut arguments: Vec<OsString> = vec!["diff".into(), "--module".into()];
    arguments.push(module.into());
    // Other tests have Handlers of the same kind in this cluster.
    let names = ["--handler", "--name"];
    if !more.iter().any(|argument| names.contains(argument)) {
        arguments.extend(["--name".into(), guest.into()]);
    }
    arguments.extend(["--namespace".into(), namespace.name.clone().into()]);
    arguments.extend(["--kubeconfig".into(), kubeconfig.into()]);
    arguments.extend(more.iter().map(OsString::from));
    handler_host(arguments).await
}

/// A text in which names stand for what differs from run to run: the namespace, digests, UIDs and times.
pub fn redacted(text: &str, namespace: &Namespace) -> String {
    let text = text.replace(&namespace.name, "NAMESPACE");
    let words = text.split_inclusive([' ', '\n', '(', ')', '"', ',']);
    words
        .map(|part| {
            let word = part.trim_end_matches([' ', '\n', '(', ')', '"', ',']);
            let end = &part[word.len()..];
            let is_uid = word.len() == 36 && word.matches('-').count() == 4;
            let is_time = word.ends_with('Z') && word.contains('T') && word.contains(':');
            let is_seconds = word.parse::<f64>().is_ok() && word.contains('.');
            let named = match word.strip_prefix("sha256:") {
                Some(_) => "DIGEST",
                None if is_uid => "UID",
                None if is_time => "TIME",
                None if is_seconds => "SECONDS",
                None => word,
            };
            format!("{named}{end}")
        })
        .collect()
}

/// The names and resource versions of all objects of these kinds in a namespace.
pub async fn versions(namespace: &Namespace, kinds: &[ResourceKind]) -> Vec<Value> {
    let mut versions = Vec::new();
    for kind in kinds {
        let objects = namespace.list(*kind).await;
        versions.extend(objects.iter().map(|object| {
            json!([
                object["metadata"]["name"],
                object["metadata"]["resourceVersion"]
            ])
        }));
    }
    versions
}
