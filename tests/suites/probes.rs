//! The probes of a host: whether it is alive, and whether it is ready.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::namespace::claims::operator;
use handler_host_tests::objects::kinds::PVC;
use handler_host_tests::objects::names;
use handler_host_tests::{
    ControlPlane, DEADLINE, Hosted, LISTEN, Namespace, ProbeClient, PuppetNamespace, Relay,
    VolumeClaims, eventually, handler_host, paths, write_atomically,
};
use insta::assert_snapshot;
use serde_json::json;

/// How long the hosts of these tests let a watch be silent. The bookmarks of the API server come only once a minute.
const SILENCE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_address_that_is_taken_ends_the_start_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let module = paths::guest("evc").unwrap();
    let module = module.to_str().unwrap();
    let output = handler_host(["run", "--module", module, "--listen", &address]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let said = output.stderr.replace(&address, "ADDRESS");
    assert_snapshot!(said.trim_end(), @"error: --listen ADDRESS: Address already in use (os error 98); name an address of this machine and a port that is free");
}

#[tokio::test]
async fn a_host_is_ready_when_its_caches_are_filled_and_says_before_what_it_waits_for() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "readied").await;
    let mut relay = Relay::to(control_plane);
    let options = operator(control_plane, &namespace.name);
    let mut operator = LISTEN
        .iter()
        .fold(options, |options, argument| options.arg(argument))
        .kubeconfig(relay.kubeconfig())
        .start();
    let probes = ProbeClient::of(&mut operator).await;
    operator.wait_for_line("trying again", DEADLINE).await;
    let answer = eventually("it says what it waits for", DEADLINE, async || {
        let answer = probes.get("/readyz").await;
        if answer.body.contains("looked for") {
            Ok(answer)
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
    assert_eq!(answer.code, 503);
    assert_snapshot!(answer.body, @r"
    [+]handlers ok
    [-]handler/evc failed: its kinds are being looked for: Connection refused (os error 111)
    readyz check failed
    ");
    assert_eq!(probes.get("/livez").await.body, "ok");

    relay.mend().await;
    let answer = probes.answers("/readyz", 200).await;
    assert_eq!(answer.body, "ok");
    // The workers start in the same moment.
    operator.wait_for_line("serving", DEADLINE).await;
    assert_snapshot!(probes.get("/readyz?verbose").await.body, @r"
    [+]handlers ok
    readyz check passed
    ");
    assert_snapshot!(probes.get("/livez?verbose").await.body, @r"
    [+]moving ok
    livez check passed
    ");
    assert_eq!(probes.get("/healthz").await.code, 404);
    assert_eq!(probes.ask("POST", "/livez", "*/*").await.code, 405);
    // A host that was ready stays ready in an outage, because another host would not do better.
    relay.cut().await;
    operator.wait_for_lines("trying again", 2, DEADLINE).await;
    assert_eq!(probes.get("/readyz").await.code, 200);
}

#[tokio::test]
async fn handlers_that_cannot_be_served_do_not_keep_a_host_unready() {
    let mut hosted = Hosted::start_with("unready", &LISTEN).await;
    hosted.put("evc.wasm", "one", "ok");
    write_atomically(&hosted.path("broken.wasm"), b"no module");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.told("evc", "Ready", "True", "Serving").await;
    hosted.apply("taken", &hosted.claims_from("evc.wasm")).await;
    hosted.told("taken", "Ready", "False", "ParentTaken").await;
    let kind = json!({"apiVersion": "nobody.example/v1", "kind": "Nothing"});
    let mut missing = hosted.claims_from("evc.wasm");
    missing["parent"] = kind.clone();
    missing["config"] = json!({"parent": kind});
    hosted.apply("missing", &missing).await;
    let mut broken = hosted.claims_from("broken.wasm");
    broken["parent"] = json!({"apiVersion": "v1", "kind": "Secret"});
    hosted.apply("broken", &broken).await;
    let mut nowhere = hosted.claims_from("nowhere.wasm");
    nowhere["parent"] = json!({"apiVersion": "v1", "kind": "Service"});
    hosted.apply("nowhere", &nowhere).await;

    hosted.restart().await;
    let probes = ProbeClient::of(&mut hosted.operator).await;
    probes.answers("/readyz", 200).await;
    hosted.make(&names(1)).await;
    hosted.ready(&names(1)).await;
}

#[tokio::test]
async fn livez_fails_when_a_watch_is_silent_for_too_long_but_not_in_an_outage() {
    let control_plane = ControlPlane::shared().await;
    let mut relay = Relay::to(control_plane);
    relay.mend().await;
    let kubeconfig = relay.kubeconfig();
    let silence = SILENCE.as_secs().to_string();
    let [listen, address] = LISTEN;
    let arguments = [
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        listen,
        address,
        "--max-silence",
        &silence,
    ];
    let mut claims = VolumeClaims::served_with(control_plane, "wedged", &arguments).await;
    let probes = ProbeClient::of(&mut claims.operator).await;
    claims.create_ready("claim", "1Gi").await;

    let (began, mut since) = (Instant::now(), Instant::now());
    // Both watches receive events, so they stay alive for longer than they may be silent.
    while since.elapsed() < SILENCE + SILENCE / 2 {
        let touched = Instant::now();
        let stamp = json!({"metadata": {"annotations": {"touched": format!("{touched:?}")}}});
        let (_, volume) = futures::join!(
            claims.touch("claim"),
            claims.namespace.merge(PVC, "claim", &stamp)
        );
        volume.unwrap();
        let answer = probes.get("/livez").await;
        if touched.elapsed() > SILENCE / 2 {
            // An API server that takes that long for a write may send no events in that time either.
            since = Instant::now();
            assert!(began.elapsed() < SILENCE * 20, "the machine is too busy");
            continue;
        }
        assert_eq!(answer.code, 200, "{}", answer.body);
    }

    relay.stall();
    let answer = probes.answers("/livez", 503).await;
    // Either of the two watches may be the silent one.
    let named = "failed: silent: watch of /";
    assert!(answer.body.contains(named), "{}", answer.body);
    let stalled = probes.metrics().await;
    let stalled = stalled.value("handler_host_watches", &[("state", "stalled")]);
    assert!(stalled.is_some_and(|count| count > 0.0), "{stalled:?}");

    // The host leaves the silent watch when its connection ends.
    relay.cut().await;
    relay.flow();
    probes.answers("/livez", 200).await;
    claims
        .operator
        .wait_for_line("trying again", DEADLINE)
        .await;
    let began = Instant::now();
    while began.elapsed() < SILENCE + SILENCE / 2 {
        let answer = probes.get("/livez").await;
        assert_eq!(answer.code, 200, "{}", answer.body);
        tokio::task::yield_now().await;
    }
    relay.mend().await;
    claims.create_ready("afterwards", "1Gi").await;
}

#[tokio::test]
async fn livez_fails_while_the_workers_of_a_handler_do_not_move() {
    let [listen, address] = LISTEN;
    // The deadline of a call is longer than the time for which the host may be silent.
    let silence = ["--max-silence", "2", "--deadline", "12000"];
    let arguments: Vec<_> = [listen, address].into_iter().chain(silence).collect();
    let mut puppets = PuppetNamespace::serve_with("stuck", &arguments).await;
    let probes = ProbeClient::of(&mut puppets.operator).await;
    puppets.apply("a", &json!({"do": "spin"})).await;
    let named = "the workers of handler puppet for ";
    let answer = |is_named: bool| {
        let probes = &probes;
        async move {
            let body = probes.get("/livez").await.body;
            if body.contains(named) == is_named {
                Ok(())
            } else {
                Err(body)
            }
        }
    };
    eventually("the workers are silent", DEADLINE, async || {
        answer(true).await
    })
    .await;
    puppets.outcome("a", "False", "DeadlineExceeded").await;
    puppets.apply("a", &desire_entry("a", "mended")).await;
    eventually("the workers move", DEADLINE, async || answer(false).await).await;
}

#[tokio::test]
async fn idle_connections_keep_no_probe_out() {
    let mut puppets = PuppetNamespace::serve_with("idle", &LISTEN).await;
    let probes = ProbeClient::of(&mut puppets.operator).await;
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(
            tokio::net::TcpStream::connect(probes.address())
                .await
                .unwrap(),
        );
        if idle.len() % 100 == 0 {
            let started = Instant::now();
            assert_eq!(probes.get("/livez").await.code, 200);
            let took = started.elapsed();
            assert!(took.as_secs() < 1, "{took:?} with {} idle", idle.len());
        }
    }
}
