//! Modules from an image registry, swapped under a running host; and registries that are no help.

use handler_host_registry::{Access, PushOptions, push};
use handler_host_tests::handlers::{Hosted, digest, names};
use handler_host_tests::{Hostile, Manner, Registry, variant};
use serde_json::{Value, json};

/// Pushes a variant; gives the digest of the module.
async fn put(reference: &str, name: &str) -> String {
    let module = variant(name, "ok");
    let options = PushOptions {
        is_plain_http: true,
        access: Access {
            // Never that of whoever runs the tests.
            docker_config: Some("/nowhere/config.json".into()),
            ..Access::default()
        },
        ..PushOptions::default()
    };
    push(module.clone(), reference, &options).await.unwrap();
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

    // Pinned, it must be those very bytes.
    let mut spec = image(&hosted, &reference);
    spec["module"]["digest"] = json!(one);
    hosted.apply("evc", &spec).await;
    hosted
        .told("evc", "ModuleLoaded", "False", "DigestMismatch")
        .await;

    // Down; silent; without end.
    let silent = Hostile::start(Manner::Silent).await;
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
    let endless = Hostile::start(Manner::EndlessModule(64 << 20)).await;
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
    let config = registry.docker_config(directory.path(), handler_host_tests::registry::PASSWORD);
    let options = PushOptions {
        is_plain_http: true,
        access: Access {
            docker_config: Some(config.clone()),
            ..Access::default()
        },
        ..PushOptions::default()
    };
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
