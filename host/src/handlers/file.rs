use std::path::Path;

use anyhow::{Result, anyhow, bail};
use handler_host_cluster::resource::{Handler, read_handler};
use handler_host_core::Settings;
use handler_host_registry::{read_text, reason};
use kube::Resource as _;
use serde_json::Value;

/// The largest file that is read. The API server takes no object that is a tenth as large.
const LARGEST: u64 = 16 << 20;

/// A Handler of a file.
pub(super) struct Document {
    /// The file and the number of the document, for messages.
    pub(super) place: String,
    pub(super) handler: Handler,
}

impl Document {
    pub(super) fn name(&self) -> &str {
        self.handler.metadata.name.as_deref().unwrap_or_default()
    }

    /// That its name is that of a Handler elsewhere.
    pub(super) fn twice(&self, before: &str) -> String {
        let (name, place) = (self.name(), &self.place);
        format!("handler {name} is in {before}, and in {place}; name it once")
    }
}

/// The text of a file.
pub(super) fn text(file: &Path) -> Result<String> {
    read_text(file, LARGEST).map_err(|error| {
        anyhow!(
            "{} cannot be read: {}; name a file of Handlers",
            file.display(),
            reason(&error)
        )
    })
}

/// The Handlers of one file, which has this text.
pub(super) fn documents(file: &Path, text: &str) -> Result<Vec<Document>> {
    let shown = file.display();
    let found: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        // The error's own text may quote the file, which may be any file.
        let place = error.location().map_or_else(String::new, |place| {
            format!(": line {} column {}", place.line(), place.column())
        });
        anyhow!("{shown} is not YAML{place}; mend it there")
    })?;
    let mut documents = Vec::new();
    for (index, document) in found.into_iter().enumerate() {
        if document.is_null() {
            continue;
        }
        let place = format!("{shown}, document {}", index + 1);
        let handler = read_document(document, file).map_err(|error| anyhow!("{place}: {error}"))?;
        documents.push(Document { place, handler });
    }
    if documents.is_empty() {
        bail!("{shown} holds no Handler; write one, or leave the file out");
    }
    Ok(documents)
}

fn read_document(document: Value, file: &Path) -> Result<Handler> {
    if let Some(found) = no_object(&document) {
        let version = Handler::api_version(&());
        bail!("{found} is no Handler of {version}; write one");
    }
    let mut handler = read_handler(document)?;
    // The API server has not validated this Handler, so the rules of the CRD are checked here.
    Settings::try_from(&handler)?;
    let directory = file.parent().unwrap_or(Path::new(""));
    if let Some(path) = &mut handler.spec.module.path {
        let whole = directory.join(&path);
        whole
            .to_str()
            .ok_or_else(|| anyhow!("{} is not UTF-8; rename it", whole.display()))?
            .clone_into(path);
    }
    Ok(handler)
}

/// What a document is that is no object of Kubernetes. Its content is not told: it may be any file, and the log may be read
/// by more people than the file.
fn no_object(document: &Value) -> Option<&'static str> {
    let is_text = |field: &str| document.get(field).is_some_and(Value::is_string);
    match document {
        Value::Object(_) if is_text("apiVersion") && is_text("kind") => None,
        Value::Object(_) => Some("what has no apiVersion and kind"),
        Value::Array(_) => Some("a list"),
        Value::String(_) => Some("a text"),
        Value::Number(_) => Some("a number"),
        Value::Bool(_) => Some("a truth value"),
        Value::Null => Some("nothing"),
    }
}
