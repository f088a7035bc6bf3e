//! A guest of which the suites make variants by changing bytes, so that they can swap one module for another.
//!
//! Each parent gets one child of its own name. A label of the child names the variant that desired it.

mod variant;

use handler_sdk::{Description, Failure, Handler, Kind, Metadata, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use variant::{VariantMode, variant};

struct Chameleon;

// It stands for versions of the worked example.
handler_sdk::export!(Chameleon, "evc");

#[derive(Deserialize)]
struct ChameleonParent {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChameleonConfig {
    /// The kind of the parents.
    #[serde(default = "claim")]
    parent: Kind,
    /// The kind of the children.
    #[serde(default)]
    child: ChameleonChild,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum ChameleonChild {
    #[default]
    PersistentVolumeClaim,
    ConfigMap,
}

fn claim() -> Kind {
    Kind::new("kopf.dev/v1", "EphemeralVolumeClaim")
}

impl Handler for Chameleon {
    type Parent = ChameleonParent;
    type Config = ChameleonConfig;

    fn describe(config: &ChameleonConfig) -> Description {
        let (_, mode) = variant();
        let kind = match config.child {
            ChameleonChild::PersistentVolumeClaim => "PersistentVolumeClaim",
            ChameleonChild::ConfigMap => "ConfigMap",
        };
        let description = Description::new(config.parent.clone()).child(Kind::new("v1", kind));
        match mode {
            VariantMode::DescribeTrap => panic!("this variant traps when it is asked what it is"),
            VariantMode::DescribeMore => description.child(Kind::new("v1", "Secret")),
            VariantMode::Ok
            | VariantMode::Trap
            | VariantMode::TrapNew
            | VariantMode::Some
            | VariantMode::Fail
            | VariantMode::Half => description,
        }
    }

    fn reconcile(request: Request<ChameleonParent, ChameleonConfig>) -> Result<Response, Failure> {
        let (name, mode) = variant();
        let ChameleonParent { metadata, spec } = &request.parent;
        let is_odd = |name: &str| name.ends_with(['1', '3', '5', '7', '9']);
        let label = match mode {
            VariantMode::Trap => panic!("this variant traps"),
            VariantMode::TrapNew if request.children.is_empty() => {
                panic!("this variant traps for new parents")
            }
            VariantMode::Half if is_odd(&metadata.name) => {
                panic!("this variant traps for odd names")
            }
            VariantMode::Fail => {
                let message = format!("Variant {name} fails. Take another one.");
                return Err(Failure::permanent(message));
            }
            VariantMode::Some if metadata.labels.get("pick").map(String::as_str) != Some("yes") => {
                "base"
            }
            VariantMode::Ok
            | VariantMode::TrapNew
            | VariantMode::DescribeTrap
            | VariantMode::DescribeMore
            | VariantMode::Some
            | VariantMode::Half => name.as_str(),
        };
        let metadata = json!({"name": metadata.name, "labels": {"variant": label}});
        Ok(Response::ready([match request.config.child {
            ChameleonChild::PersistentVolumeClaim => volume_claim(&metadata, spec),
            ChameleonChild::ConfigMap => {
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})
            }
        }]))
    }
}

fn volume_claim(metadata: &Value, spec: &Value) -> Value {
    let size = spec["size"].as_str().unwrap_or("1Gi");
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    })
}

#[cfg(test)]
mod tests {
    use handler_sdk::testing::{TestCall, describe};

    use super::*;

    fn parent() -> Value {
        json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {"size": "2Gi"}})
    }

    #[test]
    fn a_claim_gets_a_volume_claim_labelled_with_the_variant() {
        let response = TestCall::<Chameleon>::new(parent()).reconcile().unwrap();
        let child = &response.children()[0];
        assert_eq!(child["kind"], "PersistentVolumeClaim");
        assert_eq!(child["metadata"]["labels"], json!({"variant": "base"}));
        assert_eq!(child["spec"]["resources"]["requests"]["storage"], "2Gi");
    }

    #[test]
    fn the_config_names_parent_and_child() {
        let config = json!({
            "parent": {"apiVersion": "a/v1", "kind": "A"},
            "child": "ConfigMap",
        });
        assert_eq!(
            describe::<Chameleon>(&config).unwrap(),
            Description::new(Kind::new("a/v1", "A")).child(Kind::new("v1", "ConfigMap"))
        );
        let call = TestCall::<Chameleon>::new(parent()).config(&config);
        let children = call.reconcile().unwrap().children();
        assert_eq!(children[0]["kind"], "ConfigMap");
    }
}
