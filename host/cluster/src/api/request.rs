use handler_host_core::{Child, ChildRef, Grant};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use serde_json::Value;

use super::discovery::ServedKind;
use super::received::Received;

/// A resource version that no object has had since etcd's first write. Applied with it, an object is
/// created if there is none of that name, and refused with 409 if there is, whoever made it: the API
/// server compares resource versions only with objects that exist.
const ABSENT: &str = "1";

/// What must stand at a child's name for the child to be applied there.
#[derive(Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// Nothing, whoever made it.
    Nothing,
    /// The object with this uid.
    Object(&'a str),
}

/// Whether requests change anything.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    /// They do.
    Real,
    /// The API server goes through all of them but stores nothing.
    DryRun,
}

/// The requests that write children, for real or as a dry run: one that tells what the other would do
/// must not differ from it.
pub(crate) struct Requests<'a> {
    pub(crate) client: &'a Client,
    pub(crate) grant: &'a Grant,
    pub(crate) effect: Effect,
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
        params.dry_run = self.effect.is_dry_run();
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
        params.dry_run = self.effect.is_dry_run();
        let api = served.api(self.client, child.key.namespace.as_deref());
        let request = Request::new(api.resource_url()).delete(&child.key.name, &params);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        if self.effect.is_dry_run() {
            // kube says it in the body only, and an audit log that keeps no bodies would show a deletion.
            let uri = format!("{}?dryRun=All", request.uri().path());
            let uri = uri.parse::<http::Uri>();
            *request.uri_mut() = uri.map_err(|error| kube::Error::HttpError(error.into()))?;
        }
        self.client.request_text(request).await.map(drop)
    }
}

impl Effect {
    fn is_dry_run(self) -> bool {
        match self {
            Self::Real => false,
            Self::DryRun => true,
        }
    }
}
