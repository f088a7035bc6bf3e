//! Registries that lead elsewhere: to the places of tokens and of modules that they name.

use std::path::PathBuf;
use std::time::Duration;

use handler_host_registry::{Access, FetchError, fetch};
use handler_host_tests::registry::modules::{access, follow_with, image, next};
use handler_host_tests::registry::{PASSWORD, login, network_address};
use handler_host_tests::{HostileRegistry, RegistryBehaviour, eventually};
use rstest::rstest;
use tempfile::TempDir;
use tokio::time::sleep;

/// What servers that are no registry must not see of a client.
const AUTHORIZATION: &str = "authorization:";

async fn told(registry: &HostileRegistry, access: &Access) -> String {
    let fetched = fetch(&image(&registry.image("evc:1")), access).await;
    fetched.unwrap_err().to_string()
}

/// Access with a password for a registry.
fn with_password(registry: &HostileRegistry) -> (TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = login(&registry.address().to_string(), PASSWORD);
    std::fs::write(&path, config.to_string()).unwrap();
    let access = Access {
        docker_config: Some(path),
        ..access()
    };
    (folder, access)
}

#[tokio::test]
async fn the_credentials_do_not_go_to_another_server_that_gives_tokens() {
    let other = HostileRegistry::start(RegistryBehaviour::Says(200, r#"{"token": "open"}"#)).await;
    let realm = format!("http://{}/token", other.address());
    let registry = HostileRegistry::start(RegistryBehaviour::Realm(realm)).await;
    let (_folder, access) = with_password(&registry);
    let error = told(&registry, &access).await;
    let expected = format!(
        "registry {} gives tokens at http://{}, which must not get the credentials in ",
        registry.address(),
        other.address()
    );
    assert!(error.contains(&expected), "{error}");
    assert!(
        error.ends_with("serve the tokens over TLS, or from the registry's own host and port"),
        "{error}"
    );
    assert_eq!(other.requests(), Vec::<String>::new());
    // Who has no credentials has nothing to lose.
    let anonymous = self::access();
    let module = fetch(&image(&registry.image("evc:1")), &anonymous).await;
    assert_eq!(module.unwrap().bytes, "right");
}

#[tokio::test]
async fn the_credentials_go_to_the_registry_that_gives_tokens_itself() {
    let registry = HostileRegistry::start(RegistryBehaviour::Token).await;
    let (_folder, access) = with_password(&registry);
    let module = fetch(&image(&registry.image("evc:1")), &access).await;
    assert_eq!(module.unwrap().bytes, "right");
    let asked = registry.requests();
    let token = asked.iter().find(|head| head.starts_with("GET /token"));
    assert!(
        token
            .unwrap()
            .to_lowercase()
            .contains("authorization: basic "),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_redirect_takes_neither_token_nor_password_along() {
    let store = HostileRegistry::start(RegistryBehaviour::Right).await;
    let place = format!("http://{}", store.address());
    let registry = HostileRegistry::start(RegistryBehaviour::RedirectsModule(place)).await;
    let (_folder, access) = with_password(&registry);
    let module = fetch(&image(&registry.image("evc:1")), &access).await;
    assert_eq!(module.unwrap().bytes, "right");
    let asked = store.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        !asked[0].to_lowercase().contains(AUTHORIZATION),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_server_behind_a_redirect_is_not_given_credentials_that_it_asks_for() {
    let asks = RegistryBehaviour::Realm("http://127.0.0.1:1/token".to_owned());
    let other = HostileRegistry::start(asks).await;
    let place = format!("http://{}/", other.address());
    let registry = HostileRegistry::start(RegistryBehaviour::Redirects(place)).await;
    let (_folder, access) = with_password(&registry);
    let error = told(&registry, &access).await;
    assert!(
        error.ends_with("the registry answers 401 to the request for its manifest: Unauthorized"),
        "{error}"
    );
}

#[rstest]
#[case::metadata("http://169.254.169.254/latest/meta-data/", "a link-local address")]
#[case::mapped("http://[::ffff:169.254.169.254]/", "a link-local address")]
#[case::link_local("http://[fe80::1]/", "a link-local address")]
#[case::unspecified("http://0.0.0.0:1/", "an unspecified address")]
#[case::multicast("http://224.0.0.1/", "a multicast address")]
#[case::another_cloud("http://100.100.100.200/", "the address of a cloud's metadata")]
#[case::another_scheme("file:///etc/passwd", "a URL of the scheme file")]
#[tokio::test]
async fn no_registry_leads_to_such_addresses(#[case] place: &str, #[case] reason: &str) {
    for behaviour in [
        RegistryBehaviour::Redirects(place.to_owned()),
        RegistryBehaviour::RedirectsModule(place.to_owned()),
        RegistryBehaviour::Realm(place.to_owned()),
    ] {
        let registry = HostileRegistry::start(behaviour).await;
        let error = told(&registry, &access()).await;
        assert!(error.contains("the registry leads to "), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[rstest]
#[case::address("127.0.0.1", "a loopback address")]
#[case::number("2130706433", "a loopback address")]
#[case::mapped("[::ffff:127.0.0.1]", "a loopback address")]
#[case::name("localhost", "whose name stands for a loopback address")]
#[tokio::test]
async fn a_registry_of_the_network_does_not_lead_to_this_machine(
    #[case] host: &str,
    #[case] reason: &str,
) {
    let Some(address) = network_address() else {
        // This machine is in no network.
        return;
    };
    let own = HostileRegistry::start(RegistryBehaviour::Right).await;
    let place = format!("http://{host}:{}/", own.address().port());
    for behaviour in [
        RegistryBehaviour::Redirects(place.clone()),
        RegistryBehaviour::Realm(place),
    ] {
        let registry = HostileRegistry::start_on(address, behaviour).await;
        let error = told(&registry, &access()).await;
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(own.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let registry = HostileRegistry::start(RegistryBehaviour::Silent).await;
    let place = format!("http://{}", registry.address());
    registry.behave(RegistryBehaviour::Redirects(place));
    let error = told(&registry, &access()).await;
    assert!(
        error.contains("redirects more than 3 times in a row"),
        "{error}"
    );
    assert_eq!(registry.requests().len(), 4);
}

/// The answer of a server inside, which whoever reads the condition of a Handler must not see.
const SECRET: &str = r#"{"errors": [{"code": "SECRET", "message": "hunter2"}]}"#;

#[rstest]
#[case::of_the_registry_that_is_none(None, "hunter2\nmore")]
#[case::json_of_the_registry_that_is_none(None, r#""hunter2""#)]
#[case::of_a_redirect(Some(()), SECRET)]
#[tokio::test]
async fn the_answers_of_other_servers_are_not_shown(
    #[case] redirected: Option<()>,
    #[case] answer: &'static str,
    #[values(200, 403, 404, 500)] status: u16,
) {
    let inside = HostileRegistry::start(RegistryBehaviour::Says(status, answer)).await;
    let place = format!("http://{}/", inside.address());
    let outside = HostileRegistry::start(RegistryBehaviour::Redirects(place)).await;
    let registry = match redirected {
        Some(()) => &outside,
        None => &inside,
    };
    let error = told(registry, &access()).await;
    assert!(!error.contains("hunter2"), "{error}");
    assert!(!error.contains("SECRET"), "{error}");
    assert!(!inside.requests().is_empty());
}

#[tokio::test]
async fn a_module_that_cannot_be_pulled_is_not_pulled_again_at_once() {
    let registry = HostileRegistry::start(RegistryBehaviour::EndlessModule(1 << 20)).await;
    let pulls = || {
        let requests = registry.requests();
        let of_module = requests.iter().filter(|head| head.contains("/blobs/"));
        of_module.count()
    };
    let mut modules = follow_with(image(&registry.image("evc:1")), access());
    let error = next(&mut modules).await.unwrap_err();
    assert!(matches!(error, FetchError::Image { .. }), "{error}");
    assert_eq!(pulls(), 1);
    let rest = tokio::spawn(async move { next(&mut modules).await });
    // The manifest is looked at as often as before.
    let looks = async || (registry.requests().len() > 20).then_some(());
    eventually("twenty looks", Duration::from_secs(10), looks).await;
    assert_eq!(pulls(), 1);
    // Another module is pulled at once.
    registry.behave(RegistryBehaviour::Right);
    assert_eq!(rest.await.unwrap().unwrap().bytes, "right");
}

#[tokio::test]
async fn what_was_pulled_in_vain_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = Access {
        scratch: Some(PathBuf::from(folder.path())),
        ..access()
    };
    for behaviour in [
        RegistryBehaviour::WrongModule,
        RegistryBehaviour::EndlessModule(1 << 20),
    ] {
        let registry = HostileRegistry::start(behaviour).await;
        told(&registry, &scratch).await;
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
