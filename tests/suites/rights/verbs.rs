//! The host uses each of the rights that `rbac` prints: without any one of them, a request is refused.

use std::fs;
use std::time::Duration;

use futures::future::join_all;
use handler_host_tests::guests::variants::digest;
use handler_host_tests::objects::kinds::CONFIG_MAP;
use handler_host_tests::objects::things::{THINGS, thing};
use handler_host_tests::objects::{condition, config_map, manifest, object, resource};
use handler_host_tests::{
    AuditEntries, AuditEntry, ControlPlane, Hosted, Mark, TestAccount, eventually, handler_host,
    paths, write_atomically,
};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// The index of the first kind of things of this suite.
const FIRST: usize = 100;
const DEADLINE: Duration = Duration::from_secs(120);

/// The resource and verb of a right that is taken away, and the resource and verb of the request that is then refused.
/// `things` stands for the plural of a kind of things. The first case takes no right away.
type MissingRight = (&'static str, &'static str, &'static str, &'static str);

const CASES: [MissingRight; 12] = [
    ("", "", "", ""),
    ("things", "list", "things", "list"),
    ("things", "watch", "things", "watch"),
    // The host writes the finalizer.
    ("things", "patch", "things", "patch"),
    ("things/status", "patch", "things/status", "patch"),
    // Owner references that block deletion need this right.
    ("things/finalizers", "update", "configmaps", "patch"),
    ("configmaps", "get", "configmaps", "get"),
    ("configmaps", "list", "configmaps", "list"),
    ("configmaps", "watch", "configmaps", "watch"),
    // An apply that would create an object needs this right.
    ("configmaps", "create", "configmaps", "patch"),
    ("configmaps", "patch", "configmaps", "patch"),
    ("configmaps", "delete", "configmaps", "delete"),
];

/// A Handler that lacks a right, and its parent.
struct VerbCase<'a> {
    hosted: &'a Hosted,
    mark: Mark,
    index: usize,
    missing: MissingRight,
}

impl VerbCase<'_> {
    fn plural(&self) -> String {
        format!("thing{}s", FIRST + self.index)
    }

    /// The name of a resource of a case in the cluster.
    fn named(&self, resource: &str) -> String {
        resource.replace("things", &self.plural())
    }

    fn name(&self, part: &str) -> String {
        format!("{part}-{}", self.index)
    }

    async fn refused(&self) -> AuditEntries {
        let user = self.hosted.service_account_user(&self.name("case"));
        let requests = self.hosted.requests(&self.mark).await;
        // OwnerReferencesPermissionEnforcement makes its list of kinds anew twice a minute, and refuses everybody meanwhile.
        let is_of_the_list = |message: &str| message.contains("cannot find RESTMapping");
        requests
            .only(|it| it.impersonated == user && it.code == 403 && !is_of_the_list(&it.message))
    }

    /// Whether this is the request that must be refused.
    fn is_expected(&self, entry: &AuditEntry) -> bool {
        let resource = if entry.subresource.is_empty() {
            entry.resource.clone()
        } else {
            format!("{}/{}", entry.resource, entry.subresource)
        };
        resource == self.named(self.missing.2) && entry.verb == self.missing.3
    }

    fn things(&self) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.hosted.namespace.client.clone(),
            &self.hosted.namespace.name,
            &resource(THINGS, &thing(FIRST + self.index)),
        )
    }

    /// Lets the thing desire these children, and waits until a request is refused or `is_so` holds.
    async fn desire(&self, what: &str, children: &[Value], is_so: impl AsyncFn() -> bool) {
        let name = self.name("parent");
        let spec = json!({"spec": {"do": "apply", "children": children}});
        let thing = object(THINGS, &thing(FIRST + self.index), &name, &spec);
        let params = PatchParams::apply("tests").force();
        let patch = Patch::Apply(&thing);
        self.things().patch(&name, &params, &patch).await.unwrap();
        self.until(what, is_so).await;
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let what = format!("{:?}: {what}", self.missing);
        eventually(&what, DEADLINE, async || {
            let refused = self.refused().await;
            if refused.count() > 0 || is_so().await {
                return Ok(());
            }
            Err(format!(
                "nothing is refused\n{}",
                self.hosted.operator.log()
            ))
        })
        .await;
    }

    async fn reason(&self) -> Option<String> {
        let thing = self.things().get_opt(&self.name("parent")).await.unwrap()?;
        let ready = condition(&thing.data, "Ready")?.clone();
        ready["reason"].as_str().map(str::to_owned)
    }

    /// Does everything for which a host needs rights, from the first child to the end of the parent.
    async fn run(&self) {
        let (own, foreign) = (self.name("own"), self.name("foreign"));
        let namespace = &self.hosted.namespace;
        namespace
            .create_object(&config_map(&foreign, "key", "a"))
            .await
            .unwrap();
        let both = [
            config_map(&own, "key", "a"),
            config_map(&foreign, "key", "b"),
        ];
        self.desire("one child is made, one is foreign", &both, async || {
            self.reason().await.as_deref() == Some("Conflict")
        })
        .await;
        self.desire(
            "the child is changed",
            &[config_map(&own, "key", "c")],
            async || {
                let map = namespace.get(CONFIG_MAP, &own).await;
                map.is_some_and(|map| map["data"]["key"] == "c")
                    && self.reason().await.as_deref() == Some("Reconciled")
            },
        )
        .await;
        self.desire("the child is deleted", &[], async || {
            namespace.get(CONFIG_MAP, &own).await.is_none()
        })
        .await;
        let gone = self
            .things()
            .delete(&self.name("parent"), &DeleteParams::default())
            .await;
        gone.unwrap();
        self.until("the parent is let go", async || {
            self.things()
                .get_opt(&self.name("parent"))
                .await
                .unwrap()
                .is_none()
        })
        .await;
        let refused = self.refused().await;
        if self.missing.1.is_empty() {
            assert_eq!(refused.count(), 0, "{refused}");
        } else {
            assert!(
                refused.iter().any(|it| self.is_expected(it)),
                "{:?}: {refused}",
                self.missing
            );
            self.wait_until_told().await;
        }
    }

    async fn wait_until_told(&self) {
        let (mut resource, verb) = (self.named(self.missing.0), self.missing.1);
        if resource.starts_with("thing") {
            let group = THINGS.split('/').next().unwrap();
            let plural = self.plural();
            resource = resource.replacen(&plural, &format!("{plural}.{group}"), 1);
        }
        let told = format!(
            "{} may not {verb} {resource} in namespace {}; grant it: ",
            self.hosted.service_account_user(&self.name("case")),
            self.hosted.namespace.name
        );
        let handler = self.name("case");
        self.hosted
            .told_that(&handler, "Authorized", "Forbidden", &told)
            .await;
    }
}

fn spec(hosted: &Hosted, index: usize) -> Value {
    let parent = json!({"apiVersion": THINGS, "kind": thing(FIRST + index)});
    let children = json!([{"apiVersion": CONFIG_MAP.0, "kind": CONFIG_MAP.1}]);
    json!({
        "module": {"path": hosted.path("puppet.wasm")},
        "parent": parent,
        "children": children,
        "serviceAccount": {"namespace": hosted.namespace.name, "name": format!("case-{index}")},
        "config": {"parent": parent, "children": children, "finalizer": true},
    })
}

/// Applies what `rbac` prints for all cases, without the right that each case lacks.
async fn grant(hosted: &Hosted) {
    let directory = hosted.path("handlers");
    fs::create_dir(&directory).unwrap();
    for index in 0..CASES.len() {
        let handler = json!({
            "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler",
            "metadata": {"name": hosted.name(&format!("case-{index}"))},
            "spec": spec(hosted, index),
        });
        fs::write(directory.join(format!("{index}.json")), handler.to_string()).unwrap();
    }
    let kubeconfig = ControlPlane::shared().await.kubeconfig(TestAccount::Admin);
    let arguments = [
        "rbac",
        "--output",
        "json",
        "--namespace",
        &hosted.namespace.name,
    ];
    let mut arguments: Vec<_> = arguments.iter().map(std::ffi::OsString::from).collect();
    for argument in [
        "--handler".as_ref(),
        directory.as_os_str(),
        "--kubeconfig".as_ref(),
        kubeconfig.as_os_str(),
    ] {
        arguments.push(argument.to_owned());
    }
    let printed = handler_host(arguments).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    let list: Value = serde_json::from_str(&printed.stdout).unwrap();
    let mut objects = list["items"].as_array().unwrap().clone();
    for (index, (resource, verb, ..)) in CASES.iter().enumerate() {
        let name = format!("handler-host:{}", hosted.name(&format!("case-{index}")));
        let plural = format!("thing{}s", FIRST + index);
        let resource = resource.replace("things", &plural);
        let mut roles = objects.iter_mut();
        let is_role =
            |it: &&mut Value| it["kind"] == "Role" && it["metadata"]["name"] == name.as_str();
        let role = roles.find(is_role).unwrap();
        let rules = role["rules"].as_array_mut().unwrap();
        for rule in rules.iter_mut() {
            if rule["resources"] == json!([resource]) {
                rule["verbs"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|known| known != verb);
            }
        }
        // The API server refuses a rule without verbs.
        rules.retain(|rule| rule["verbs"] != json!([]));
    }
    manifest::apply(&hosted.namespace.client, &objects)
        .await
        .unwrap();
}

#[tokio::test]
async fn without_any_of_the_printed_rights_something_is_refused_and_with_all_nothing() {
    let hosted = Hosted::start_as("verbs", TestAccount::Deployed, &[]).await;
    for index in 0..CASES.len() {
        hosted.install_thing(FIRST + index).await;
    }
    let puppet = fs::read(paths::guest("puppet").unwrap()).unwrap();
    write_atomically(&hosted.path("puppet.wasm"), &puppet);
    grant(&hosted).await;
    let mark = hosted.mark();
    for index in 0..CASES.len() {
        hosted
            .apply(&format!("case-{index}"), &spec(&hosted, index))
            .await;
    }
    hosted.serves("case-0", &digest(&puppet)).await;
    let cases: Vec<_> = CASES
        .iter()
        .enumerate()
        .map(|(index, missing)| VerbCase {
            hosted: &hosted,
            mark,
            index,
            missing: *missing,
        })
        .collect();
    join_all(cases.iter().map(VerbCase::run)).await;
}
