use serde_json::Value;

/// The documents of a text in YAML or JSON; none if it is no such text.
pub(crate) fn yaml_documents(data: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(data).ok();
    let documents = text.and_then(|text| serde_saphyr::from_multiple(text).ok());
    documents.unwrap_or_default()
}
