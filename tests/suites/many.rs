//! Ten Handlers for ten kinds in one host.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::future::join_all;
use handler_host_tests::objects::kinds::CONFIG_MAP;
use handler_host_tests::objects::things::{THINGS, thing};
use handler_host_tests::objects::{object, resource};
use handler_host_tests::{Hosted, eventually};
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

const KINDS: usize = 10;

async fn follow(hosted: &Hosted, index: usize, variant: &str) {
    let what = format!("the ConfigMap of {} is of variant {variant}", thing(index));
    eventually(&what, Duration::from_secs(60), async || {
        let map = hosted
            .namespace
            .get(CONFIG_MAP, &format!("thing-{index}"))
            .await;
        let map = map.unwrap_or_default();
        if map["metadata"]["labels"]["variant"] == variant {
            Ok(())
        } else {
            Err(format!("{map:#}\n{}", hosted.operator.log()))
        }
    })
    .await;
}

#[tokio::test]
async fn swapping_one_of_ten_handlers_leaves_the_other_nine_untouched() {
    let hosted = Hosted::start("many").await;
    let mut digests = Vec::new();
    for index in 0..KINDS {
        hosted.install_thing(index).await;
        digests.push(hosted.put(&format!("{index}.wasm"), &format!("one-{index}"), "ok"));
        hosted
            .apply(&thing(index), &hosted.things_from(index))
            .await;
    }
    for (index, digest) in digests.iter().enumerate() {
        hosted.serves(&thing(index), digest).await;
        let made = object(THINGS, &thing(index), &format!("thing-{index}"), &json!({}));
        let api: Api<DynamicObject> = Api::namespaced_with(
            hosted.namespace.client.clone(),
            &hosted.namespace.name,
            &resource(THINGS, &thing(index)),
        );
        let made = serde_json::from_value(made).unwrap();
        api.create(&PostParams::default(), &made).await.unwrap();
    }
    join_all((0..KINDS).map(|index| {
        let hosted = &hosted;
        async move { follow(hosted, index, &format!("one-{index}")).await }
    }))
    .await;
    // Each Handler has one parent, and the host has dealt with every change of the parent, its child and its status. So
    // the counts of the Handlers no longer change.
    let before = join_all((0..KINDS).map(|index| at_rest(&hosted, index))).await;

    let mark = hosted.mark();
    let two = hosted.put("3.wasm", "two-3", "ok");
    hosted.serves(&thing(3), &two).await;
    follow(&hosted, 3, "two-3").await;
    let writes = hosted.requests(&mark).await.writes().resource("configmaps");
    assert_eq!(writes.count(), 1, "{writes}");
    assert_eq!(writes.named("thing-3").count(), 1, "{writes}");
    for (index, before) in before.iter().enumerate().filter(|(index, _)| *index != 3) {
        let now = hosted.serves(&thing(index), &digests[index]).await;
        let part = |it: &Value| {
            json!([
                it["status"]["module"],
                it["status"]["lastSwap"],
                it["status"]["calls"]
            ])
        };
        assert_eq!(part(&now), part(before), "{index}");
    }
}

/// Waits until the count of calls of a Handler has not changed for longer than a host takes to write a new count.
/// Returns the Handler.
async fn at_rest(hosted: &Hosted, index: usize) -> Value {
    let told = Cell::new((None, Instant::now()));
    let is_at_rest = |it: &Value| {
        let calls = it["status"]["calls"].as_i64();
        let (before, since) = told.get();
        if calls != before {
            told.set((calls, Instant::now()));
            return false;
        }
        it["status"]["parents"] == 1 && since.elapsed() > Duration::from_secs(5)
    };
    let name = thing(index);
    hosted
        .wait_for(&name, "its count of calls no longer changes", is_at_rest)
        .await
}
