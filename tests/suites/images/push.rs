//! The command `push`.

use handler_host_core::Digest;
use handler_host_registry::fetch;
use handler_host_tests::programs::handler_host::handler_host_with;
use handler_host_tests::registry::PASSWORD;
use handler_host_tests::registry::modules::{access, image};
use handler_host_tests::{HostileRegistry, Output, Registry, RegistryBehaviour, paths};
use serde_json::Value;

async fn push(arguments: &[&str], docker: &str) -> Output {
    let guest = paths::guest("evc").unwrap();
    let guest = guest.to_str().unwrap();
    let arguments = arguments
        .iter()
        .map(|argument| argument.replace("EVC", guest));
    let arguments: Vec<_> = std::iter::once("push".to_owned())
        .chain(arguments)
        .collect();
    handler_host_with(&arguments, &[("DOCKER_CONFIG", docker)], "").await
}

fn complaint(output: &Output) -> &str {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let complaint = output.stderr.strip_prefix("error: ");
    complaint.unwrap_or_else(|| panic!("{output:?}")).trim_end()
}

#[tokio::test]
async fn a_handler_is_pushed_and_what_pins_it_is_printed() {
    let registry = Registry::start().await;
    let reference = registry.image("acme/evc:1");
    let text = push(&["EVC", &reference, "--plain-http"], "/nowhere").await;
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    let bytes = std::fs::read(paths::guest("evc").unwrap()).unwrap();
    let digest = Digest::of(&bytes).to_string();
    let lines: Vec<_> = text.stdout.lines().collect();
    let [image_line, module_line] = lines.as_slice() else {
        panic!("{text:?}");
    };
    assert_eq!(*module_line, format!("module: {digest}"));
    let pinned = image_line.strip_prefix("image:  ").unwrap();
    let fetched = fetch(&image(pinned), &access()).await.unwrap();
    assert_eq!(fetched.bytes, bytes);

    let json = push(
        &["EVC", &reference, "--plain-http", "-o", "json"],
        "/nowhere",
    )
    .await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["image"], pinned);
    assert_eq!(json["tag"], reference);
    assert_eq!(json["module"], digest);
    assert_eq!(json["size"], bytes.len());
    assert!(
        pinned.ends_with(json["manifest"].as_str().unwrap()),
        "{json}"
    );
}

#[tokio::test]
async fn what_is_no_handler_is_not_pushed() {
    let hostile = HostileRegistry::start(RegistryBehaviour::Silent).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wasm");
    std::fs::write(&path, "text").unwrap();
    let path = path.to_str().unwrap();
    let output = push(&[path, &hostile.image("evc:1"), "--plain-http"], "/nowhere").await;
    let complaint = complaint(&output);
    assert!(
        complaint.starts_with(&format!("module {path} ")),
        "{complaint}"
    );
}

#[tokio::test]
async fn a_login_of_docker_is_used() {
    let registry = Registry::start_with_password().await;
    let folder = tempfile::tempdir().unwrap();
    let docker = folder.path().to_str().unwrap();
    let reference = registry.image("evc:1");
    let arguments = ["EVC", &reference, "--plain-http"];
    let output = push(&arguments, docker).await;
    let told = complaint(&output);
    assert!(
        told.contains(&format!(
            "{docker}/config.json has none for it; `docker login"
        )),
        "{told}"
    );
    registry.docker_config(folder.path(), "wrong");
    let output = push(&arguments, docker).await;
    let told = complaint(&output);
    assert!(told.contains("refuses the credentials in"), "{told}");
    registry.docker_config(folder.path(), PASSWORD);
    let output = push(&arguments, docker).await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test]
async fn a_push_that_cannot_work_says_how_it_can() {
    let registry = Registry::start().await;
    let tls = push(&["EVC", &registry.image("evc:1")], "/nowhere").await;
    let told = complaint(&tls);
    assert!(
        told.contains("speaks HTTP without TLS; if that is meant"),
        "{told}"
    );
    let pinned = format!("ghcr.io/acme/evc@{}", Digest::of(b""));
    let output = push(&["EVC", &pinned], "/nowhere").await;
    let told = complaint(&output);
    assert!(told.ends_with("write host/repository:tag"), "{told}");
    let full = r#"{"errors": [{"code": "UNKNOWN", "message": "no space left"}]}"#;
    let says = HostileRegistry::start(RegistryBehaviour::Says(500, full)).await;
    let output = push(&["EVC", &says.image("evc:1"), "--plain-http"], "/nowhere").await;
    let told = complaint(&output);
    assert!(told.contains("answers 500"), "{told}");
    assert!(told.contains("no space left"), "{told}");
}
