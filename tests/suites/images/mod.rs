//! Modules as images in a real registry: how they are pushed, fetched, followed and refused.

mod elsewhere;
mod push;
mod trouble;

use std::time::Duration;

use futures::StreamExt as _;
use handler_host_core::{Digest, ModuleLocation, ModuleSource};
use handler_host_registry::{Access, FetchError, PushOptions, fetch, push};
use handler_host_tests::objects::object;
use handler_host_tests::registry::modules::{
    access, follow_with, image, next, push_options, push_to,
};
use handler_host_tests::registry::{PASSWORD, login};
use handler_host_tests::{ControlPlane, Namespace, Registry, TestAccount};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use rstest::rstest;
use serde_json::json;
use tokio::time::timeout;

fn pinned(reference: &str, digest: Digest) -> ModuleSource {
    ModuleSource {
        pinned: Some(digest),
        ..image(reference)
    }
}

#[tokio::test]
async fn a_pushed_module_is_fetched_by_tag_and_by_digest() {
    let registry = Registry::start().await;
    let reference = registry.image("acme/evc:1");
    let pushed = push_to(&reference, b"one").await;
    assert_eq!(pushed.tagged, reference);
    assert_eq!(pushed.module, Digest::of(b"one"));
    let by_tag = fetch(&image(&reference), &access()).await.unwrap();
    assert_eq!(by_tag.bytes, "one");
    assert_eq!(by_tag.digest, pushed.module);
    let origin = format!("{reference} (manifest {})", pushed.manifest);
    assert_eq!(by_tag.origin, origin);
    let by_digest = fetch(&image(&pushed.pinned), &access()).await.unwrap();
    assert_eq!(
        (by_digest.bytes, by_digest.origin),
        (by_tag.bytes, pushed.pinned)
    );
}

#[tokio::test]
async fn pushing_the_same_module_again_gives_the_same_image() {
    let registry = Registry::start().await;
    let one = push_to(&registry.image("evc:1"), b"one").await;
    let again = push_to(&registry.image("evc:1"), b"one").await;
    let elsewhere = push_to(&registry.image("evc:2"), b"one").await;
    let other = push_to(&registry.image("evc:2"), b"two").await;
    assert_eq!(one, again);
    assert_eq!(one.manifest, elsewhere.manifest);
    assert_ne!(one.manifest, other.manifest);
}

#[tokio::test]
async fn a_module_of_many_chunks_arrives_whole() {
    let registry = Registry::start().await;
    let bytes: Vec<u8> = (0..9_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let pushed = push_to(&registry.image("big:1"), &bytes).await;
    let fetched = fetch(&image(&pushed.pinned), &access()).await.unwrap();
    assert_eq!(fetched.digest, Digest::of(&bytes));
}

#[tokio::test]
async fn a_tag_that_moves_on_is_followed() {
    let registry = Registry::start().await;
    let reference = registry.image("evc:latest");
    push_to(&reference, b"one").await;
    let mut modules = follow_with(image(&reference), access());
    assert_eq!(next(&mut modules).await.unwrap().bytes, "one");
    push_to(&reference, b"two").await;
    assert_eq!(next(&mut modules).await.unwrap().bytes, "two");
    // Another image of the same module gives no module again.
    let options = PushOptions {
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        ..push_options(access())
    };
    push("two", &reference, &options).await.unwrap();
    let silence = timeout(Duration::from_millis(500), modules.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    push_to(&reference, b"one").await;
    assert_eq!(next(&mut modules).await.unwrap().bytes, "one");
}

#[tokio::test]
async fn an_image_that_is_not_there_yet_is_waited_for() {
    let registry = Registry::start().await;
    let reference = registry.image("evc:1");
    let mut modules = follow_with(image(&reference), access());
    let error = next(&mut modules).await.unwrap_err().to_string();
    assert!(
        error.contains("the registry has no such image (manifest unknown); push it"),
        "{error}"
    );
    push_to(&reference, b"one").await;
    assert_eq!(next(&mut modules).await.unwrap().bytes, "one");
}

/// Pushes an image with one layer of this media type.
async fn push_layer(reference: &str, media_type: &str) {
    let config = ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    };
    let client = oci_client::Client::try_from(config).unwrap();
    let layer = ImageLayer::new("old", media_type.to_owned(), None);
    let config = Config::new("{}", "application/vnd.wasm.config.v1+json".to_owned(), None);
    let reference = reference.parse().unwrap();
    let auth = RegistryAuth::Anonymous;
    let pushed = client.push(&reference, &[layer], config, &auth, None).await;
    pushed.unwrap();
}

#[rstest]
#[case::wasm_to_oci("application/vnd.wasm.content.layer.v1+wasm")]
#[case::solo("application/vnd.module.wasm.content.layer.v1+wasm")]
#[case::runwasi("application/vnd.bytecodealliance.wasm.component.layer.v0+wasm")]
#[tokio::test]
async fn images_of_older_tools_are_read(#[case] media_type: &str) {
    let registry = Registry::start().await;
    let reference = registry.image("old:1");
    // This installs the TLS provider, which oci-client needs even where it uses no TLS.
    push_to(&registry.image("new:1"), b"new").await;
    push_layer(&reference, media_type).await;
    let module = fetch(&image(&reference), &access()).await.unwrap();
    assert_eq!(module.bytes, "old");
}

#[tokio::test]
async fn a_container_image_is_refused_with_the_remedy() {
    let registry = Registry::start().await;
    let reference = registry.image("nginx:1");
    push_to(&registry.image("new:1"), b"new").await;
    push_layer(&reference, "application/vnd.oci.image.layer.v1.tar+gzip").await;
    let error = fetch(&image(&reference), &access()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "image {reference}: it holds no module, only application/vnd.oci.image.layer.v1.tar+gzip; push one with `handler-host push` or `wkg oci push`"
        )
    );
}

#[tokio::test]
async fn a_module_that_is_not_the_pinned_one_is_refused_until_it_is() {
    let registry = Registry::start().await;
    let reference = registry.image("evc:1");
    push_to(&reference, b"one").await;
    let (found, expected) = (Digest::of(b"one"), Digest::of(b"two"));
    let mut modules = follow_with(pinned(&reference, expected), access());
    let error = next(&mut modules).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("holds {found}, but {expected} is pinned")),
        "{text}"
    );
    assert!(matches!(error, FetchError::DigestMismatch { .. }), "{text}");
    push_to(&reference, b"two").await;
    assert_eq!(next(&mut modules).await.unwrap().bytes, "two");
}

#[tokio::test]
async fn a_registry_with_a_password_asks_for_it() {
    let registry = Registry::start_with_password().await;
    let folder = tempfile::tempdir().unwrap();
    let reference = registry.image("evc:1");
    let mut options = push_options(access());
    let told = |error: &dyn std::fmt::Display, word: &str| {
        let error = error.to_string();
        assert!(error.contains(&registry.address().to_string()), "{error}");
        assert!(error.contains(word), "{error}");
    };
    let nobody = push("one", &reference, &options).await.unwrap_err();
    told(
        &nobody,
        "asks for credentials, and /nowhere/config.json has none",
    );

    options.access.docker_config = Some(registry.docker_config(folder.path(), "wrong"));
    let wrong = push("one", &reference, &options).await.unwrap_err();
    told(&wrong, "refuses the credentials in");
    let wrong = fetch(&image(&reference), &options.access)
        .await
        .unwrap_err();
    told(&wrong, "refuses the credentials in");
    let nobody = fetch(&image(&reference), &access()).await.unwrap_err();
    told(
        &nobody,
        "asks for credentials, and /nowhere/config.json has none",
    );

    // The next try uses a login that was made while the source is followed.
    let mut modules = follow_with(image(&reference), options.access.clone());
    next(&mut modules).await.unwrap_err();
    registry.docker_config(folder.path(), PASSWORD);
    push("one", &reference, &options).await.unwrap();
    let mut told = next(&mut modules).await;
    if told.is_err() {
        // This try came after the login and before the image.
        told = next(&mut modules).await;
    }
    assert_eq!(told.unwrap().bytes, "one");
}

#[tokio::test]
async fn a_pull_secret_holds_the_password_of_a_registry() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "pull").await;
    let registry = Registry::start_with_password().await;
    let folder = tempfile::tempdir().unwrap();
    let reference = registry.image("evc:1");
    let mut options = push_options(access());
    options.access.docker_config = Some(registry.docker_config(folder.path(), PASSWORD));
    push("one", &reference, &options).await.unwrap();

    let mut source = image(&reference);
    if let ModuleLocation::Image(image) = &mut source.location {
        image.pull_secret = Some((namespace.name.clone(), "login".to_owned()));
    }
    let error = fetch(&source, &access()).await.unwrap_err().to_string();
    assert!(
        error.contains("is read from a cluster, and none is at hand"),
        "{error}"
    );
    let access = Access {
        client: Some(control_plane.client_as(TestAccount::Admin).await),
        ..access()
    };
    let mut modules = follow_with(source, access);
    let error = next(&mut modules).await.unwrap_err().to_string();
    assert!(error.contains("secrets \"login\" not found"), "{error}");
    let config = login(&registry.address().to_string(), PASSWORD).to_string();
    let rest = json!({
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    });
    let secret = object("v1", "Secret", "login", &rest);
    namespace.create_object(&secret).await.unwrap();
    assert_eq!(next(&mut modules).await.unwrap().bytes, "one");
}
