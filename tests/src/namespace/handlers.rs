//! Handlers in the cluster, the host that serves them, and the files their modules come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::isolated::Namespace;
use crate::accounts::TestAccount;
use crate::audit::{AuditEntries, Mark};
use crate::control_plane::ControlPlane;
use crate::deployment::deployed;
use crate::guests::variants::{digest, variant, write_atomically};
use crate::objects::kinds::HANDLER;
use crate::objects::manifest::FIELD_MANAGER;
use crate::objects::{resource, to_value};
use crate::operator::{Operator, OperatorOptions};

/// How long tests wait. It is long, because many tests run side by side on few cores.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// The label by which the host of a test tells its Handlers from those of other tests.
const LABEL: &str = "tests.handler-host.dev/namespace";

/// A namespace, and a host that serves the Handlers of one test in it.
pub struct Hosted {
    /// The host. It stands before the namespace, so that it is dropped, and so ended, before the namespace is.
    pub operator: Operator,
    /// The namespace of the parents.
    pub namespace: Namespace,
    /// The directory of the modules. Its subdirectory `state` is the host's state directory.
    pub directory: TempDir,
    control_plane: &'static ControlPlane,
    account: TestAccount,
    arguments: Vec<String>,
}

impl Hosted {
    /// Starts a host without Handlers.
    pub async fn start(prefix: &str) -> Self {
        Self::start_with(prefix, &[]).await
    }

    /// As [`start`](Self::start), with more arguments.
    pub async fn start_with(prefix: &str, arguments: &[&str]) -> Self {
        Self::start_as(prefix, TestAccount::Host, arguments).await
    }

    /// As [`start_with`](Self::start_with), as one of the users of the control plane.
    pub async fn start_as(prefix: &str, account: TestAccount, arguments: &[&str]) -> Self {
        let control_plane = ControlPlane::shared().await;
        if account == TestAccount::Deployed {
            deployed().await;
        }
        let namespace = Namespace::create(control_plane, prefix).await;
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let operator = Operator::of(control_plane, account);
        let states = directory.path().join("state");
        let operator = options(operator, &namespace, &states, &arguments).start();
        Self {
            operator,
            namespace,
            directory,
            control_plane,
            account,
            arguments,
        }
    }

    /// Ends the host, and starts another one with the same state directory.
    pub async fn restart(&mut self) {
        self.operator.terminate().await;
        let (namespace, states) = (&self.namespace, self.path("state"));
        let operator = Operator::of(self.control_plane, self.account);
        self.operator = options(operator, namespace, &states, &self.arguments).start();
    }

    /// Starts a second host for the same Handlers, as [`TestAccount::SecondHost`].
    pub fn second_host(&self) -> Operator {
        let operator = Operator::of(self.control_plane, TestAccount::SecondHost);
        let states = self.path("second-state");
        options(operator, &self.namespace, &states, &self.arguments).start()
    }

    /// The path of a file in the directory of the modules.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Writes a [variant] to the file of a module. Returns the digest of the variant.
    pub fn put(&self, file: &str, name: &str, mode: &str) -> String {
        let bytes = variant(name, mode);
        write_atomically(&self.path(file), &bytes);
        digest(&bytes)
    }

    /// The name of a Handler of this test in the cluster.
    pub fn name(&self, handler: &str) -> String {
        format!("{}-{}", handler.to_lowercase(), self.namespace.name)
    }

    /// Applies a Handler.
    pub async fn apply(&self, handler: &str, spec: &Value) -> Value {
        let name = self.name(handler);
        let object = json!({
            "apiVersion": HANDLER.0,
            "kind": HANDLER.1,
            "metadata": {"name": name, "labels": {LABEL: self.namespace.name}},
            "spec": spec,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.api();
        let patch = Patch::Apply(&object);
        let applied = api.patch(&name, &params, &patch);
        to_value(
            &applied
                .await
                .unwrap_or_else(|error| panic!("Handler {name}: {error}")),
        )
    }

    /// Merge-patches a Handler.
    pub async fn merge(&self, handler: &str, patch: &Value) {
        let name = self.name(handler);
        let params = PatchParams::default();
        let api = self.api();
        let patch = Patch::Merge(patch);
        let merged = api.patch(&name, &params, &patch).await;
        merged.unwrap_or_else(|error| panic!("Handler {name}: {error}"));
    }

    /// Deletes a Handler.
    pub async fn delete(&self, handler: &str) {
        let name = self.name(handler);
        let api = self.api();
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("Handler {name}: {error}"));
    }

    /// The present end of the audit log.
    pub fn mark(&self) -> Mark {
        self.control_plane.audit().mark()
    }

    /// The requests of the host in this namespace since a mark.
    pub async fn requests(&self, since: &Mark) -> AuditEntries {
        self.requests_of(self.account, since).await
    }

    /// The requests of one of two hosts in this namespace since a mark.
    pub async fn requests_of(&self, host: TestAccount, since: &Mark) -> AuditEntries {
        let all = self.control_plane.audit_since(since).await;
        all.by(host.user()).in_namespace(&self.namespace.name)
    }

    /// The user name of a service account in this namespace.
    pub fn service_account_user(&self, account: &str) -> String {
        format!("system:serviceaccount:{}:{account}", self.namespace.name)
    }

    pub(super) fn api(&self) -> Api<DynamicObject> {
        let resource = resource(HANDLER.0, HANDLER.1);
        Api::all_with(self.namespace.client.clone(), &resource)
    }
}

fn options(
    operator: OperatorOptions,
    namespace: &Namespace,
    states: &Path,
    arguments: &[String],
) -> OperatorOptions {
    let options = operator
        .arg("--handlers-from-cluster")
        .arg("--handler-selector")
        .arg(format!("{LABEL}={}", namespace.name))
        .arg("--state-dir")
        .arg(states)
        // The log holds the lines of the host itself, and how long each module took to compile.
        .env(
            "RUST_LOG",
            "info,kube_client=off,kube_runtime=off,handler_host::serve=debug",
        )
        .namespace(&namespace.name);
    arguments
        .iter()
        .fold(options, |options, argument| options.arg(argument))
}
