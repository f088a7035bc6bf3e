use handler_sdk::testing::{TestCall, describe};
use rstest::rstest;

use super::*;

fn claim(spec: &Value) -> Value {
    json!({"metadata": {"name": "my-claim", "namespace": "default"}, "spec": spec})
}

fn reconcile(spec: &Value) -> Result<Response, Failure> {
    TestCall::<EvcHandler>::new(claim(spec)).reconcile()
}

#[test]
fn it_describes_claims_as_parents_and_volume_claims_as_children() {
    assert_eq!(
        describe::<EvcHandler>(json!({})).unwrap(),
        Description::new(Kind::new("kopf.dev/v1", "EphemeralVolumeClaim"))
            .child(Kind::new("v1", "PersistentVolumeClaim"))
    );
}

#[test]
fn a_claim_gets_a_volume_claim_of_its_name_and_size() {
    let mut claim = claim(&json!({"size": "1G"}));
    claim["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "owned by a tool"});
    claim["metadata"]["annotations"] = json!({"not": "carried"});
    assert_eq!(
        TestCall::<EvcHandler>::new(claim).reconcile().unwrap(),
        Response::ready([json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "my-claim",
                "labels": {},
                "annotations": {"volume.beta.kubernetes.io/storage-class": "standard"},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1G"}},
            },
        })])
    );
}

#[test]
fn a_volume_claim_carries_the_labels_that_the_config_names() {
    let mut claim = claim(&json!({"size": "1G"}));
    claim["metadata"]["labels"] =
        json!({"team": "a", "tier": "gold", "applyset.kubernetes.io/part-of": "x"});
    let response = TestCall::<EvcHandler>::new(claim)
        .config(json!({"copyLabels": ["team", "missing"]}))
        .reconcile()
        .unwrap();
    assert_eq!(
        response.children()[0]["metadata"]["labels"],
        json!({"team": "a"})
    );
}

#[test]
fn the_storage_class_comes_from_the_config() {
    let response = TestCall::<EvcHandler>::new(claim(&json!({"size": "1G"})))
        .config(json!({"storageClass": "fast"}))
        .reconcile()
        .unwrap();
    assert_eq!(
        response.children()[0]["metadata"]["annotations"],
        json!({"volume.beta.kubernetes.io/storage-class": "fast"})
    );
}

#[rstest]
#[case(json!("1024Mi"), "1024Mi")]
#[case(json!("1.5Gi"), "1.5Gi")]
#[case(json!("+1e9"), "+1e9")]
#[case(json!("0.5"), "0.5")]
#[case(json!(1024), "1024")]
#[case(json!(1.5), "1.5")]
#[case(json!(1e9), "1000000000.0")]
#[case(json!(1e30), "1e+30")]
fn a_size_is_requested_as_it_was_given(#[case] size: Value, #[case] storage: &str) {
    let response = reconcile(&json!({"size": size})).unwrap();
    assert_eq!(
        response.children()[0]["spec"]["resources"]["requests"]["storage"],
        storage
    );
}

#[rstest]
#[case::no_spec(json!(null), "Size must be set. Got null.")]
#[case::no_size(json!({}), "Size must be set. Got null.")]
#[case::null(json!({"size": null}), "Size must be set. Got null.")]
#[case::empty(json!({"size": ""}), "Size must be set. Got \"\".")]
#[case::zero(json!({"size": 0}), "Size must be set. Got 0.")]
#[case::zero_text(json!({"size": "0Gi"}), "Size must be set. Got \"0Gi\".")]
#[case::bogus(json!({"size": "lots"}), "Size must be a quantity such as 1Gi. Got \"lots\".")]
#[case::boolean(json!({"size": true}), "Size must be a quantity such as 1Gi. Got true.")]
#[case::list(json!({"size": [1]}), "Size must be a quantity such as 1Gi. Got [1].")]
#[case::negative(json!({"size": "-1G"}), "Size must be positive, such as 1Gi. Got \"-1G\".")]
#[case::negative_number(json!({"size": -1}), "Size must be positive, such as 1Gi. Got -1.")]
#[case::text(json!("1Gi"), "Spec must be an object such as {\"size\": \"1Gi\"}. Got \"1Gi\".")]
fn a_wrong_size_fails_for_good_with_the_value_and_a_right_one(
    #[case] spec: Value,
    #[case] message: &str,
) {
    assert_eq!(reconcile(&spec), Err(Failure::permanent(message)));
}

#[test]
fn a_claim_without_spec_is_told_to_set_a_size() {
    let call = TestCall::<EvcHandler>::new(json!({"metadata": {"name": "my-claim"}}));
    assert_eq!(
        call.reconcile(),
        Err(Failure::permanent("Size must be set. Got null."))
    );
}

#[rstest]
#[case::unknown(
    json!({"storageclass": "fast"}),
    "config: unknown field `storageclass`, expected `storageClass` or `copyLabels`. \
     Correct or remove it in the handler's config."
)]
#[case::empty(
    json!({"storageClass": ""}),
    "config.storageClass: must be the name of a storage class, such as standard; got \"\". \
     Correct or remove it in the handler's config."
)]
#[case::number(
    json!({"storageClass": 5}),
    "config.storageClass: invalid type: integer `5`, expected a string. \
     Correct or remove it in the handler's config."
)]
fn a_wrong_config_is_refused(#[case] config: Value, #[case] message: &str) {
    assert_eq!(describe::<EvcHandler>(config), Err(message.to_owned()));
}
