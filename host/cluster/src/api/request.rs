use handler_host_core::{Child, ChildRef, Grant};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use serde_json::Value;

use super::discovery::ServedKind;
use super::received::Received;

/// A resource version that no object has had since etcd's first write. An apply with this version creates the
/// object if none of that name exists. If one exists, the API server answers 409, since it compares resource
/// versions only with objects that exist.
const ABSENT: &str = "1";

/// What must exist at a child's name for the child to be applied there.
#[derive(Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// No object.
    Nothing,
    /// The object with this uid.
    Object(&'a str),
}

/// The requests that write children, for real or as a dry run. Both are made here, so that a dry run sends what a
/// pass would send.
pub(crate) struct Requests<'a> {
    pub(crate) client: &'a Client,
    pub(crate) grant: &'a Grant,
    /// Whether the API server goes through the requests but stores nothing.
    pub(crate) is_dry_run: bool,
}

impl Requests<'_> {
    pub(crate) async fn apply(
        &self,
        served: &ServedKind,
        child: &Child,
        expected: Expected<'_>,
    ) -> kube::Result<Received> {
        let (field, value) = match expected {
            Expected::Nothing => ("resourceVersion", ABSENT),
            Expected::Object(uid) => ("uid", uid),
        };
        let mut body = child.body.clone();
        if let Some(metadata) = body["metadata"].as_object_mut() {
            metadata.insert(field.to_owned(), Value::from(value));
        }
        let mut params = PatchParams::apply(&self.grant.field_manager()).force();
        params.dry_run = self.is_dry_run;
        let api = served.api(self.client, child.key.namespace.as_deref());
        api.patch(&child.key.name, &params, &Patch::Apply(&body))
            .await
    }

    pub(crate) async fn delete(
        &self,
        served: &ServedKind,
        child: &ChildRef,
        uid: &str,
    ) -> kube::Result<()> {
        let mut params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        params.dry_run = self.is_dry_run;
        let api = served.api(self.client, child.key.namespace.as_deref());
        let request = Request::new(api.resource_url()).delete(&child.key.name, &params);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        if self.is_dry_run {
            // kube puts `dryRun` into the body only, and an audit log without bodies would show a real deletion.
            let uri = format!("{}?dryRun=All", request.uri().path());
            let uri = uri.parse::<http::Uri>();
            *request.uri_mut() = uri.map_err(|error| kube::Error::HttpError(error.into()))?;
        }
        self.client.request_text(request).await.map(drop)
    }
}
