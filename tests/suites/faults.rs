//! Handlers that trap, spin, hog, recurse and chatter.

use handler_host_tests::eventually;
use rstest::rstest;
use serde_json::{Value, json};

use crate::stage::{DEADLINE, Stage, desire_entry, time_of};

const DEADLINE_MESSAGE: &str = "the handler ran longer than its deadline of 1000 ms; give it a longer deadline, or do less per call";
const MEMORY_MESSAGE: &str = "the handler asked for more memory than its limit of 64 MiB; give it a higher limit, or use less";

#[rstest]
#[case::a_trap(json!({"do": "trap", "message": "no more"}), "Trapped", "no more")]
#[case::the_deadline(json!({"do": "spin"}), "DeadlineExceeded", DEADLINE_MESSAGE)]
#[case::the_memory_limit(json!({"do": "hog"}), "MemoryLimitExceeded", MEMORY_MESSAGE)]
#[case::a_stack_overflow(json!({"do": "recurse"}), "Trapped", "the handler trapped: call stack exhausted")]
#[case::too_many_handles(json!({"do": "handles"}), "Trapped", "the handler trapped: it held more than 1000 handles")]
#[case::too_many_random_bytes(json!({"do": "draw", "bytes": 65_537}), "Trapped", "requested len 65537 exceeds limit 65536")]
#[tokio::test]
async fn a_fault_leaves_existing_children_untouched_and_is_retried_until_it_is_mended(
    #[case] spec: Value,
    #[case] reason: &str,
    #[case] message: &str,
) {
    let stage = Stage::set("fault").await;
    stage.puppet("a", &desire_entry("a", "before")).await;
    stage.served("a").await;
    let (version, calls) = (stage.version("a").await, stage.calls("a").len());

    let mark = stage.mark();
    stage.puppet("a", &spec).await;
    let told = stage.outcome("a", "False", reason).await;
    assert!(told.contains(message), "{told}");
    stage.wait_for_calls("a", calls + 3).await;
    assert_eq!(stage.version("a").await, version);
    let writes = stage.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
    let events = stage.wait_for_events("a", 2).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[1], format!("Warning {reason}: {told}"));

    stage.puppet("a", &desire_entry("a", "mended")).await;
    stage.entry("a", "mended").await;
    stage.served("a").await;
}

#[tokio::test]
async fn a_trap_is_told_with_what_the_guest_said() {
    let stage = Stage::set("last-words").await;
    let spec = json!({"do": "trap", "message": "the moon is in the wrong place"});
    stage.puppet("a", &spec).await;
    let told = stage.outcome("a", "False", "Trapped").await;
    assert!(
        told.starts_with("the handler trapped: wasm `unreachable` instruction executed; it said: "),
        "{told}"
    );
    assert!(told.contains("the moon is in the wrong place"), "{told}");
    assert!(!told.contains("RUST_BACKTRACE"), "{told}");
}

#[tokio::test]
async fn retries_come_after_growing_delays() {
    let stage = Stage::set("backoff").await;
    stage.puppet("a", &json!({"do": "trap"})).await;
    let calls = stage.wait_for_calls("a", 4).await;
    // 1, 2 and 4 s, less a quarter at most.
    for (index, least) in [(1, 750), (2, 1500), (3, 3000)] {
        let delay = calls[index].duration_since(calls[index - 1]);
        assert!(delay.as_millis() >= least, "{calls:?}");
    }
}

#[tokio::test]
async fn a_call_ends_within_a_second_of_its_deadline() {
    let stage = Stage::set("deadline").await;
    stage.puppet("a", &json!({"do": "spin"})).await;
    stage.outcome("a", "False", "DeadlineExceeded").await;
    let start = stage.calls("a")[0];
    let end = time_of(&stage.operator.lines_with(DEADLINE_MESSAGE)[0]);
    let took = end.duration_since(start).as_millis();
    assert!((1000..2000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn the_limits_of_a_call_are_the_operators_to_set() {
    let stage = Stage::set_with("limits", &["--deadline", "200", "--memory", "8"]).await;
    stage.puppet("spin", &json!({"do": "spin"})).await;
    stage.puppet("hog", &json!({"do": "hog"})).await;
    let told = stage.outcome("spin", "False", "DeadlineExceeded").await;
    assert!(told.contains("its deadline of 200 ms"), "{told}");
    let told = stage.outcome("hog", "False", "MemoryLimitExceeded").await;
    assert!(told.contains("its limit of 8 MiB"), "{told}");
}

#[tokio::test]
async fn others_are_served_while_a_handler_spins() {
    let mut stage = Stage::set("spin").await;
    for name in ["spin-0", "spin-1", "spin-2"] {
        stage.puppet(name, &json!({"do": "spin"})).await;
    }
    let mut round = 0;
    // One round must come through within the second of a call; more than one only on a machine that
    // is busy with other things.
    eventually(
        "a child is made during a call that spins",
        DEADLINE,
        async || {
            round += 1;
            stage.wait_for_calls("spin-0", round).await;
            let name = format!("other-{round}");
            stage.puppet(&name, &desire_entry(&name, "a")).await;
            stage.served(&name).await;
            let lines = stage.operator.lines();
            let spin = format!("object={}/spin-0", stage.namespace.name);
            let is_call =
                |line: &&String| line.contains("calling the handler") && line.ends_with(&spin);
            let start = lines
                .iter()
                .filter(is_call)
                .nth(round - 1)
                .map(|line| time_of(line))?;
            let made = lines
                .iter()
                .find(|line| line.contains("child is created") && line.contains(&name))?;
            (time_of(made).duration_since(start).as_millis() < 1000).then_some(())
        },
    )
    .await;
    stage.operator.terminate().await;
}

#[rstest]
#[case::their_own_memory(json!({"do": "hog"}), "MemoryLimitExceeded")]
#[case::handles(json!({"do": "handles"}), "Trapped")]
#[case::random_bytes(json!({"do": "draw", "bytes": 1_u64 << 40}), "Trapped")]
#[tokio::test]
async fn the_host_stays_small_while_handlers_hog(#[case] spec: Value, #[case] reason: &str) {
    let stage = Stage::set_with("hog", &["--concurrency", "2"]).await;
    stage.puppet("small", &desire_entry("small", "a")).await;
    stage.served("small").await;
    let before = stage.operator.usage().peak_resident;
    let names: Vec<_> = (0..8).map(|number| format!("hog-{number}")).collect();
    for name in &names {
        stage.puppet(name, &spec).await;
    }
    for name in &names {
        stage.outcome(name, "False", reason).await;
        stage.wait_for_calls(name, 2).await;
    }
    let grown = stage.operator.usage().peak_resident.saturating_sub(before) >> 20;
    // Two calls at a time of 64 MiB each, and some room for the host itself.
    assert!(grown < 2 * 64 + 48, "{grown} MiB");
}

#[tokio::test]
async fn a_chatty_handler_gets_a_hundred_lines_and_one_that_says_so() {
    let mut stage = Stage::set("chatter").await;
    stage.puppet("a", &json!({"do": "chatter"})).await;
    stage.served("a").await;
    let dropped =
        "the handler wrote more than 100 lines or 16384 bytes in one call; the rest is dropped";
    stage.operator.wait_for_line(dropped, DEADLINE).await;
    let calls = stage.calls("a").len();
    assert_eq!(calls, 1);
    let said = ["log line", "stdout line", "stderr line"]
        .map(|text| stage.operator.lines_with(text).len());
    assert_eq!(said.iter().sum::<usize>(), 100, "{}", stage.operator.log());
    assert_eq!(stage.operator.lines_with(dropped).len(), 1);
}

#[tokio::test]
async fn a_line_that_a_guest_forges_stays_part_of_its_own() {
    let mut stage = Stage::set("forged").await;
    let text = "fine\n2026-01-01T00:00:00Z  WARN all is lost\r\u{1b}[2K\u{1b}[31mred";
    let spec = json!({"do": "say", "text": text});
    stage.puppet("a", &spec).await;
    stage.served("a").await;
    let escaped = r"fine\n2026-01-01T00:00:00Z  WARN all is lost\r\u{1b}[2K\u{1b}[31mred";
    stage.operator.wait_for_line(escaped, DEADLINE).await;
    // Standard output and error are made of lines: a newline there ends one, which then is the guest's too.
    let object = format!("object={}/a", stage.namespace.name);
    let lines = stage
        .operator
        .wait_for_lines("all is lost", 3, DEADLINE)
        .await;
    for line in lines {
        assert!(line.contains(&object), "{line}");
        assert!(!line.contains(['\u{1b}', '\r']), "{line:?}");
    }
}

#[tokio::test]
async fn a_message_without_end_is_cut_in_the_status() {
    let stage = Stage::set("endless").await;
    let spec = json!({"do": "permanent", "message": "x".repeat(100_000)});
    stage.puppet("a", &spec).await;
    let told = stage.outcome("a", "False", "PermanentFailure").await;
    assert!(told.len() <= 4096 && told.ends_with("x…"), "{}", told.len());
    let events = stage.wait_for_events("a", 1).await;
    assert!(events[0].len() < 1100 && events[0].ends_with("x…"));
    // The status is written once and for all: what is compared is what was cut.
    let mark = stage.mark();
    stage.while_others_are_called().await;
    let writes = stage.requests(&mark).await.writes().named("a");
    assert_eq!(writes.count(), 0, "{writes}");
}
