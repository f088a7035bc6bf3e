//! Registries that are down, do not answer, or send something else than they were asked for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use handler_host_core::{Digest, ModuleLocation, ModuleSource};
use handler_host_registry::{Access, LARGEST, Patience, fetch};
use handler_host_tests::registry::modules::{
    FollowedModules, access, follow_with, image, next, push_to,
};
use handler_host_tests::{HostileRegistry, Registry, RegistryBehaviour, eventually};
use rstest::rstest;

/// Access with timeouts that are short enough for a test and long enough for a busy machine.
fn impatient() -> Access {
    let patience = Patience {
        connect: Duration::from_secs(2),
        idle: Duration::from_secs(2),
        whole: Duration::from_secs(5),
        ..Patience::default()
    };
    Access {
        patience,
        ..access()
    }
}

/// More bytes than a limit and the buffers let through, and far fewer than would harm the host.
const SOME: u64 = 24 << 20;

#[rstest]
#[case::hangs_up(RegistryBehaviour::HangUp, "the registry cannot be reached: ")]
#[case::silent(RegistryBehaviour::Silent, "the registry does not answer within 2s")]
#[case::out_of_order(
    RegistryBehaviour::Says(503, "come back later"),
    "the registry answers 503 to the request for its manifest: Service Unavailable"
)]
#[case::out_of_order_by_the_book(
    RegistryBehaviour::Says(503, r#"{"errors": [{"code": "A", "message": "later"}]}"#),
    "the registry answers 503 to the request for its manifest: later"
)]
#[case::garbled(
    RegistryBehaviour::Says(200, "<html>"),
    "its manifest cannot be read: it is not that of an image (line 1, column 1)"
)]
#[case::endless_manifest(
    RegistryBehaviour::EndlessManifest,
    "sends more than the 4194304 bytes that a manifest may have"
)]
#[case::endless_token(
    RegistryBehaviour::EndlessToken,
    "sends more than the 1048576 bytes that a token may have"
)]
#[case::endless_module(RegistryBehaviour::EndlessModule(1 << 20), "sends more than the 1048576 bytes that its module may have")]
#[case::long_module(
    RegistryBehaviour::LongModule,
    "sends more than the 5 bytes that its module may have"
)]
#[case::slow_module(RegistryBehaviour::SlowModule(1 << 20), "it was not done after 5s")]
#[case::wrong_module(RegistryBehaviour::WrongModule, "nothing of it was used")]
#[tokio::test]
async fn a_registry_in_trouble_is_told_in_time_and_followed_on(
    #[case] behaviour: RegistryBehaviour,
    #[case] told: &str,
) {
    let registry = Registry::start().await;
    push_to(&registry.image("evc:1"), b"one").await;
    let hostile = HostileRegistry::start(behaviour.clone()).await;
    let started = Instant::now();
    let mut modules = follow_with(image(&hostile.image("evc:1")), impatient());
    let error = next(&mut modules).await.unwrap_err().to_string();
    assert!(error.contains(told), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    assert!(hostile.sent() < SOME, "{} bytes", hostile.sent());

    hostile.behave(RegistryBehaviour::Relayed(registry.address()));
    assert_eq!(next_module(&mut modules).await, "one");
    // The registry fails again after the module was fetched. The source gives the module again when the registry is
    // back, and not before.
    hostile.behave(behaviour);
    next(&mut modules).await.unwrap_err();
    hostile.behave(RegistryBehaviour::Relayed(registry.address()));
    assert_eq!(next_module(&mut modules).await, "one");
}

/// The next module. The errors before it depend on where a connection was cut, and are skipped.
async fn next_module(modules: &mut FollowedModules) -> Bytes {
    for _ in 0..10 {
        if let Ok(module) = next(modules).await {
            return module.bytes;
        }
    }
    panic!("ten errors and no module");
}

#[tokio::test]
async fn a_registry_that_is_down_is_tried_again() {
    let registry = Registry::start().await;
    push_to(&registry.image("evc:1"), b"one").await;
    let gone = HostileRegistry::start(RegistryBehaviour::Silent).await;
    let reference = gone.image("evc:1");
    drop(gone);
    let refused = async || match fetch(&image(&reference), &access()).await {
        Ok(_) => Err("a module".to_owned()),
        Err(error) => {
            let error = error.to_string();
            error
                .contains("Connection refused")
                .then_some(())
                .ok_or(error)
        }
    };
    eventually(
        "the connection is refused",
        Duration::from_secs(10),
        refused,
    )
    .await;
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_asked_for_is_refused() {
    let hostile = HostileRegistry::start(RegistryBehaviour::WrongModule).await;
    let digest = Digest::of(b"another manifest");
    let reference = hostile.image(&format!("evc@{digest}"));
    let fetched = fetch(&image(&reference), &access()).await;
    let error = fetched.unwrap_err().to_string();
    assert!(
        error.contains("the manifest that the registry sends is sha256:"),
        "{error}"
    );
    assert!(
        error.contains(&format!("but {digest} was asked for")),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_is_got_where_the_registry_says() {
    let hostile = HostileRegistry::start(RegistryBehaviour::Token).await;
    let module = fetch(&image(&hostile.image("evc:1")), &access())
        .await
        .unwrap();
    assert_eq!(module.bytes, "right");
}

#[tokio::test]
async fn a_module_larger_than_any_is_refused_before_it_is_fetched() {
    let size = i64::try_from(LARGEST).unwrap() + 1;
    let hostile = HostileRegistry::start(RegistryBehaviour::EndlessModule(size)).await;
    let fetched = fetch(&image(&hostile.image("evc:1")), &access()).await;
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("is larger than 256 MiB"), "{error}");
    assert_eq!(hostile.sent(), 0);
}

#[tokio::test]
async fn plain_http_is_spoken_only_when_asked_for() {
    let registry = Registry::start().await;
    let reference = registry.image("evc:1");
    push_to(&reference, b"one").await;
    let mut source: ModuleSource = image(&reference);
    if let ModuleLocation::Image(image) = &mut source.location {
        image.is_plain_http = false;
    }
    let error = fetch(&source, &access()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "image {reference}: the registry speaks HTTP without TLS; if that is meant, set plainHttp: true (--plain-http)"
        )
    );
}
