//! Sizes in every form of a Kubernetes quantity, and how the API server writes them.

use fastrand::Rng;
use handler_host_core::canonical;
use handler_host_fuzz::recorded;
use handler_host_tests::{ControlPlane, TestAccount, VolumeClaims};
use k8s_openapi::api::core::v1::PodTemplate;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

/// Sizes, each with the form in which the API server returns it.
fn forms() -> Vec<(Value, &'static str)> {
    vec![
        (json!("1G"), "1G"),
        (json!("1Gi"), "1Gi"),
        (json!("1024Mi"), "1Gi"),
        (json!("1048576Ki"), "1Gi"),
        (json!("1.5Gi"), "1536Mi"),
        (json!("0.5Gi"), "512Mi"),
        (json!(".5Gi"), "512Mi"),
        (json!("5.Gi"), "5.Gi"),
        (json!("5.5G"), "5500M"),
        (json!("1e9"), "1e9"),
        (json!("1E9"), "1E9"),
        (json!("1.5e9"), "1500e6"),
        (json!("1000e6"), "1e9"),
        (json!("10e8"), "1e9"),
        (json!("1000M"), "1G"),
        (json!("1500M"), "1500M"),
        (json!("500M"), "500M"),
        (json!("007M"), "007M"),
        (json!("+1G"), "+1G"),
        (json!("1T"), "1T"),
        (json!("1Ti"), "1Ti"),
        (json!("1.1Ti"), "1209462790553600m"),
        (json!("1073741824"), "1073741824"),
        (json!("1000000000"), "1G"),
        (json!("1000000000.0"), "1G"),
        (json!(1_073_741_824), "1073741824"),
        (json!(1_000_000_000), "1G"),
        (json!(1_500_000_000.5), "1500000000500m"),
        (json!(1e9), "1G"),
        (json!("0.5"), "500m"),
        (json!("1500m"), "1500m"),
    ]
}

/// Sizes whose value the API server changes. It rounds a size up to thousandths of a byte, and limits it to the range of
/// an int64.
const OUT_OF_RANGE: [&str; 6] = [
    "100u",
    "100n",
    "0.1n",
    "9Ei",
    "1e30",
    "12345678901234567890123",
];

fn name(index: usize) -> String {
    format!("size-{index:02}")
}

#[tokio::test]
async fn every_form_of_a_size_is_served_once_and_never_written_again() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "quantities").await;
    let forms = forms();
    for (index, (size, _)) in forms.iter().enumerate() {
        claims.create(&name(index), size.clone()).await;
    }
    let mut wrong = Vec::new();
    for (index, (size, expected)) in forms.iter().enumerate() {
        claims.ready(&name(index)).await;
        let volume = claims.volume(&name(index)).await;
        let storage = &volume["spec"]["resources"]["requests"]["storage"];
        if storage != expected {
            wrong.push(format!("{size} reads back as {storage}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    claims.fence().await;
    claims.count_from_here().await;
    for index in 0..forms.len() {
        claims.touch(&name(index)).await;
    }
    claims.fence().await;
    let requests = claims.requests().await;
    assert_eq!(requests.count(), 0, "{requests}");
}

#[test]
fn the_host_knows_every_form_that_the_api_server_rewrites() {
    let mut wrong = Vec::new();
    for (size, expected) in forms() {
        let text = size
            .as_str()
            .map_or_else(|| size.to_string(), str::to_owned);
        let form = canonical(&text);
        // The API server keeps some unusual forms as they are.
        if text != expected && form.as_deref() != Some(expected) {
            wrong.push(format!("{text} is expected as {form:?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_size_whose_value_the_api_server_changes_is_not_written_again() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "out-of-range").await;
    for (index, size) in OUT_OF_RANGE.iter().enumerate() {
        claims.create_ready(&name(index), *size).await;
    }
    claims.fence().await;
    claims.count_from_here().await;
    for index in 0..OUT_OF_RANGE.len() {
        claims.touch(&name(index)).await;
    }
    claims.fence().await;
    let requests = claims.requests().await;
    assert_eq!(requests.count(), 0, "{requests}");
}

/// A template with a volume for each size. The field of a size takes any quantity as it is.
fn template(sizes: &[String]) -> DynamicObject {
    let volume = |(index, size): (usize, &String)| json!({"name": format!("v{index}"), "emptyDir": {"sizeLimit": size}});
    let volumes: Vec<_> = sizes.iter().enumerate().map(volume).collect();
    let template = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "sizes"},
        "template": {"metadata": {}, "spec": {
            "containers": [{"name": "a", "image": "a"}], "volumes": volumes,
        }},
    });
    serde_json::from_value(template).unwrap()
}

/// The API for templates, by which sizes are tried.
async fn templates() -> Api<DynamicObject> {
    let control_plane = ControlPlane::shared().await;
    let client = control_plane.client_as(TestAccount::Admin).await;
    let resource = kube::api::ApiResource::erase::<PodTemplate>(&());
    Api::namespaced_with(client, "default", &resource)
}

/// What the API server makes of sizes, if it refuses none of them.
async fn stored(templates: &Api<DynamicObject>, sizes: &[String]) -> kube::Result<Vec<String>> {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answer = templates.create(&dry_run, &template(sizes)).await?;
    let volumes = &answer.data["template"]["spec"]["volumes"];
    let volumes = volumes.as_array().unwrap().iter();
    let size = |volume: &Value| volume["emptyDir"]["sizeLimit"].as_str().unwrap().to_owned();
    Ok(volumes.map(size).collect())
}

#[tokio::test]
async fn the_api_server_makes_of_quantities_what_is_recorded_for_the_fuzzer() {
    let templates = templates().await;
    let mut wrong = Vec::new();
    for record in recorded() {
        let stored = match stored(&templates, &[record.text.to_owned()]).await {
            Ok(sizes) => sizes.into_iter().next(),
            Err(kube::Error::Api(_)) => None,
            Err(error) => panic!("{record:?}: {error}"),
        };
        if stored.as_deref() != record.stored {
            wrong.push(format!("{record:?} is now {stored:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A quantity that is not negative, in any notation.
fn any_quantity(random: &mut Rng) -> String {
    const SUFFIXES: [&str; 16] = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    // Whole thousands of bytes in a binary notation, which few others are.
    if random.u8(..4) == 0 {
        let bytes = 1000 * random.u64(1..1_000_000);
        return format!("{}.{:010}Ki", bytes / 1024, bytes % 1024 * 9_765_625);
    }
    let mut text = digits(random, 12);
    if random.bool() {
        text = format!("{text}.{}", digits(random, 6));
    }
    if random.u8(..4) == 0 {
        format!("{text}e{}", random.i8(-12..=18))
    } else {
        text + SUFFIXES[random.usize(..SUFFIXES.len())]
    }
}

/// Up to so many digits.
fn digits(random: &mut Rng, most: usize) -> String {
    let count = random.usize(1..=most);
    (0..count).map(|_| random.digit(10)).collect()
}

/// They are the same at each run; another seed tries others. One that is wrong is to be added to those that are recorded.
#[tokio::test]
async fn the_host_knows_the_form_of_any_quantity_that_is_in_range() {
    let mut random = Rng::with_seed(1);
    let sizes: Vec<_> = (0..1000).map(|_| any_quantity(&mut random)).collect();
    let stored = stored(&templates().await, &sizes).await.unwrap();
    assert_eq!(stored.len(), sizes.len());
    let mut wrong = Vec::new();
    for (size, stored) in sizes.iter().zip(stored) {
        // The API server keeps some unusual forms as they are.
        let is_known = canonical(size).is_none_or(|form| form == stored || *size == stored);
        if !is_known {
            wrong.push(format!(
                "{size} is stored as {stored}, for which {:?} was expected",
                canonical(size)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
