//! Modules in ConfigMaps of a real API server.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use handler_host_core::{Digest, FetchedModule, ModuleLocation, ModuleSource};
use handler_host_registry::{Access, fetch, follow};
use handler_host_tests::accounts::client;
use handler_host_tests::objects::kinds::CONFIG_MAP;
use handler_host_tests::objects::{config_map, object};
use handler_host_tests::{ControlPlane, Namespace, Relay, TestAccount};
use serde_json::json;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

fn source(namespace: &Namespace) -> ModuleSource {
    ModuleSource {
        location: ModuleLocation::ConfigMap {
            namespace: namespace.name.clone(),
            name: "modules".to_owned(),
            key: "evc.wasm".to_owned(),
        },
        pinned: None,
    }
}

async fn access(control_plane: &ControlPlane, account: TestAccount) -> Access {
    Access {
        client: Some(control_plane.client_as(account).await),
        ..Access::default()
    }
}

#[tokio::test]
async fn an_entry_is_followed_through_changes_and_absence() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "modules").await;
    let access = access(control_plane, TestAccount::Admin).await;
    let mut modules = pin!(follow(source(&namespace), access.clone()));
    let mut next = async || {
        let next = timeout(DEADLINE, modules.next()).await;
        let module = next
            .expect("the source gives a module or an error in time")
            .unwrap();
        let text = |module: FetchedModule| String::from_utf8(module.bytes.to_vec()).unwrap();
        module.map(text).map_err(|error| error.to_string())
    };
    let error = next().await.unwrap_err();
    assert!(
        error.contains("there is no ConfigMap modules in namespace"),
        "{error}"
    );

    namespace
        .create_object(&config_map("modules", "evc.wasm", "text"))
        .await
        .unwrap();
    let error = next().await.unwrap_err();
    assert!(
        error.contains("is text; a module belongs into binaryData"),
        "{error}"
    );

    // The values here and below are "one", "two" and "six" in base64.
    let patch = json!({"data": null, "binaryData": {"evc.wasm": "b25l"}});
    namespace
        .merge(CONFIG_MAP, "modules", &patch)
        .await
        .unwrap();
    assert_eq!(next().await.unwrap(), "one");
    let fetched = fetch(&source(&namespace), &access).await.unwrap();
    assert_eq!(fetched.digest, Digest::of(b"one"));
    let patch = json!({"binaryData": {"evc.wasm": "dHdv"}});
    namespace
        .merge(CONFIG_MAP, "modules", &patch)
        .await
        .unwrap();
    assert_eq!(next().await.unwrap(), "two");

    let patch = json!({"binaryData": {"evc.wasm": null, "other.wasm": "c2l4"}});
    namespace
        .merge(CONFIG_MAP, "modules", &patch)
        .await
        .unwrap();
    let error = next().await.unwrap_err();
    assert!(
        error.contains("only other.wasm; name one of those"),
        "{error}"
    );

    namespace.delete(CONFIG_MAP, "modules").await.unwrap();
    let error = next().await.unwrap_err();
    assert!(error.contains("there is no ConfigMap"), "{error}");
    let rest = json!({"binaryData": {"evc.wasm": "c2l4"}});
    let object = object("v1", "ConfigMap", "modules", &rest);
    namespace.create_object(&object).await.unwrap();
    assert_eq!(next().await.unwrap(), "six");
}

#[tokio::test]
async fn one_who_may_not_read_it_is_told_what_to_grant() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "modules").await;
    let access = access(control_plane, TestAccount::Nobody).await;
    let fetched = fetch(&source(&namespace), &access).await.unwrap_err();
    let mut modules = pin!(follow(source(&namespace), access));
    let followed = timeout(DEADLINE, modules.next()).await.unwrap().unwrap();
    for error in [fetched, followed.unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("is forbidden"), "{error}");
        assert!(error.contains("grant get, list and watch"), "{error}");
    }
    let error = fetch(&source(&namespace), &Access::default()).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("none is at hand; set --kubeconfig"),
        "{error}"
    );
}

#[tokio::test]
async fn after_an_outage_the_module_is_told_again_and_later_changes_too() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "modules").await;
    let rest = json!({"binaryData": {"evc.wasm": "b25l"}});
    let object = object("v1", "ConfigMap", "modules", &rest);
    namespace.create_object(&object).await.unwrap();
    let mut relay = Relay::to(control_plane);
    relay.mend().await;
    let access = Access {
        client: Some(client(&relay.kubeconfig()).await.unwrap()),
        ..Access::default()
    };
    let mut modules = pin!(follow(source(&namespace), access));
    let mut next = async || {
        let next = timeout(DEADLINE, modules.next()).await;
        next.expect("the source gives a module or an error in time")
            .unwrap()
    };
    assert_eq!(next().await.unwrap().digest, Digest::of(b"one"));

    relay.cut().await;
    let error = next().await.unwrap_err().to_string();
    assert!(
        error.contains("the API server cannot be reached"),
        "{error}"
    );
    relay.mend().await;
    let mut told = next().await;
    // A connection can end in several ways, and the source gives an error for each.
    while told.is_err() {
        told = next().await;
    }
    assert_eq!(told.unwrap().digest, Digest::of(b"one"));

    let patch = json!({"binaryData": {"evc.wasm": "dHdv"}});
    namespace
        .merge(CONFIG_MAP, "modules", &patch)
        .await
        .unwrap();
    assert_eq!(next().await.unwrap().digest, Digest::of(b"two"));
}
