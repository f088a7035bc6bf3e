use std::sync::Arc;

use handler_host_core::{Child, Kind, Object};
use serde_json::{Map, Value, json};

/// What the API server keeps of who applied what.
#[derive(Clone, Copy)]
pub(super) enum Records {
    /// Only that the handler applied the object.
    Managers,
    /// The fields that the handler applied too.
    Fields,
}

/// The object as it is stored once the child was applied to nothing, and as the host receives it. `made` is a merge patch of
/// what the API server changes.
pub(super) fn applied(child: &Child, made: &Value, records: Records) -> (Kind, Arc<Object>) {
    let mut body = child.body.clone();
    for (name, field) in made.as_object().into_iter().flatten() {
        if !["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            json_patch::merge(&mut body[name], field);
        }
    }
    let mut entry = json!({"manager": "handler-host/evc", "operation": "Apply"});
    match records {
        Records::Managers => {}
        Records::Fields => entry["fieldsV1"] = fields_of(&child.body),
    }
    body["metadata"]["uid"] = json!("child-uid");
    body["metadata"]["resourceVersion"] = json!("7");
    body["metadata"]["managedFields"] = json!([entry]);
    let object = Object::parse(&child.kind, &body.to_string());
    let object = object.expect("a child that was accepted is an object");
    (child.kind.clone(), Arc::new(object))
}

/// The fields of an applied object, as `fieldsV1` names them where lists are taken as a whole.
fn fields_of(body: &Value) -> Value {
    let mut fields = within(body);
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("f:apiVersion");
        fields.remove("f:kind");
    }
    if let Some(metadata) = fields["f:metadata"].as_object_mut() {
        metadata.remove("f:name");
        metadata.remove("f:namespace");
    }
    fields
}

fn within(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    let fields = fields.map(|(name, field)| (format!("f:{name}"), within(field)));
    Value::Object(fields.collect::<Map<_, _>>())
}
