//! Variants of the guest `chameleon`, on which the suites rely that swap modules.

use handler_host_tests::programs::input_directory::{InputDirectory, complaints};
use handler_host_tests::{evc, variant, write_atomically};
use serde_json::{Value, json};

#[tokio::test]
async fn a_variant_is_a_module_of_its_own_that_labels_its_children() {
    let inputs = InputDirectory::new();
    let mut digests = Vec::new();
    for name in ["v1", "v2"] {
        let path = inputs.directory.path().join("variant.wasm");
        write_atomically(&path, &variant(name, "ok"));
        let inspected = inputs.run("inspect DIR/variant.wasm --output json").await;
        let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
        digests.push(inspected["digest"].clone());
        let command = "render --module DIR/variant.wasm --filename DIR/claim.yaml --output json";
        let rendered = inputs.run(command).await;
        let rendered: Value = serde_json::from_str(&rendered.stdout).unwrap();
        let labels = &rendered["children"][0]["metadata"]["labels"];
        assert_eq!(*labels, json!({"variant": name}));
    }
    assert_ne!(digests[0], digests[1]);
}

#[tokio::test]
async fn a_variant_behaves_as_its_mode_says() {
    let inputs = InputDirectory::new();
    let mut picked = evc("c2", "1Gi");
    picked["metadata"]["labels"] = json!({"pick": "yes"});
    let claims = [evc("c1", "1Gi"), picked].map(|claim| claim.to_string());
    inputs.write("claims.yaml", claims.join("\n---\n"));
    let mut told = Vec::new();
    for mode in [
        "ok",
        "some",
        "trap",
        "trapNew",
        "fail",
        "half",
        "describeTrap",
        "describeMore",
    ] {
        inputs.write("variant.wasm", variant("v2", mode));
        let command = "render --module DIR/variant.wasm --filename DIR/claims.yaml";
        let rendered = inputs.run(command).await;
        let labels: Vec<_> = rendered
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("    variant: "))
            .collect();
        let complaints = complaints(&rendered).len();
        told.push(format!("{mode}: {labels:?}, {complaints} complaints"));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    ok: ["v2", "v2"], 0 complaints
    some: ["base", "v2"], 0 complaints
    trap: [], 2 complaints
    trapNew: [], 2 complaints
    fail: [], 2 complaints
    half: ["v2"], 1 complaints
    describeTrap: [], 1 complaints
    describeMore: ["v2", "v2"], 0 complaints
    "#);
    let inspected = inputs.run("inspect DIR/variant.wasm").await;
    assert!(
        inspected.stdout.contains("v1 Secret\n"),
        "{}",
        inspected.stdout
    );
}
