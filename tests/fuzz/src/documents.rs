use handler_host_core::{Kind, Object};
use serde_json::Value;

use crate::yaml::yaml_documents;

/// Reads the text of a file of objects, in YAML or JSON, as the commands that need no cluster do.
pub fn documents(data: &[u8]) {
    for document in yaml_documents(data) {
        let text_of = |name: &str| document.get(name).and_then(Value::as_str);
        let (Some(api_version), Some(kind)) = (text_of("apiVersion"), text_of("kind")) else {
            continue;
        };
        let Ok(kind) = Kind::new(api_version, kind) else {
            continue;
        };
        if let Ok(object) = Object::parse(&kind, &document.to_string()) {
            is_read_alike(&kind, &document, &object);
        }
    }
}

/// An object has the same text whether it came from a file or was received again, and loses nothing but `managedFields`.
fn is_read_alike(kind: &Kind, document: &Value, object: &Object) {
    let again = Object::parse(kind, object.text()).expect("it was read before");
    assert_eq!(again.text(), object.text());
    assert_eq!(again.content_hash(), object.content_hash());
    assert_eq!(again.status_hash(), object.status_hash());
    let mut expected = document.clone();
    if let Some(metadata) = expected["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let read: Value = serde_json::from_str(object.text()).expect("a handler gets JSON");
    assert_eq!(read, expected);
    assert!(!object.meta.name.is_empty());
    assert!(object.memory() >= object.text().len());
}
