use std::time::Duration;

use futures::{StreamExt, stream};
use handler_host_tests::deployed::Example;
use handler_host_tests::namespace::{CLAIM, HANDLER, Kind, PVC};
use handler_host_tests::objects::{condition, evc, resource};
use handler_host_tests::{Entries, Identity, Mark, Namespace, Node, Output, eventually, paths};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

pub(crate) const NAMESPACE: &str = "handler-host";
const IMAGE: &str = "docker.io/library/handler-host:0.1.0";
const POD: Kind = ("v1", "Pod");
const LEASE: Kind = ("coordination.k8s.io/v1", "Lease");
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// How many claims are made at a time.
const AT_A_TIME: usize = 8;

/// The host in the cluster, with the worked example: one for all tests, which take turns.
pub(crate) struct Host {
    pub(crate) node: &'static Node,
    pub(crate) client: Client,
    pub(crate) example: Example,
    _turn: MutexGuard<'static, ()>,
}

impl Host {
    /// Installs it if it is not there, and waits until all is well.
    pub(crate) async fn turn() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let node = Node::shared().await;
        let host = Self {
            node,
            client: node.control_plane().client_as(Identity::Admin).await,
            example: Example::checkout(),
            _turn: turn,
        };
        host.alone().await;
        let layout = paths::target().join("image/oci");
        node.load_image(&layout, IMAGE).await;
        let base = paths::workspace().join("host/deploy/base");
        host.kubectl(&["apply", "-k", &base.display().to_string()])
            .await;
        host.apply(&host.example).await;
        host.settled().await;
        host
    }

    /// Waits until what the tests before made is gone: its end is work for everybody.
    async fn alone(&self) {
        let namespaces: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &resource("v1", "Namespace"));
        eventually("the claims of other tests are gone", DEADLINE, async || {
            let found = namespaces.list(&ListParams::default()).await.unwrap();
            let names = found.iter().map(|it| it.metadata.name.clone().unwrap());
            let lasts =
                |name: &String| name == "default" || name == NAMESPACE || name.starts_with("kube-");
            let left: Vec<_> = names.filter(|name| !lasts(name)).collect();
            left.is_empty().then_some(()).ok_or(left.join(" "))
        })
        .await;
    }

    /// Applies the worked example, as it is in a checkout.
    pub(crate) async fn apply(&self, example: &Example) {
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
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Output {
        let output = self.node.kubectl(arguments).await;
        assert_eq!(
            output.code,
            Some(0),
            "kubectl {arguments:?}: {}",
            output.stderr
        );
        output
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let resource = resource(kind.0, kind.1);
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    /// The Handler of the example.
    pub(crate) async fn handler(&self) -> Value {
        let resource = resource(HANDLER.0, HANDLER.1);
        let handlers: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        serde_json::to_value(handlers.get("evc").await.unwrap()).unwrap()
    }

    /// Waits until a condition of the Handler has this status; gives its message.
    pub(crate) async fn told(&self, type_: &str, status: &str) -> String {
        let what = format!("Handler evc says {type_}={status}");
        eventually(&what, DEADLINE, async || {
            let handler = self.handler().await;
            let told = condition(&handler, type_).filter(|it| it["status"] == status);
            let message = told.map(|it| it["message"].as_str().unwrap_or_default().to_owned());
            message.ok_or_else(|| format!("{:#}", handler["status"]))
        })
        .await
    }

    /// Waits until the Handler serves with the module of this digest.
    pub(crate) async fn serves(&self, digest: &str) {
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

    /// The Pods of the host, those that are going among them.
    pub(crate) async fn pods(&self) -> Vec<Value> {
        let params = ListParams::default().labels("app.kubernetes.io/name=handler-host");
        let pods = self.api(POD).list(&params).await.unwrap();
        pods.iter()
            .map(|pod| serde_json::to_value(pod).unwrap())
            .collect()
    }

    /// The name of the Pod that holds the lease.
    pub(crate) async fn leader(&self) -> Option<String> {
        let lease = self.api(LEASE).get_opt("handler-host").await.unwrap()?;
        let holder = lease.data["spec"]["holderIdentity"].as_str()?;
        Some(holder.rsplit_once('_')?.0.to_owned())
    }

    /// Waits until two Pods are ready and no others are there, one of them leads, and the example is served. Gives
    /// the one that leads, and the other.
    pub(crate) async fn settled(&self) -> (Value, Value) {
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

    /// Makes claims, this time apart or as fast as it goes, and calls `at` when so many were made.
    pub(crate) async fn make(
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
                    let turn = apart * u32::try_from(index).unwrap();
                    tokio::time::sleep_until(start + turn).await;
                    let claim = evc(&format!("claim-{index}"), "1Gi");
                    claims.create_object(&claim).await.unwrap();
                })
                .buffer_unordered(AT_A_TIME)
                .collect::<Vec<_>>()
        };
        make(0..when).await;
        tokio::join!(make(when..count), at());
    }

    /// Waits until each claim has a PVC that was made once, as the API server tells; gives how long the slowest
    /// had to wait, from the claim's request to the PVC's answer.
    pub(crate) async fn served_once(
        &self,
        claims: &Namespace,
        count: usize,
        mark: &Mark,
    ) -> Duration {
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
            let (asked, made) = (asked.iter().next().unwrap(), made.iter().next().unwrap());
            slowest = slowest.max(between(&asked.received, &made.answered));
        }
        slowest
    }

    /// What was asked for in the namespace of the claims.
    pub(crate) async fn requests(&self, claims: &Namespace, mark: &Mark) -> Entries {
        let all = self.node.control_plane().audit_since(mark).await;
        all.in_namespace(&claims.name)
    }

    /// Waits until claims are ready.
    pub(crate) async fn ready(&self, claims: &Namespace, name: &str) {
        claims
            .wait_for_ready(CLAIM, name, "True", "Reconciled", DEADLINE)
            .await;
    }
}

pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

pub(crate) fn address(pod: &Value) -> &str {
    pod["status"]["podIP"].as_str().unwrap()
}

/// UID and restarts: what a Pod that goes on keeps.
pub(crate) fn identity(pod: &Value) -> (String, i64) {
    let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
    let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
    (uid, restarts.as_i64().unwrap())
}

fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && condition(pod, "Ready").is_some_and(|it| it["status"] == "True")
}

fn state(pod: &Value) -> String {
    format!(
        "{}: {}",
        name(pod),
        pod["status"]["containerStatuses"][0]["state"]
    )
}

/// The time between two moments of the audit log.
pub(crate) fn between(from: &str, to: &str) -> Duration {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    Duration::try_from(at(to).duration_since(at(from))).unwrap_or_default()
}
