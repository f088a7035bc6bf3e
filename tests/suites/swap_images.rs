//! Modules from an image registry, swapped under a running host, and registries that give no module.

use handler_host_registry::{Access, push};
use handler_host_tests::guests::variants::digest;
use handler_host_tests::objects::names;
use handler_host_tests::registry::PASSWORD;
use handler_host_tests::registry::modules::{push_options, push_to};
use handler_host_tests::{Hosted, HostileRegistry, Registry, RegistryBehaviour, variant};
use serde_json::{Value, json};

/// Pushes a variant. Returns the digest of the module.
async fn put(reference: &str, name: &str) -> String {
    let module = variant(name, "ok");
    push_to(reference, &module).await;
    digest(&module)
}

fn image(hosted: &Hosted, reference: &str) -> Value {
    let mut spec = hosted.claims_from("none");
    spec["module"] = json!({"image": reference, "plainHttp": true, "pollInterval": "1s"});
    spec
}

#[tokio::test]
async fn a_tag_is_followed_and_a_registry_that_is_no_help_changes_nothing() {
    let hosted = Hosted::start("images").await;
    let registry = Registry::start().await;
    let reference = registry.image("acme/evc:1");
    let one = put(&reference, "one").await;
    hosted.apply("evc", &image(&hosted, &reference)).await;
    hosted.serves("evc", &one).await;
    let claims = names(2);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;

    let two = put(&reference, "two").await;
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;

    // A module that is pinned must have the pinned digest.
    let mut spec = image(&hosted, &reference);
    spec["module"]["digest"] = json!(one);
    hosted.apply("evc", &spec).await;
    hosted
        .told("evc", "ModuleLoaded", "False", "DigestMismatch")
        .await;

    // One registry is down, one does not answer, and one sends a module without end.
    let silent = HostileRegistry::start(RegistryBehaviour::Silent).await;
    for reference in [
        "127.0.0.1:1/acme/evc:1".to_owned(),
        silent.image("acme/evc:1"),
    ] {
        hosted.apply("evc", &image(&hosted, &reference)).await;
        let message = hosted
            .told("evc", "ModuleLoaded", "False", "FetchFailed")
            .await;
        assert!(message.contains(&reference), "{message}");
        hosted.serves("evc", &two).await;
    }
    let endless = HostileRegistry::start(RegistryBehaviour::EndlessModule(64 << 20)).await;
    hosted
        .apply("evc", &image(&hosted, &endless.image("acme/evc:1")))
        .await;
    hosted
        .told("evc", "ModuleLoaded", "False", "FetchFailed")
        .await;
    let resident = hosted.operator.usage().peak_resident >> 20;
    assert!(resident < 512, "{resident} MiB");
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "two").await;

    hosted.apply("evc", &image(&hosted, &reference)).await;
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
}

#[tokio::test]
async fn a_pull_secret_opens_a_registry_that_asks_for_a_password() {
    let hosted = Hosted::start("pull-secret").await;
    let registry = Registry::start_with_password().await;
    let reference = registry.image("acme/evc:1");
    let module = variant("one", "ok");
    let directory = tempfile::tempdir().unwrap();
    let config = registry.docker_config(directory.path(), PASSWORD);
    let options = push_options(Access {
        docker_config: Some(config.clone()),
        ..Access::default()
    });
    push(module.clone(), &reference, &options).await.unwrap();

    hosted.apply("evc", &image(&hosted, &reference)).await;
    hosted
        .told("evc", "ModuleLoaded", "False", "FetchFailed")
        .await;
    hosted
        .let_read_secrets(&std::fs::read(&config).unwrap())
        .await;
    let mut spec = image(&hosted, &reference);
    spec["module"]["pullSecret"] = json!({"namespace": hosted.namespace.name, "name": "registry"});
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &digest(&module)).await;
}
