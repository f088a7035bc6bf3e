//! Modules swapped under a running host: which ones take over, and which ones change nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use handler_host_tests::guests::variants::digest;
use handler_host_tests::objects::kinds::{CLAIM, CONFIG_MAP, PVC};
use handler_host_tests::objects::{module_map, names};
use handler_host_tests::{Hosted, variant, write_atomically};
use rstest::rstest;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);

/// A host with one Handler of claims that has the module `evc.wasm`, variant `one`, and three claims, all ready. Returns
/// the digest of the module too.
async fn serving(prefix: &str) -> (Hosted, Vec<String>, String) {
    let hosted = Hosted::start(prefix).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    let claims = names(3);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;
    hosted.ready(&claims).await;
    (hosted, claims, one)
}

#[tokio::test]
async fn a_new_module_takes_over_and_every_claim_follows() {
    let (hosted, claims, one) = serving("swap").await;
    let mark = hosted.mark();
    let two = hosted.put("evc.wasm", "two", "ok");
    let handler = hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "two").await;
    hosted.ready(&claims).await;

    let status = &handler["status"];
    assert_eq!(status["lastSwap"]["from"], one);
    assert_eq!(status["lastSwap"]["to"], two);
    assert_eq!(status["module"]["shortDigest"], two[7..19]);
    assert_eq!(status["module"]["world"], "handler-host:handler@0.2.0");
    assert_eq!(
        status["granted"]["children"],
        json!([{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}])
    );
    let mut described = status["granted"].clone();
    described["finalizer"] = json!(false);
    assert_eq!(status["described"], described);
    // The new module writes each volume claim once, and no other volume claim is written.
    let writes = hosted
        .requests(&mark)
        .await
        .writes()
        .resource("persistentvolumeclaims");
    assert_eq!(writes.count(), 4, "{writes}");
    assert_eq!(hosted.operator.lines_with("swapped the module").len(), 2);
}

/// How the file of a module changes.
#[derive(Clone, Copy, Debug)]
enum FileChange {
    Rename,
    InPlace,
    Symlink,
}

#[rstest]
#[case::an_atomic_rename(FileChange::Rename)]
#[case::a_write_in_place(FileChange::InPlace)]
#[case::the_flip_of_a_mounted_volume(FileChange::Symlink)]
#[tokio::test]
async fn a_file_is_followed_however_it_changes(#[case] change: FileChange) {
    let hosted = Hosted::start("ways").await;
    // The kubelet makes a volume in this way: evc.wasm is a symbolic link to ..data/evc.wasm, and ..data is one to the
    // directory of the present version.
    let mounted = hosted.path("volume");
    let version = |name: &str| {
        let directory = mounted.join(format!("..{name}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("evc.wasm"), variant(name, "ok")).unwrap();
    };
    version("one");
    symlink("..one", mounted.join("..data")).unwrap();
    symlink("..data/evc.wasm", mounted.join("evc.wasm")).unwrap();
    let path = match change {
        FileChange::Symlink => mounted.join("evc.wasm"),
        FileChange::Rename | FileChange::InPlace => {
            hosted.put("evc.wasm", "one", "ok");
            hosted.path("evc.wasm")
        }
    };
    let mut spec = hosted.claims_from("evc.wasm");
    spec["module"]["path"] = json!(path);
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &digest(&variant("one", "ok"))).await;

    match change {
        FileChange::Rename => write_atomically(&path, &variant("two", "ok")),
        FileChange::InPlace => fs::write(&path, variant("two", "ok")).unwrap(),
        FileChange::Symlink => {
            version("two");
            symlink("..two", mounted.join("..data_tmp")).unwrap();
            fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).unwrap();
        }
    }
    hosted.serves("evc", &digest(&variant("two", "ok"))).await;
}

/// Modules that cannot take over: a name, the bytes, the reason of the condition, and a part of its message.
fn candidates() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let whole = variant("bad", "ok");
    let component = wat::parse_str("(component)").unwrap();
    vec![
        (
            "cut",
            whole[..whole.len() / 2].to_vec(),
            "InvalidModule",
            "is broken",
        ),
        ("empty", Vec::new(), "InvalidModule", "is empty"),
        (
            "another world",
            component,
            "InvalidModule",
            "is a component of another world",
        ),
        (
            "more than granted",
            variant("bad", "describeMore"),
            "NotGranted",
            "describes the child kind v1 Secret, which it is not granted",
        ),
        (
            "traps in describe",
            variant("bad", "describeTrap"),
            "DescribeFailed",
            "this variant traps when it is asked what it is",
        ),
    ]
}

#[tokio::test]
async fn a_candidate_that_will_not_do_changes_nothing_but_the_handlers_condition() {
    let (hosted, claims, one) = serving("refused").await;
    let (claims_before, volumes_before) =
        (hosted.versions(CLAIM).await, hosted.versions(PVC).await);
    for (what, bytes, reason, part) in candidates() {
        write_atomically(&hosted.path("evc.wasm"), &bytes);
        hosted.told_that("evc", "ModuleLoaded", reason, part).await;
        let handler = hosted.serves("evc", &one).await;
        assert_eq!(handler["status"]["module"]["digest"], one, "{what}");
    }
    fs::remove_file(hosted.path("evc.wasm")).unwrap();
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "FetchFailed")
        .await;
    assert!(message.contains("there is no such file"), "{message}");

    assert_eq!(hosted.versions(CLAIM).await, claims_before);
    assert_eq!(hosted.versions(PVC).await, volumes_before);
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "one").await;
    for reason in [
        "InvalidModule",
        "NotGranted",
        "DescribeFailed",
        "FetchFailed",
    ] {
        hosted.event("evc", reason).await;
    }

    // A good module in the file is loaded without any other change.
    let two = hosted.put("evc.wasm", "two", "ok");
    hosted.serves("evc", &two).await;
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
    hosted.follow(&claims, "two").await;
}

#[tokio::test]
async fn a_pinned_module_is_the_only_one_that_loads() {
    let (hosted, claims, one) = serving("pinned").await;
    let mut spec = hosted.claims_from("evc.wasm");
    spec["module"]["digest"] = json!(one);
    hosted.apply("evc", &spec).await;
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
    let two = hosted.put("evc.wasm", "two", "ok");
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "DigestMismatch")
        .await;
    assert!(
        message.contains(&format!("holds {two}, but {one} is pinned")),
        "{message}"
    );
    hosted.serves("evc", &one).await;

    spec["module"]["digest"] = json!(two);
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;
}

#[tokio::test]
async fn a_config_map_is_a_source_that_may_go_and_come_back() {
    let hosted = Hosted::start("config-map").await;
    let put = async |name: &str| {
        let module = variant(name, "ok");
        let object = module_map("modules", "evc.wasm", &module);
        hosted.namespace.apply(&object).await.unwrap();
        digest(&module)
    };
    let one = put("one").await;
    let mut spec = hosted.claims_from("none");
    spec["module"] = json!({"configMap": {
        "namespace": hosted.namespace.name, "name": "modules", "key": "evc.wasm",
    }});
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &one).await;
    let claims = names(2);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;

    let two = put("two").await;
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;

    hosted
        .namespace
        .delete(CONFIG_MAP, "modules")
        .await
        .unwrap();
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "FetchFailed")
        .await;
    assert!(
        message.contains("there is no ConfigMap modules"),
        "{message}"
    );
    hosted.serves("evc", &two).await;
    put("two").await;
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
    let three = put("three").await;
    hosted.serves("evc", &three).await;
    hosted.follow(&claims, "three").await;
}

#[tokio::test]
async fn a_module_is_compiled_once_and_again_only_where_its_code_was_damaged() {
    let mut hosted = Hosted::start("compiled").await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    assert_eq!(hosted.operator.lines_with("DEBUG compiled").len(), 1);

    let served_with = async |hosted: &mut Hosted, line: &str, claim: &str| {
        hosted.restart().await;
        hosted.operator.wait_for_line(line, DEADLINE).await;
        hosted.make(&[claim.to_owned()]).await;
        hosted.follow(&[claim.to_owned()], "one").await;
    };
    served_with(&mut hosted, "took compiled code that was kept", "a").await;
    assert!(hosted.operator.lines_with("DEBUG compiled").is_empty());

    let code = fs::read_dir(hosted.path("state/code")).unwrap();
    for file in code {
        fs::write(file.unwrap().path(), b"half").unwrap();
    }
    served_with(&mut hosted, "DEBUG compiled", "b").await;

    if !rustix::process::geteuid().is_root() {
        // Only root can give a file to another user.
        return;
    }
    let code = fs::read_dir(hosted.path("state/code")).unwrap();
    for file in code {
        std::os::unix::fs::chown(file.unwrap().path(), Some(1000), None).unwrap();
    }
    served_with(&mut hosted, "DEBUG compiled", "c").await;
    let told = hosted
        .operator
        .lines_with("is not executed, and compiled again");
    assert!(told[0].contains("it is owned by user 1000"), "{told:?}");
}
