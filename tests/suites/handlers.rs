//! Several Handlers in one host, which do not disturb each other.

use std::fs;
use std::path::Path;

use handler_host_tests::guests::variants::digest;
use handler_host_tests::objects::kinds::{CLAIM, CONFIG_MAP, PUPPET, PVC};
use handler_host_tests::objects::names;
use handler_host_tests::{
    ControlPlane, DEADLINE, Hosted, Operator, TestAccount, eventually, paths, write_atomically,
};
use serde_json::{Value, json};

#[tokio::test]
async fn of_two_handlers_for_one_condition_of_a_kind_the_second_waits_for_the_first_to_go() {
    let hosted = Hosted::start("taken").await;
    let one = hosted.put("one.wasm", "one", "ok");
    let two = hosted.put("two.wasm", "two", "ok");
    hosted.apply("first", &hosted.claims_from("one.wasm")).await;
    hosted.serves("first", &one).await;
    hosted
        .apply("second", &hosted.claims_from("two.wasm"))
        .await;
    let message = hosted.told("second", "Ready", "False", "ParentTaken").await;
    let holder = format!(
        "handler `{}` writes the condition Ready of kopf.dev/v1 EphemeralVolumeClaim already",
        hosted.name("first")
    );
    assert!(message.starts_with(&holder), "{message}");
    let claims = names(2);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;

    hosted.delete("first").await;
    hosted.serves("second", &two).await;
    let told = hosted.told("second", "Ready", "True", "Serving").await;
    assert!(!told.is_empty());
}

#[tokio::test]
async fn a_handler_that_is_removed_leaves_its_children_and_stops() {
    let hosted = Hosted::start("removed").await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    let claims = names(2);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    let before = hosted.versions(PVC).await;
    hosted.delete("evc").await;
    let mut operator = hosted.operator;
    operator
        .wait_for_line("the Handler is gone", DEADLINE)
        .await;
    operator.wait_for_line("stopping", DEADLINE).await;
    let volumes = hosted.namespace.list(PVC).await;
    assert_eq!(volumes.len(), before.len());
}

#[tokio::test]
async fn a_spec_that_will_not_do_leaves_what_was_served_before() {
    let hosted = Hosted::start("spec").await;
    let one = hosted.put("evc.wasm", "one", "ok");
    let mut spec = hosted.claims_from("evc.wasm");
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &one).await;
    // The module refuses this config.
    spec["config"] = json!({"colour": "blue"});
    hosted.apply("evc", &spec).await;
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "DescribeFailed")
        .await;
    assert!(message.contains("colour"), "{message}");
    hosted.told("evc", "Ready", "True", "Serving").await;
    hosted.make(&names(1)).await;
    hosted.follow(&names(1), "one").await;
    // A grant that is withdrawn ends at once.
    spec["config"] = json!({});
    spec["children"] = json!([]);
    hosted.apply("evc", &spec).await;
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "NotGranted")
        .await;
    assert!(message.contains("v1 PersistentVolumeClaim"), "{message}");
    hosted
        .told("evc", "Ready", "False", "ModuleNotLoaded")
        .await;
    let spec = hosted.claims_from("evc.wasm");
    hosted
        .merge("evc", &json!({"spec": {"children": spec["children"]}}))
        .await;
    hosted.serves("evc", &one).await;
}

#[tokio::test]
async fn a_module_takes_the_config_of_now_though_its_successor_is_broken() {
    let hosted = Hosted::start("renewed").await;
    let evc = fs::read(paths::guest("evc").unwrap()).unwrap();
    write_atomically(&hosted.path("evc.wasm"), &evc);
    let mut spec = hosted.claims_from("evc.wasm");
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &digest(&evc)).await;
    write_atomically(&hosted.path("evc.wasm"), &evc[..1000]);
    hosted
        .told("evc", "ModuleLoaded", "False", "InvalidModule")
        .await;
    spec["config"] = json!({"storageClass": "fast"});
    hosted.apply("evc", &spec).await;
    hosted
        .told("evc", "ModuleLoaded", "False", "InvalidModule")
        .await;
    hosted.make(&names(1)).await;
    let is_fast = |volume: &Value| {
        volume["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"] == "fast"
    };
    let volume =
        hosted
            .namespace
            .wait_for(PVC, "claim-0", "is of the class of now", DEADLINE, is_fast);
    volume.await;
}

#[tokio::test]
async fn a_handler_that_is_removed_lets_its_parents_go() {
    let hosted = Hosted::start("let-go").await;
    let puppet = fs::read(paths::guest("puppet").unwrap()).unwrap();
    write_atomically(&hosted.path("puppet.wasm"), &puppet);
    let mut spec = hosted.claims_from("puppet.wasm");
    spec["parent"] = json!({"apiVersion": PUPPET.0, "kind": PUPPET.1});
    spec["children"] = json!([
        {"apiVersion": CONFIG_MAP.0, "kind": CONFIG_MAP.1},
        {"apiVersion": PVC.0, "kind": PVC.1},
    ]);
    spec["config"] = json!({"finalizer": true});
    hosted.apply("puppet", &spec).await;
    hosted.serves("puppet", &digest(&puppet)).await;
    let parent = puppet_of("a");
    hosted.namespace.apply(&parent).await.unwrap();
    let finalizers = |object: &Value| object["metadata"]["finalizers"].as_array().cloned();
    let held = |object: &Value| finalizers(object).is_some_and(|them| !them.is_empty());
    let namespace = &hosted.namespace;
    let is_held = namespace.wait_for(PUPPET, "a", "is held", DEADLINE, held);
    is_held.await;
    hosted.delete("puppet").await;
    let is_free = namespace.wait_for(PUPPET, "a", "is held no more", DEADLINE, |it| !held(it));
    is_free.await;
}

fn puppet_of(name: &str) -> Value {
    handler_host_tests::puppet(name, json!({"do": "apply"}))
}

#[tokio::test]
async fn a_handler_made_anew_does_not_begin_with_what_was_kept_of_the_old_one() {
    let hosted = Hosted::start("anew").await;
    let one = hosted.put("evc.wasm", "one", "ok");
    let mut spec = hosted.claims_from("evc.wasm");
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &one).await;
    hosted.delete("evc").await;
    spec["rollout"] = json!({"preview": "Required"});
    hosted.apply("evc", &spec).await;
    hosted
        .told("evc", "ModuleLoaded", "False", "AwaitingApproval")
        .await;
    hosted
        .told("evc", "Ready", "False", "ModuleNotLoaded")
        .await;
}

#[tokio::test]
async fn a_handler_whose_parents_kind_is_missing_says_so() {
    let hosted = Hosted::start("missing").await;
    hosted.put("evc.wasm", "one", "ok");
    let mut spec = hosted.claims_from("evc.wasm");
    let kind = json!({"apiVersion": "nobody.example/v1", "kind": "Nothing"});
    spec["parent"] = kind.clone();
    spec["config"] = json!({"parent": kind});
    hosted.apply("evc", &spec).await;
    let message = hosted.told("evc", "Ready", "False", "KindNotServed").await;
    assert!(
        message.contains(
            "does not serve nobody.example/v1 Nothing; apply its CustomResourceDefinition"
        ),
        "{message}"
    );
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
}

#[tokio::test]
async fn handlers_are_read_from_files_which_are_followed() {
    let hosted = Hosted::start("from-files").await;
    let directory = hosted.path("handlers");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("evc.yaml");
    let handler = |module: &str| {
        let mut spec = hosted.claims_from("none");
        spec["module"] = json!({"path": module});
        json!({
            "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler",
            "metadata": {"name": "filed"}, "spec": spec,
        })
        .to_string()
    };
    // The path of the module is relative to the file.
    fs::write(&file, handler("../one.wasm")).unwrap();
    hosted.put("one.wasm", "one", "ok");
    hosted.put("two.wasm", "two", "ok");
    let mut operator = serve_files(&hosted, &directory).await;
    operator.wait_for_line("serving", DEADLINE).await;
    let claims = names(2);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;

    // The host reports a file that it cannot use, and goes on with the Handlers that it read before.
    write_atomically(&file, b"kind: Handler");
    operator
        .wait_for_line("the Handlers read before go on", DEADLINE)
        .await;
    write_atomically(&file, handler("../two.wasm").as_bytes());
    hosted.follow(&claims, "two").await;
    assert_eq!(hosted.versions(CLAIM).await.len(), 2);
}

/// A second host, which serves the Handlers of a directory.
async fn serve_files(hosted: &Hosted, directory: &Path) -> Operator {
    Operator::of(ControlPlane::shared().await, TestAccount::Host)
        .namespace(&hosted.namespace.name)
        .arg("--state-dir")
        .arg(hosted.path("other-state"))
        .arg("--handler")
        .arg(directory)
        .start()
}

#[tokio::test]
async fn of_many_files_each_is_served_whatever_is_wrong_with_another() {
    const FILES: usize = 200;
    let hosted = Hosted::start("many-files").await;
    hosted.put("one.wasm", "one", "ok");
    let directory = hosted.path("handlers");
    fs::create_dir(&directory).unwrap();
    for index in 0..FILES {
        let mut spec = hosted.claims_from("one.wasm");
        if index + 1 < FILES {
            // No CRD defines these.
            spec["parent"] =
                json!({"apiVersion": "nowhere.test/v1", "kind": format!("Kind{index}")});
        }
        let handler = json!({
            "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler",
            "metadata": {"name": format!("filed-{index}")}, "spec": spec,
        });
        let text = match index {
            // One of those that are read while others are served.
            150 => "hunter2: [".to_owned(),
            _ => handler.to_string(),
        };
        fs::write(directory.join(format!("{index:03}.yaml")), text).unwrap();
    }
    let mut operator = serve_files(&hosted, &directory).await;
    let told = operator
        .wait_for_line("150.yaml is not YAML", DEADLINE)
        .await;
    assert!(told.contains("; the Handlers read before go on"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let last = format!("handler=filed-{}", FILES - 1);
    let is_served = async || {
        let lines = operator.lines_with("serving");
        let found = lines.iter().any(|line| line.contains(&last));
        found.then_some(()).ok_or_else(|| operator.log())
    };
    eventually("the last Handler is served", DEADLINE, is_served).await;
    // The modules of all share one inotify instance.
    let descriptors = fs::read_dir(format!("/proc/{}/fd", operator.pid())).unwrap();
    let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    let is_inotify = |link: &std::path::PathBuf| link.to_string_lossy().contains("inotify");
    assert_eq!(links.filter(is_inotify).count(), 1);

    write_atomically(&directory.join("150.yaml"), b"- hunter2");
    let told = operator
        .wait_for_line("150.yaml, document 1: a list is no Handler", DEADLINE)
        .await;
    assert!(!told.contains("hunter2"), "{told}");
}
