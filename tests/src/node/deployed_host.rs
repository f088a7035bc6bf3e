//! The host as it is deployed: its image in Pods, by the manifests of `host/deploy`.

use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::pods::{is_ready, name, state};
use super::shared::Node;
use crate::accounts::TestAccount;
use crate::audit::{AuditEntries, Mark, between};
use crate::deployment::ExampleManifests;
use crate::namespace::Namespace;
use crate::objects::kinds::{CLAIM, HANDLER, PVC, ResourceKind};
use crate::objects::{condition, evc, resource, text, to_value};
use crate::paths;
use crate::programs::handler_host::Output;
use crate::wait::eventually;

/// The namespace of the host.
pub const NAMESPACE: &str = "handler-host";
/// How long tests of a deployed host wait.
pub const DEADLINE: Duration = Duration::from_secs(120);

const IMAGE: &str = "docker.io/library/handler-host:0.1.0";
const POD: ResourceKind = ("v1", "Pod");
const LEASE: ResourceKind = ("coordination.k8s.io/v1", "Lease");
/// How many requests for claims are sent at the same time.
const AT_A_TIME: usize = 8;

/// The host in the cluster, with the worked example. All tests share it, and only one test uses it at a time.
pub struct DeployedHost {
    /// The node that it runs on.
    pub node: &'static Node,
    /// A client of the administrator.
    pub client: Client,
    /// The manifests of the worked example.
    pub example: ExampleManifests,
    _turn: MutexGuard<'static, ()>,
}

impl DeployedHost {
    /// Waits until no other test uses the host, installs it if it is not installed, and waits until it is
    /// [settled](Self::settled).
    pub async fn take_turn() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let node = Node::shared().await;
        let host = Self {
            node,
            client: node.control_plane().client_as(TestAccount::Admin).await,
            example: ExampleManifests::checkout(),
            _turn: turn,
        };
        host.wait_until_alone().await;
        let layout = paths::target().join("image/oci");
        node.load_image(&layout, IMAGE).await;
        let base = paths::workspace().join("host/deploy/base");
        host.kubectl(&["apply", "-k", &base.display().to_string()])
            .await;
        host.apply(&host.example).await;
        host.settled().await;
        host
    }

    /// Waits until the namespaces of earlier tests are gone, because their deletion is work for every server.
    async fn wait_until_alone(&self) {
        let namespaces: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &resource("v1", "Namespace"));
        eventually("the claims of other tests are gone", DEADLINE, async || {
            let found = namespaces.list(&ListParams::default()).await;
            let found = found.unwrap_or_else(|error| panic!("cannot list namespaces: {error}"));
            let names = found.iter().filter_map(|it| it.metadata.name.clone());
            let lasts =
                |name: &String| name == "default" || name == NAMESPACE || name.starts_with("kube-");
            let left: Vec<_> = names.filter(|name| !lasts(name)).collect();
            left.is_empty().then_some(()).ok_or(left.join(" "))
        })
        .await;
    }

    /// Applies manifests of the worked example.
    pub async fn apply(&self, example: &ExampleManifests) {
        let overlay = example.overlay().display().to_string();
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "-k",
            &overlay,
        ];
        self.kubectl(&arguments).await;
    }

    /// Runs kubectl, which must succeed.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        let output = self.node.kubectl(arguments).await;
        assert_eq!(
            output.code,
            Some(0),
            "kubectl {arguments:?}: {}",
            output.stderr
        );
        output
    }

    fn api(&self, kind: ResourceKind) -> Api<DynamicObject> {
        let resource = resource(kind.0, kind.1);
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    /// The Handler of the worked example.
    pub async fn handler(&self) -> Value {
        let resource = resource(HANDLER.0, HANDLER.1);
        let handlers: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let handler = handlers.get("evc").await;
        to_value(&handler.unwrap_or_else(|error| panic!("cannot read Handler evc: {error}")))
    }

    /// Waits until a condition of the Handler has this status. Returns its message.
    pub async fn told(&self, type_: &str, status: &str) -> String {
        let what = format!("Handler evc says {type_}={status}");
        eventually(&what, DEADLINE, async || {
            let handler = self.handler().await;
            let told = condition(&handler, type_).filter(|it| it["status"] == status);
            let message = told.map(|it| text(&it["message"]));
            message.ok_or_else(|| format!("{:#}", handler["status"]))
        })
        .await
    }

    /// Waits until the Handler serves with the module of this digest.
    pub async fn serves(&self, digest: &str) {
        let what = format!("Handler evc serves with {digest}");
        eventually(&what, DEADLINE, async || {
            let handler = self.handler().await;
            let serves = handler["status"]["module"]["digest"] == digest;
            serves
                .then_some(())
                .ok_or_else(|| format!("{:#}", handler["status"]))
        })
        .await;
    }

    /// The Pods of the host, also those that are being deleted.
    pub async fn pods(&self) -> Vec<Value> {
        let params = ListParams::default().labels("app.kubernetes.io/name=handler-host");
        let pods = self.api(POD).list(&params).await;
        let pods = pods.unwrap_or_else(|error| panic!("cannot list Pods: {error}"));
        pods.iter().map(to_value).collect()
    }

    /// The name of the Pod that holds the lease.
    pub async fn leader(&self) -> Option<String> {
        let lease = self.api(LEASE).get_opt("handler-host").await;
        let lease = lease.unwrap_or_else(|error| panic!("cannot read the lease: {error}"))?;
        let holder = lease.data["spec"]["holderIdentity"].as_str()?;
        Some(holder.rsplit_once('_')?.0.to_owned())
    }

    /// Waits until the host has exactly two Pods, both are ready, one of them leads, and the worked example is served.
    /// Returns the Pod that leads, and the other one.
    pub async fn settled(&self) -> (Value, Value) {
        self.told("Ready", "True").await;
        eventually(
            "two Pods are ready, of which one leads",
            DEADLINE,
            async || {
                let pods = self.pods().await;
                let leader = self.leader().await;
                let leads = |pod: &&Value| Some(name(pod)) == leader.as_deref();
                let settled = pods.len() == 2 && pods.iter().all(is_ready);
                match (pods.iter().find(leads), pods.iter().find(|pod| !leads(pod))) {
                    (Some(leader), Some(other)) if settled => Ok((leader.clone(), other.clone())),
                    _ => Err(format!(
                        "leader {leader:?} of {:?}",
                        pods.iter().map(state).collect::<Vec<_>>()
                    )),
                }
            },
        )
        .await
    }

    /// Creates `count` claims, the next one each time that `apart` has passed, and calls `at` after the first `when` of
    /// them were created.
    pub async fn make(
        &self,
        claims: &Namespace,
        count: usize,
        apart: Duration,
        (when, at): (usize, impl AsyncFnOnce()),
    ) {
        let start = Instant::now();
        let make = |range: std::ops::Range<usize>| {
            stream::iter(range)
                .map(|index| async move {
                    let turn = apart * u32::try_from(index).unwrap_or(u32::MAX);
                    tokio::time::sleep_until(start + turn).await;
                    let claim = evc(&format!("claim-{index}"), "1Gi");
                    let created = claims.create_object(&claim).await;
                    created.unwrap_or_else(|error| panic!("cannot create a claim: {error}"));
                })
                .buffer_unordered(AT_A_TIME)
                .collect::<Vec<_>>()
        };
        make(0..when).await;
        tokio::join!(make(when..count), at());
    }

    /// Waits until each claim has its PVC, and checks in the audit log that each was created once. Returns the longest
    /// time from the request for a claim to the answer to the request for its PVC.
    pub async fn served_once(&self, claims: &Namespace, count: usize, mark: &Mark) -> Duration {
        eventually("every claim has its PVC", DEADLINE, async || {
            let volumes = claims.list(PVC).await.len();
            (volumes == count)
                .then_some(())
                .ok_or(format!("{volumes} PVCs"))
        })
        .await;
        let requests = self.requests(claims, mark).await;
        let made = requests.resource("persistentvolumeclaims").code(201);
        let mut slowest = Duration::ZERO;
        for index in 0..count {
            let name = format!("claim-{index}");
            let made = made.named(&name);
            assert_eq!(made.count(), 1, "{name}:\n{made}");
            let asked = requests
                .resource("ephemeralvolumeclaims")
                .verb("create")
                .named(&name);
            let (Some(asked), Some(made)) = (asked.iter().next(), made.iter().next()) else {
                panic!("no request for {name}: {requests}");
            };
            slowest = slowest.max(between(&asked.received, &made.answered));
        }
        slowest
    }

    /// The requests in the namespace of the claims since a mark.
    pub async fn requests(&self, claims: &Namespace, mark: &Mark) -> AuditEntries {
        let all = self.node.control_plane().audit_since(mark).await;
        all.in_namespace(&claims.name)
    }

    /// Waits until a claim is ready.
    pub async fn ready(&self, claims: &Namespace, name: &str) {
        claims
            .wait_for_ready(CLAIM, name, "True", "Reconciled", DEADLINE)
            .await;
    }
}
