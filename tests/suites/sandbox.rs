//! The sandbox of a guest: what the guest can reach, and that the same input gives the same result.

use std::time::Instant;

use handler_host_tests::objects::kinds::PUPPET;
use handler_host_tests::objects::{condition, manifest};
use handler_host_tests::programs::handler_host::handler_host_with;
use handler_host_tests::programs::input_directory::InputDirectory;
use handler_host_tests::{
    ControlPlane, DEADLINE, Operator, PuppetNamespace, TestAccount, paths, puppet,
};
use serde_json::{Value, json};

/// Renders a Puppet. Returns the entries of its only child.
async fn render(name: &str, spec: Value) -> Value {
    let module = paths::guest("puppet").unwrap();
    let arguments = [
        "render",
        "--module",
        module.to_str().unwrap(),
        "--filename",
        "-",
    ];
    let environment = [("PUPPET_SECRET", "hunter2")];
    let output = handler_host_with(arguments, &environment, &puppet(name, spec).to_string()).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let children = manifest::parse(&output.stdout).unwrap();
    assert_eq!(children.len(), 1, "{}", output.stdout);
    children[0]["data"].clone()
}

#[tokio::test]
async fn the_same_input_gives_the_same_bytes_and_another_input_others() {
    let entropy = json!({"do": "entropy"});
    let first = render("a", entropy.clone()).await;
    assert_eq!(render("a", entropy.clone()).await, first);
    let other = render("b", entropy).await;
    for chance in ["randomBytes", "hash", "mapOrder"] {
        assert_ne!(first[chance], other[chance], "{chance}");
    }
    for clock in ["wallClock", "monotonicClock"] {
        assert_eq!(first[clock], other[clock], "{clock}");
    }
}

#[tokio::test]
async fn chance_does_not_change_while_a_parent_lives() {
    let mut puppets = PuppetNamespace::serve("chance").await;
    puppets.apply("a", &json!({"do": "entropy"})).await;
    puppets.served("a").await;
    let drawn = puppets.config_map("a").await.unwrap();
    // The status, the resource version and the observed children now differ from those of the first call.
    puppets.restart().await;
    puppets.wait_for_calls("a", 1).await;
    puppets.apply("b", &json!({"do": "entropy"})).await;
    puppets.served("b").await;
    assert_eq!(puppets.config_map("a").await.unwrap(), drawn);
}

#[tokio::test]
async fn time_stands_still_and_a_sleep_is_over_at_once() {
    let before = Instant::now();
    let seen = render("a", json!({"do": "entropy"})).await;
    // The guest sleeps for 10 s, and its deadline of one second has not passed.
    assert!(before.elapsed().as_secs() < 10);
    assert_eq!(seen["wallClock"], "Ok(946684800s)");
    // What the clock shows: the sleep, and a step for the reading.
    assert_eq!(seen["slept"], "10.001s");
}

/// The guest `puppet` with a component in it that instantiates a core module so many times.
fn puppet_of_core_instances(count: usize) -> Vec<u8> {
    const HEADER: usize = 8;
    let instances = "(core instance (instantiate $m))".repeat(count);
    let many = format!(
        "(component (component $many (core module $m) {instances}) (instance (instantiate $many)))"
    );
    let many = wat::parse_str(many).unwrap();
    // A component is a list of sections after its header. The guest has no components of its own, so that the first one
    // is the one that these sections bring.
    let mut bytes = std::fs::read(paths::guest("puppet").unwrap()).unwrap();
    bytes.extend_from_slice(&many[HEADER..]);
    bytes
}

#[tokio::test]
async fn a_module_of_as_many_core_modules_as_toolchains_make_runs() {
    let inputs = InputDirectory::new();
    inputs.write("many.wasm", puppet_of_core_instances(48));
    inputs.write(
        "puppet.yaml",
        puppet("a", json!({"do": "apply"})).to_string(),
    );
    let render = "render --module DIR/many.wasm --filename DIR/puppet.yaml";
    let output = inputs.run(render).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);

    inputs.write("many.wasm", puppet_of_core_instances(64));
    let output = inputs.run(render).await;
    let told = "core module instances, which exceeds the configured maximum of 64";
    assert!(output.stderr.contains(told), "{}", output.stderr);
    let remedy = "build it from fewer core modules";
    assert!(output.stderr.contains(remedy), "{}", output.stderr);
}

#[tokio::test]
async fn nothing_of_the_world_outside_is_reached() {
    let seen = render("a", json!({"do": "environment"})).await;
    for empty in ["arguments", "variables"] {
        assert_eq!(seen[empty], "", "{empty}");
    }
    assert_eq!(seen["stdin"], "0 bytes");
    let ways = [
        "listRoot",
        "listHere",
        "readPasswd",
        "writeFile",
        "connectTcp",
        "listenTcp",
        "bindUdp",
        "resolveName",
        "startThread",
    ];
    for way in ways {
        let outcome = seen[way].as_str().unwrap();
        assert!(outcome.starts_with("refused: "), "{way}: {outcome}");
    }
    assert_eq!(seen.as_object().unwrap().len(), ways.len() + 3);
}

#[tokio::test]
async fn a_host_that_still_loads_its_module_ends_when_it_is_told_to() {
    let control_plane = ControlPlane::shared().await;
    let mut operator = Operator::of(control_plane, TestAccount::Host)
        .module(paths::guest("puppet").unwrap())
        .arg("--config=describe=spin")
        .arg("--deadline=60000")
        .env("RUST_LOG", "debug")
        .start();
    operator.wait_for_line("loading the module", DEADLINE).await;
    let (status, took) = operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", operator.log());
    assert!(took.as_secs() < 5, "{took:?}");
}

#[tokio::test]
async fn a_call_under_way_ends_and_is_reported_before_the_host_does() {
    let mut puppets = PuppetNamespace::serve("sigterm").await;
    puppets.apply("a", &json!({"do": "spin"})).await;
    puppets.wait_for_calls("a", 1).await;
    let (status, took) = puppets.operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", puppets.operator.log());
    assert!(took < DEADLINE);
    let puppet = puppets.namespace.get(PUPPET, "a").await.unwrap();
    let ready = condition(&puppet, "Ready").unwrap_or(&Value::Null);
    assert_eq!(
        ready["reason"],
        "DeadlineExceeded",
        "{}",
        puppets.operator.log()
    );
    assert_eq!(puppets.calls("a").len(), 1);
}
