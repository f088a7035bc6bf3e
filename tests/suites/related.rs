//! Related objects: what a handler sees beside its parents and children, and when it is called because of that.

use handler_host_tests::control_plane::follow_advice;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET, ResourceKind};
use handler_host_tests::objects::{condition, config_map, object, puppet};
use handler_host_tests::{ControlPlane, DEADLINE, Hosted, Namespace, PuppetNamespace, paths};
use serde_json::{Value, json};

const SECRET: ResourceKind = ("v1", "Secret");

/// The spec of a Puppet whose child says which objects answer these queries.
fn relate(queries: &Value) -> Value {
    json!({"do": "relate", "queries": queries})
}

/// A ConfigMap with a value that the child tells, and these labels.
fn source(name: &str, value: &str, labels: &Value) -> Value {
    let mut source = config_map(name, "value", value);
    source["metadata"]["labels"] = labels.clone();
    source
}

/// Waits until the child of a Puppet says that these objects answer a query. `NS` in `answer` stands for the namespace.
async fn answered(namespace: &Namespace, puppet: &str, query: usize, answer: &str) {
    let answer = answer.replace("NS", &namespace.name);
    let field = format!("answer-{query}");
    let what = format!("{field} is {answer:?}");
    let is = |found: &Value| found["data"][&field] == answer.as_str();
    namespace
        .wait_for(CONFIG_MAP, puppet, &what, DEADLINE, is)
        .await;
}

/// A namespace of Puppets whose handler asks for ConfigMaps.
async fn served(prefix: &str) -> PuppetNamespace {
    let related = r#"related=[{"apiVersion": "v1", "kind": "ConfigMap"}]"#;
    PuppetNamespace::serve_with(prefix, &["--config", related]).await
}

/// The spec of a Handler of Puppets that may see these.
fn handler_of(related: &Value, described: &Value) -> Value {
    let parent = json!({"apiVersion": PUPPET.0, "kind": PUPPET.1});
    let children = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    json!({
        "module": {"path": paths::guest("puppet").unwrap()},
        "parent": parent,
        "children": children,
        "related": related,
        "config": {"parent": parent, "children": children, "related": described},
    })
}

fn kinds(kind: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind}])
}

#[tokio::test]
async fn a_handler_is_called_when_an_object_appears_changes_goes_or_gains_or_loses_a_label() {
    let puppets = served("related").await;
    let namespace = &puppets.namespace;
    let queries = json!([{"name": "one"}, {"labels": {"copy": "yes"}}]);
    puppets.apply("p", &relate(&queries)).await;
    answered(namespace, "p", 0, "").await;
    let put = async |name: &str, value: &str, labels: Value| {
        let applied = namespace.apply(&source(name, value, &labels)).await;
        applied.unwrap();
    };
    put("one", "1", json!({})).await;
    answered(namespace, "p", 0, "NS/one=1").await;
    put("one", "2", json!({})).await;
    answered(namespace, "p", 0, "NS/one=2").await;
    answered(namespace, "p", 1, "").await;
    put("two", "1", json!({"copy": "yes"})).await;
    answered(namespace, "p", 1, "NS/two=1").await;
    put("one", "2", json!({"copy": "yes"})).await;
    answered(namespace, "p", 1, "NS/one=2 NS/two=1").await;
    put("two", "1", json!({"copy": "no"})).await;
    answered(namespace, "p", 1, "NS/one=2").await;
    namespace.delete(CONFIG_MAP, "one").await.unwrap();
    answered(namespace, "p", 0, "").await;
    answered(namespace, "p", 1, "").await;
}

#[tokio::test]
async fn a_change_leads_to_calls_for_the_parents_that_ask_for_the_object_and_for_no_others() {
    let puppets = served("related-index").await;
    let namespace = &puppets.namespace;
    for name in ["a", "b"] {
        puppets
            .apply(name, &relate(&json!([{"name": format!("source-{name}")}])))
            .await;
        answered(namespace, name, 0, "").await;
    }
    puppets.while_others_are_called().await;
    let (of_a, of_b) = (puppets.calls("a").len(), puppets.calls("b").len());
    namespace
        .apply(&source("source-a", "1", &json!({})))
        .await
        .unwrap();
    answered(namespace, "a", 0, "NS/source-a=1").await;
    puppets.while_others_are_called().await;
    // One for the object, and one for what came of it.
    assert_eq!(puppets.calls("a").len(), of_a + 2);
    assert_eq!(puppets.calls("b").len(), of_b);
}

#[tokio::test]
async fn another_spec_asks_for_other_objects() {
    let puppets = served("related-spec").await;
    let namespace = &puppets.namespace;
    for name in ["one", "two"] {
        let applied = namespace.apply(&source(name, "1", &json!({}))).await;
        applied.unwrap();
    }
    for name in ["one", "two", "one"] {
        puppets.apply("p", &relate(&json!([{"name": name}]))).await;
        answered(namespace, "p", 0, &format!("NS/{name}=1")).await;
    }
    puppets.while_others_are_called().await;
    let calls = puppets.calls("p").len();
    namespace
        .apply(&source("two", "2", &json!({})))
        .await
        .unwrap();
    puppets.while_others_are_called().await;
    assert_eq!(puppets.calls("p").len(), calls);
}

#[tokio::test]
async fn secrets_are_seen_by_the_names_and_namespaces_that_are_granted_and_no_others() {
    let hosted = Hosted::start("related-secrets").await;
    let namespace = &hosted.namespace;
    let infra = Namespace::create(ControlPlane::shared().await, "related-infra").await;
    let related = json!([{
        "apiVersion": "v1", "kind": "Secret", "namespaces": [infra.name], "names": ["ca"],
    }]);
    hosted
        .apply("puppet", &handler_of(&related, &kinds("Secret")))
        .await;
    let message = hosted
        .told("puppet", "Authorized", "False", "Forbidden")
        .await;
    let right = format!("get, list and watch secrets ca in namespace {}", infra.name);
    assert!(message.contains(&right), "{message}");
    follow_advice(&message).await;
    hosted
        .told("puppet", "Authorized", "True", "Authorized")
        .await;
    for name in ["ca", "other"] {
        let secret = object("v1", "Secret", name, &json!({"data": {"value": "MQ=="}}));
        infra.apply(&secret).await.unwrap();
    }
    let ask = |namespace: &str, name: Option<&str>| {
        let kind = json!({"apiVersion": SECRET.0, "kind": SECRET.1});
        relate(&json!([{"kind": kind, "namespace": namespace, "name": name}]))
    };
    let all = ask(&infra.name, None);
    namespace.apply(&puppet("all", all)).await.unwrap();
    answered(namespace, "all", 0, &format!("{}/ca=MQ==", infra.name)).await;
    for (name, spec, told) in [
        (
            "other-name",
            ask(&infra.name, Some("other")),
            "asked for v1 Secret other, which it is not granted",
        ),
        (
            "other-place",
            ask("kube-system", Some("ca")),
            "in namespace \"kube-system\", which it is not granted",
        ),
        (
            "other-kind",
            relate(&json!([{"name": "x"}])),
            "may not see v1 ConfigMap, which it does not describe as related",
        ),
    ] {
        namespace.apply(&puppet(name, spec)).await.unwrap();
        let denied = namespace
            .wait_for_ready(PUPPET, name, "False", "Denied", DEADLINE)
            .await;
        let message = &condition(&denied, "Ready").unwrap()["message"];
        assert!(message.as_str().unwrap().contains(told), "{message}");
        assert_eq!(namespace.get(CONFIG_MAP, name).await, None);
    }
}

#[tokio::test]
async fn a_query_that_matches_too_much_is_denied_until_it_matches_less() {
    let hosted = Hosted::start("related-limit").await;
    let namespace = &hosted.namespace;
    let mut spec = handler_of(&kinds("ConfigMap"), &kinds("ConfigMap"));
    spec["limits"] = json!({"related": 2});
    hosted.apply("puppet", &spec).await;
    for name in ["one", "two", "three"] {
        let labels = json!({"copy": "yes"});
        let applied = namespace.apply(&source(name, "1", &labels)).await;
        applied.unwrap();
    }
    let many = relate(&json!([{"labels": {"copy": "yes"}}]));
    namespace.apply(&puppet("many", many)).await.unwrap();
    let few = relate(&json!([{"name": "one"}]));
    namespace.apply(&puppet("few", few)).await.unwrap();
    let denied = namespace
        .wait_for_ready(PUPPET, "many", "False", "Denied", DEADLINE)
        .await;
    let message = &condition(&denied, "Ready").unwrap()["message"];
    let told = "asked for 3 objects, its limit is 2; ask for fewer, or give the handler a higher limits.related";
    assert!(message.as_str().unwrap().contains(told), "{message}");
    answered(namespace, "few", 0, "NS/one=1").await;
    namespace.delete(CONFIG_MAP, "three").await.unwrap();
    answered(namespace, "many", 0, "NS/one=1 NS/two=1").await;
}

#[tokio::test]
async fn a_handler_that_fails_at_its_queries_fails_for_the_parent_as_in_a_call() {
    let puppets = served("related-failures").await;
    let permanent = json!({"do": "askPermanent", "message": "Source must be set."});
    puppets.apply("permanent", &permanent).await;
    let message = puppets
        .outcome("permanent", "False", "PermanentFailure")
        .await;
    assert_eq!(message, "Source must be set.");
    puppets.apply("trap", &json!({"do": "askTrap"})).await;
    let message = puppets.outcome("trap", "False", "Trapped").await;
    assert!(message.contains("the spec says do: askTrap"), "{message}");
    let spec = relate(&json!([{"kind": {"apiVersion": "v1", "kind": "Secret"}, "name": "x"}]));
    puppets.apply("denied", &spec).await;
    puppets.outcome("denied", "False", "Denied").await;
    // None of them is asked without end.
    let since = puppets.mark();
    puppets.while_others_are_called().await;
    let requests = puppets.requests(&since).await;
    for name in ["permanent", "denied"] {
        assert_eq!(requests.named(name).count(), 0, "{requests}");
    }
    puppets.apply("permanent", &relate(&json!([]))).await;
    puppets.served("permanent").await;
}

#[tokio::test]
async fn what_is_described_has_to_be_granted() {
    let hosted = Hosted::start("related-grant").await;
    let spec = handler_of(&json!([]), &kinds("ConfigMap"));
    hosted.apply("puppet", &spec).await;
    let message = hosted
        .told("puppet", "ModuleLoaded", "False", "NotGranted")
        .await;
    let told = "describes the related kind v1 ConfigMap, which it is not granted; grant it in spec.related";
    assert!(message.contains(told), "{message}");
    let mut spec = handler_of(&json!([]), &json!([]));
    spec["config"]["clockMs"] = json!(30_000);
    hosted.apply("puppet", &spec).await;
    let told = "describes a clock, which it is not granted; grant it in spec.clock";
    hosted
        .told_that("puppet", "ModuleLoaded", "NotGranted", told)
        .await;
    spec["clock"] = json!("1m");
    hosted.apply("puppet", &spec).await;
    let told = "describes a clock of 30s, it is granted one of 60s";
    hosted
        .told_that("puppet", "ModuleLoaded", "NotGranted", told)
        .await;
    spec["clock"] = json!("30s");
    hosted.apply("puppet", &spec).await;
    hosted.told("puppet", "Ready", "True", "Serving").await;
}

#[tokio::test]
async fn handlers_that_see_the_same_share_one_watch_and_a_restart_writes_nothing() {
    let mut hosted = Hosted::start("related-shared").await;
    let related = json!([{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchLabels": {"copy": "yes"}}}]);
    let since = hosted.mark();
    hosted
        .apply("puppet", &handler_of(&related, &kinds("ConfigMap")))
        .await;
    hosted.told("puppet", "Ready", "True", "Serving").await;
    let mut claims = hosted.claims_from("evc.wasm");
    claims["related"] = related;
    hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &claims).await;
    hosted.told("evc", "Ready", "True", "Serving").await;
    let of_selector = async |hosted: &Hosted, since| {
        let requests = hosted.requests(since).await.resource("configmaps");
        let of_selector = |uri: &str| uri.contains("labelSelector=copy%3Dyes");
        let watches = requests.verb("watch").only(|entry| of_selector(&entry.uri));
        watches.count()
    };
    assert_eq!(of_selector(&hosted, &since).await, 1);
    let namespace = &hosted.namespace;
    let labels = json!({"copy": "yes"});
    let applied = namespace.apply(&source("one", "1", &labels)).await;
    applied.unwrap();
    let spec = relate(&json!([{"name": "one"}]));
    namespace.apply(&puppet("p", spec)).await.unwrap();
    answered(namespace, "p", 0, "NS/one=1").await;
    // A handler that ends leaves the watch to the other.
    hosted.delete("evc").await;
    let applied = namespace.apply(&source("one", "2", &labels)).await;
    applied.unwrap();
    answered(namespace, "p", 0, "NS/one=2").await;
    namespace
        .wait_for_ready(PUPPET, "p", "True", "Reconciled", DEADLINE)
        .await;
    let since = hosted.mark();
    hosted.restart().await;
    hosted.operator.wait_for_line("serving", DEADLINE).await;
    let applied = hosted.namespace.apply(&source("one", "3", &labels)).await;
    applied.unwrap();
    answered(&hosted.namespace, "p", 0, "NS/one=3").await;
    let writes = hosted.requests(&since).await.writes();
    let of_child = writes.resource("configmaps").named("p");
    assert_eq!(of_child.count(), 1, "{writes}");
}

#[tokio::test]
async fn the_time_of_day_is_rounded_down_and_a_handler_wakes_when_it_asks() {
    let puppets = PuppetNamespace::serve_with("clock", &["--config", "clockMs=1000"]).await;
    let namespace = &puppets.namespace;
    let told = async |than: u64| {
        let now = |found: &Value| found["data"]["now"].as_str().and_then(|it| it.parse().ok());
        let what = format!("it is told a time after {than}");
        let is = |found: &Value| now(found).is_some_and(|it: u64| it > than);
        let found = namespace
            .wait_for(CONFIG_MAP, "p", &what, DEADLINE, is)
            .await;
        assert_eq!(found["data"]["wall"], "true", "{found}");
        now(&found).unwrap()
    };
    let spec = json!({"do": "relate", "requeueAtMs": 2000});
    puppets.apply("p", &spec).await;
    let first = told(0).await;
    let second = told(first).await;
    assert_eq!([first % 1000, second % 1000], [0, 0]);
    assert!(second >= first + 2000, "{first} {second}");
}

#[tokio::test]
async fn without_a_clock_the_wall_clock_stands_at_a_fixed_time() {
    let puppets = PuppetNamespace::serve("no-clock").await;
    puppets.apply("p", &json!({"do": "entropy"})).await;
    let puppet = puppets.served("p").await;
    assert_eq!(puppet["metadata"]["name"], "p");
    let found = puppets.config_map("p").await.unwrap();
    assert!(found["data"].to_string().contains("946684800"), "{found}");
}

#[tokio::test]
async fn a_module_of_the_world_0_1_is_served_beside_one_of_0_2() {
    let hosted = Hosted::start("world-0-1").await;
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/kept/evc-0.1.0.wasm");
    std::fs::copy(kept, hosted.path("evc.wasm")).unwrap();
    let mut spec = hosted.claims_from("evc.wasm");
    spec["config"] = json!({"storageClass": "fast"});
    hosted.apply("evc", &spec).await;
    hosted
        .apply(
            "puppet",
            &handler_of(&kinds("ConfigMap"), &kinds("ConfigMap")),
        )
        .await;
    let claims = ["one".to_owned()];
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    let namespace = &hosted.namespace;
    namespace
        .apply(&puppet("p", relate(&json!([{"name": "one"}]))))
        .await
        .unwrap();
    answered(namespace, "p", 0, "").await;
}
