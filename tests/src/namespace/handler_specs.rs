//! Handlers, kinds and rights that tests make.

use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::handlers::Hosted;
use crate::accounts::TestAccount;
use crate::objects;
use crate::objects::kinds::{CLAIM, CONFIG_MAP, PVC};
use crate::objects::manifest::FIELD_MANAGER;
use crate::objects::things::{THINGS, thing};
use crate::wait::eventually;

impl Hosted {
    /// The spec of a Handler of claims. Its module is a file in the directory of the modules.
    pub fn claims_from(&self, file: &str) -> Value {
        json!({
            "module": {"path": self.path(file)},
            "parent": {"apiVersion": CLAIM.0, "kind": CLAIM.1},
            "children": [{"apiVersion": PVC.0, "kind": PVC.1}],
        })
    }

    /// Installs the kind [`thing`] of this index.
    pub async fn install_thing(&self, index: usize) {
        let (kind, plural) = (thing(index), format!("thing{index}s"));
        let group = THINGS.split('/').next().unwrap_or_default();
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        });
        let api: Api<DynamicObject> = Api::all_with(
            self.namespace.client.clone(),
            &objects::resource("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        );
        let name = crd["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&crd);
        let applied = api.patch(name, &params, &patch).await;
        applied.unwrap_or_else(|error| panic!("CRD {name}: {error}"));
        self.is_known_as_owner(&kind).await;
    }

    /// Waits until children may name a thing of this kind, which a test installed in its own way, as their owner.
    pub async fn install_owner(&self, kind: &str) {
        self.is_known_as_owner(kind).await;
    }

    /// Waits until children may name a kind as their owner. The admission plugin
    /// OwnerReferencesPermissionEnforcement refuses, with 403 and for every user, an owner of a kind that is newer
    /// than the plugin's list of kinds. The plugin renews that list twice a minute.
    async fn is_known_as_owner(&self, kind: &str) {
        let owner = json!({
            "apiVersion": THINGS, "kind": kind, "name": "any", "uid": "any", "blockOwnerDeletion": true,
        });
        let mut owned = objects::config_map("owned", "key", "a");
        owned["metadata"]["ownerReferences"] = json!([owner]);
        let owned: DynamicObject = serde_json::from_value(owned)
            .unwrap_or_else(|error| panic!("a ConfigMap of {kind}: {error}"));
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let maps = self.namespace.api(CONFIG_MAP);
        let what = format!("{kind} is known as an owner");
        eventually(&what, Duration::from_secs(90), async || {
            maps.create(&dry_run, &owned).await
        })
        .await;
    }

    /// The spec of a Handler of the things of an index, whose children are ConfigMaps. Its module is the file of
    /// that number.
    pub fn things_from(&self, index: usize) -> Value {
        let parent = json!({"apiVersion": THINGS, "kind": thing(index)});
        json!({
            "module": {"path": self.path(&format!("{index}.wasm"))},
            "parent": parent,
            "children": [{"apiVersion": CONFIG_MAP.0, "kind": CONFIG_MAP.1}],
            "config": {"parent": parent, "child": "ConfigMap"},
        })
    }

    /// Makes the Secret `registry` of a docker config, and lets the host read the Secrets of this namespace.
    pub async fn let_read_secrets(&self, docker_config: &[u8]) {
        let config = k8s_openapi::ByteString(docker_config.to_vec());
        let secret = json!({
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": config},
        });
        let role =
            json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "secrets"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": TestAccount::Host.user()}],
        });
        let rbac = "rbac.authorization.k8s.io/v1";
        for object in [
            objects::object("v1", "Secret", "registry", &secret),
            objects::object(rbac, "Role", "secrets", &role),
            objects::object(rbac, "RoleBinding", "secrets", &binding),
        ] {
            let applied = self.namespace.apply(&object).await;
            applied.unwrap_or_else(|error| panic!("{object:#}: {error}"));
        }
    }
}
