//! Guests and modules that attack their host: what they return, compute, hold and compile to. `just hostile` measures what a
//! neighbour notices of it.

use handler_host_tests::guests::hostile;
use handler_host_tests::objects::kinds::PUPPET;
use handler_host_tests::objects::{condition, puppet, text};
use handler_host_tests::operator::MemoryGroup;
use handler_host_tests::programs::input_directory::InputDirectory;
use handler_host_tests::{
    ControlPlane, DEADLINE, Namespace, Operator, TestAccount, eventually, paths,
};
use rstest::rstest;
use serde_json::json;

/// The most memory that a host of the debug build may have while a few parents attack it.
const PEAK: u64 = 200 << 20;

/// Waits until a parent that does nothing wrong is served.
async fn another_is_served(namespace: &Namespace) {
    namespace
        .apply(&puppet("well", json!({"attack": "none"})))
        .await
        .unwrap();
    namespace
        .wait_for_ready(PUPPET, "well", "True", "Reconciled", 2 * DEADLINE)
        .await;
}

#[rstest]
#[case::a_long_status("status", 2 << 20, "Denied", "a status patch of 2097160 bytes, its limit is 262144")]
#[case::a_response_over_all_limits(
    "status",
    6 << 20,
    "Denied",
    "the handler passed more than its limit of 4096 KiB to the host at once"
)]
#[case::small_values("values", 200 << 10, "Denied", "more than 16 MiB of memory once it is parsed")]
#[case::small_values_in_children("values-in-children", 200 << 10, "Denied", "once it is parsed")]
#[case::a_deep_text("deep", 100_000, "Denied", "recursion limit exceeded")]
#[case::large_children("children", 250 << 10, "Denied", "more than its limit of 4096 KiB")]
#[case::many_children("many", 10_000, "Denied", "returned 10000 children, its limit is 100")]
#[case::long_events("events", 100 << 10, "Reconciled", "")]
#[case::a_long_message("waiting", 1 << 20, "Waiting", "")]
#[case::a_long_failure("permanent", 1 << 20, "PermanentFailure", "")]
#[case::a_long_delay("temporary", 1 << 20, "TemporaryFailure", "")]
#[case::a_long_panic("trap", 1 << 20, "Trapped", "")]
#[case::a_long_line("log", 3 << 20, "Reconciled", "")]
#[case::many_lines("logs", 100_000, "Reconciled", "")]
#[case::a_long_output("print", 3 << 20, "Reconciled", "")]
#[case::memory_that_is_held("hold", 8 << 20, "DeadlineExceeded", "")]
#[case::no_end("spin", 0, "DeadlineExceeded", "")]
#[case::many_queries(
    "queries",
    200,
    "Denied",
    "asked 200 queries for related objects, its limit is 100"
)]
#[case::very_many_queries(
    "queries",
    10_000,
    "Denied",
    "queries for related objects take more than 64 KiB"
)]
#[case::a_query_of_many_values("query-values", 1000, "PermanentFailure", "name at most 100")]
#[case::a_long_name_in_a_query("query-name", 1 << 20, "Denied", "queries for related objects take more than 64 KiB")]
#[case::queries_without_end("query-spin", 0, "DeadlineExceeded", "")]
#[case::many_conditions(
    "conditions",
    10_000,
    "Denied",
    "returned 10000 conditions, its limit is 32"
)]
#[case::a_long_condition("condition", 1 << 20, "Reconciled", "")]
#[case::a_failure_with_a_long_status("failure-status", 1 << 20, "Denied", "its limit is 262144")]
#[case::a_failure_with_small_values("failure-values", 200 << 10, "Denied", "more than 64 KiB of memory once it is parsed")]
#[tokio::test]
async fn an_attack_is_told_and_costs_the_host_little(
    #[case] attack: &str,
    #[case] size: usize,
    #[case] reason: &str,
    #[case] message: &str,
) {
    const PARENTS: usize = 8;
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "hostile").await;
    let operator = Operator::of(control_plane, TestAccount::Host)
        .module(paths::guest("hostile").unwrap())
        .namespace(&namespace.name)
        .arg("--deadline")
        .arg("2000")
        .arg("--config")
        .arg("related=ConfigMap")
        .start();
    hostile::attack(&namespace, PARENTS, attack, size).await;
    eventually("every parent is told", 3 * DEADLINE, async || {
        let puppets = namespace.list(PUPPET).await;
        let told = puppets.iter().filter(|puppet| {
            condition(puppet, "Ready").is_some_and(|ready| {
                ready["reason"] == reason && text(&ready["message"]).contains(message)
            })
        });
        if told.count() == PARENTS {
            Ok(())
        } else {
            let ready = puppets
                .first()
                .and_then(|puppet| condition(puppet, "Ready"));
            Err(format!("{:.600}", format!("{ready:?}")))
        }
    })
    .await;
    another_is_served(&namespace).await;
    let usage = operator.usage();
    assert!(
        usage.peak_resident < PEAK,
        "{} MiB at most",
        usage.peak_resident >> 20
    );
}

/// The memory of the smallest Pod, for the debug build, which needs twice of what the optimised one does.
const SMALL_POD: u64 = 128 << 20;

#[rstest]
#[case::children_that_fill_the_host("children", 30 << 10, "MemoryLimitExceeded", "objects take")]
#[case::statuses_as_large_as_they_may_be("status", 250 << 10, "Reconciled", "")]
#[case::statuses_of_many_values("values", 20 << 10, "Reconciled", "")]
#[case::more_than_the_host_has_for_an_answer(
    "values",
    100 << 10,
    "MemoryLimitExceeded",
    "the handler's answer takes more than the"
)]
#[tokio::test]
async fn what_is_within_the_handlers_limits_is_kept_within_the_hosts_memory_too(
    #[case] attack: &str,
    #[case] size: usize,
    #[case] reason: &str,
    #[case] message: &str,
) {
    const PARENTS: usize = 20;
    let Some(group) = MemoryGroup::new(&format!("handler-host-{attack}-{size}"), SMALL_POD) else {
        // Only root may make a control group, and not everywhere.
        return;
    };
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "filled").await;
    let options = Operator::of(control_plane, TestAccount::Host)
        .module(paths::guest("hostile").unwrap())
        .namespace(&namespace.name)
        .arg("--memory")
        .arg("16")
        .arg("--deadline")
        .arg("5000");
    let operator = group.within(|| options.start());
    another_is_served(&namespace).await;
    hostile::attack(&namespace, PARENTS, attack, size).await;
    eventually(
        "every parent is told, and one the reason",
        4 * DEADLINE,
        async || {
            let puppets = namespace.list(PUPPET).await;
            let told = puppets
                .iter()
                .filter_map(|puppet| condition(puppet, "Ready"));
            let told: Vec<_> = told.collect();
            let has_reason = told.iter().any(|ready| {
                ready["reason"] == reason && text(&ready["message"]).contains(message)
            });
            if told.len() == PARENTS + 1 && has_reason {
                Ok(())
            } else {
                Err(format!(
                    "{:.600}",
                    format!("{} told, {:?}", told.len(), told.last())
                ))
            }
        },
    )
    .await;
    // It was not ended.
    operator.usage();
}

#[tokio::test]
async fn a_module_that_describes_very_many_kinds_is_refused_at_once() {
    let inputs = InputDirectory::new();
    std::fs::copy(
        paths::guest("hostile").unwrap(),
        inputs.directory.path().join("hostile.wasm"),
    )
    .unwrap();
    let command =
        "inspect DIR/hostile.wasm --config describe=kinds --config size=20000 --memory 256";
    let output = inputs.run(command).await;
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let told = "describes 20001 kinds of children, its limit is 100; describe fewer";
    assert!(output.stderr.contains(told), "{}", output.stderr);
}

#[tokio::test]
async fn a_module_that_takes_much_to_compile_ends_its_compiler_and_not_the_host() {
    let Some(group) = MemoryGroup::new("handler-host-bomb", 96 << 20) else {
        // Only root may make a control group, and not everywhere.
        return;
    };
    let control_plane = ControlPlane::shared().await;
    let directory = tempfile::tempdir().unwrap();
    let bomb = directory.path().join("bomb.wasm");
    std::fs::write(&bomb, hostile::compile_bomb()).unwrap();
    let handler = |name: &str, module: &std::path::Path, kind: &str| {
        let spec = json!({
            "module": {"path": module}, "parent": {"apiVersion": PUPPET.0, "kind": kind},
            "children": [{"apiVersion": "v1", "kind": "ConfigMap"}], "limits": {"memory": "8Mi"},
        });
        hostile::write_handler(directory.path(), name, &spec);
    };
    handler("bomb", &bomb, "Bomb");
    handler("well", &paths::guest("hostile").unwrap(), PUPPET.1);
    let namespace = Namespace::create(control_plane, "bomb").await;
    let options = Operator::of(control_plane, TestAccount::Host)
        .arg("--handler")
        .arg(directory.path())
        .arg("--namespace")
        .arg(&namespace.name);
    let mut operator = group.within(|| options.start());
    let line = operator
        .wait_for_line("MiB of memory that this host has for it", 3 * DEADLINE)
        .await;
    assert!(line.contains("build it smaller"), "{line}");
    another_is_served(&namespace).await;
}

#[tokio::test]
async fn a_status_that_grows_without_end_is_not_written_any_more_and_costs_the_host_little() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "growing").await;
    let Some(group) = MemoryGroup::new("handler-host-growing", SMALL_POD) else {
        return;
    };
    let options = Operator::of(control_plane, TestAccount::Host)
        .module(paths::guest("hostile").unwrap())
        .namespace(&namespace.name)
        .arg("--memory")
        .arg("16")
        .arg("--deadline")
        .arg("5000");
    let mut operator = group.within(|| options.start());
    hostile::attack(&namespace, 4, "grow", 30 << 10).await;
    let told = "takes more memory than the host has for an answer, so it is not written any more";
    operator.wait_for_line(told, 4 * DEADLINE).await;
    another_is_served(&namespace).await;
    operator.terminate().await;
}
