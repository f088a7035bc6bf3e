//! Handlers that trap, run without end, take all memory, recurse without end, or log without end.

use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::operator::time_of;
use handler_host_tests::{DEADLINE, PuppetNamespace, eventually};
use rstest::rstest;
use serde_json::{Value, json};

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
    let puppets = PuppetNamespace::serve("fault").await;
    puppets.apply("a", &desire_entry("a", "before")).await;
    puppets.served("a").await;
    let (version, calls) = (puppets.version("a").await, puppets.calls("a").len());

    let mark = puppets.mark();
    puppets.apply("a", &spec).await;
    let told = puppets.outcome("a", "False", reason).await;
    assert!(told.contains(message), "{told}");
    puppets.wait_for_calls("a", calls + 3).await;
    assert_eq!(puppets.version("a").await, version);
    let writes = puppets.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
    let events = puppets.wait_for_events("a", 2).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[1], format!("Warning {reason}: {told}"));

    puppets.apply("a", &desire_entry("a", "mended")).await;
    puppets.entry("a", "mended").await;
    puppets.served("a").await;
}

#[tokio::test]
async fn a_trap_is_told_with_what_the_guest_said() {
    let puppets = PuppetNamespace::serve("last-words").await;
    let spec = json!({"do": "trap", "message": "the moon is in the wrong place"});
    puppets.apply("a", &spec).await;
    let told = puppets.outcome("a", "False", "Trapped").await;
    assert!(
        told.starts_with("the handler trapped: wasm `unreachable` instruction executed; it said: "),
        "{told}"
    );
    assert!(told.contains("the moon is in the wrong place"), "{told}");
    assert!(!told.contains("RUST_BACKTRACE"), "{told}");
}

#[tokio::test]
async fn retries_come_after_growing_delays() {
    let puppets = PuppetNamespace::serve("backoff").await;
    puppets.apply("a", &json!({"do": "trap"})).await;
    let calls = puppets.wait_for_calls("a", 4).await;
    // The delays are 1, 2 and 4 s, less a quarter at most.
    for (index, least) in [(1, 750), (2, 1500), (3, 3000)] {
        let delay = calls[index].duration_since(calls[index - 1]);
        assert!(delay.as_millis() >= least, "{calls:?}");
    }
}

#[tokio::test]
async fn a_call_ends_within_a_second_of_its_deadline() {
    let puppets = PuppetNamespace::serve("deadline").await;
    puppets.apply("a", &json!({"do": "spin"})).await;
    puppets.outcome("a", "False", "DeadlineExceeded").await;
    let start = puppets.calls("a")[0];
    let end = time_of(&puppets.operator.lines_with(DEADLINE_MESSAGE)[0]);
    let took = end.duration_since(start).as_millis();
    assert!((1000..2000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn the_limits_of_a_call_are_the_operators_to_set() {
    let puppets =
        PuppetNamespace::serve_with("limits", &["--deadline", "200", "--memory", "8"]).await;
    puppets.apply("spin", &json!({"do": "spin"})).await;
    puppets.apply("hog", &json!({"do": "hog"})).await;
    let told = puppets.outcome("spin", "False", "DeadlineExceeded").await;
    assert!(told.contains("its deadline of 200 ms"), "{told}");
    let told = puppets.outcome("hog", "False", "MemoryLimitExceeded").await;
    assert!(told.contains("its limit of 8 MiB"), "{told}");
}

#[tokio::test]
async fn others_are_served_while_a_handler_spins() {
    let mut puppets = PuppetNamespace::serve("spin").await;
    for name in ["spin-0", "spin-1", "spin-2"] {
        puppets.apply(name, &json!({"do": "spin"})).await;
    }
    let mut round = 0;
    // A child must be made within the second that a call lasts. Only on a busy machine does this take more than one
    // round.
    eventually(
        "a child is made during a call that spins",
        DEADLINE,
        async || {
            round += 1;
            puppets.wait_for_calls("spin-0", round).await;
            let name = format!("other-{round}");
            puppets.apply(&name, &desire_entry(&name, "a")).await;
            puppets.served(&name).await;
            let lines = puppets.operator.lines();
            let spin = format!("object={}/spin-0", puppets.namespace.name);
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
    puppets.operator.terminate().await;
}

#[rstest]
#[case::their_own_memory(json!({"do": "hog"}), "MemoryLimitExceeded")]
#[case::handles(json!({"do": "handles"}), "Trapped")]
#[case::random_bytes(json!({"do": "draw", "bytes": 1_u64 << 40}), "Trapped")]
#[tokio::test]
async fn the_host_stays_small_while_handlers_hog(#[case] spec: Value, #[case] reason: &str) {
    let puppets = PuppetNamespace::serve_with("hog", &["--concurrency", "2"]).await;
    puppets.apply("small", &desire_entry("small", "a")).await;
    puppets.served("small").await;
    let before = puppets.operator.usage().peak_resident;
    let names: Vec<_> = (0..8).map(|number| format!("hog-{number}")).collect();
    for name in &names {
        puppets.apply(name, &spec).await;
    }
    for name in &names {
        puppets.outcome(name, "False", reason).await;
        puppets.wait_for_calls(name, 2).await;
    }
    let grown = puppets
        .operator
        .usage()
        .peak_resident
        .saturating_sub(before)
        >> 20;
    // Two calls run at a time with 64 MiB each, and the host itself needs some memory.
    assert!(grown < 2 * 64 + 48, "{grown} MiB");
}

#[tokio::test]
async fn a_chatty_handler_gets_a_hundred_lines_and_one_that_says_so() {
    let mut puppets = PuppetNamespace::serve("chatter").await;
    puppets.apply("a", &json!({"do": "chatter"})).await;
    puppets.served("a").await;
    let dropped =
        "the handler wrote more than 100 lines or 16384 bytes in one call; the rest is dropped";
    puppets.operator.wait_for_line(dropped, DEADLINE).await;
    let calls = puppets.calls("a").len();
    assert_eq!(calls, 1);
    let said = ["log line", "stdout line", "stderr line"]
        .map(|text| puppets.operator.lines_with(text).len());
    assert_eq!(
        said.iter().sum::<usize>(),
        100,
        "{}",
        puppets.operator.log()
    );
    assert_eq!(puppets.operator.lines_with(dropped).len(), 1);
}

#[tokio::test]
async fn a_line_that_a_guest_forges_stays_part_of_its_own() {
    let mut puppets = PuppetNamespace::serve("forged").await;
    let text = "fine\n2026-01-01T00:00:00Z  WARN all is lost\r\u{1b}[2K\u{1b}[31mred";
    let spec = json!({"do": "say", "text": text});
    puppets.apply("a", &spec).await;
    puppets.served("a").await;
    let escaped = r"fine\n2026-01-01T00:00:00Z  WARN all is lost\r\u{1b}[2K\u{1b}[31mred";
    puppets.operator.wait_for_line(escaped, DEADLINE).await;
    // On standard output and standard error a newline ends a line, so the forged text is a line of its own there. The
    // log marks that line too as the output of the guest.
    let object = format!("object={}/a", puppets.namespace.name);
    let lines = puppets
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
    let puppets = PuppetNamespace::serve("endless").await;
    let spec = json!({"do": "permanent", "message": "x".repeat(100_000)});
    puppets.apply("a", &spec).await;
    let told = puppets.outcome("a", "False", "PermanentFailure").await;
    assert!(told.len() <= 4096 && told.ends_with("x…"), "{}", told.len());
    let events = puppets.wait_for_events("a", 1).await;
    assert!(events[0].len() < 1100 && events[0].ends_with("x…"));
    // The status is not written again, because the host compares it with the message that it cut.
    let mark = puppets.mark();
    puppets.while_others_are_called().await;
    let writes = puppets.requests(&mark).await.writes().named("a");
    assert_eq!(writes.count(), 0, "{writes}");
}
