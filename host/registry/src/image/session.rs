use std::time::Duration;

use bytes::Bytes;
use handler_host_core::Digest;
use oci_spec::distribution::Reference;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::credentials::Credentials;
use super::manifest::{MANIFEST, ModuleLayer, module_layer};
use super::spool::Spool;
use super::token::{RequestAuthorization, authorize};
use super::transport::Transport;
use crate::{Patience, RegistryProblem};

/// The largest manifest that is read, as the specification of registries recommends.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// The media types that a manifest may have. Indexes are among them, so that an index can be reported as one.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// What a session does with its repository.
#[derive(Clone, Copy)]
pub(super) enum SessionPurpose {
    Pull,
    Push,
}

impl SessionPurpose {
    /// The rights that a token is asked for.
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// Requests for one repository of a registry, with the same credentials.
pub(super) struct Session {
    transport: Transport,
    /// Such as `https://host/v2`.
    base: Url,
    repository: String,
    purpose: SessionPurpose,
    credentials: Credentials,
    authorization: RequestAuthorization,
}

impl Session {
    pub(super) fn open(
        reference: &Reference,
        purpose: SessionPurpose,
        is_plain_http: bool,
        credentials: Credentials,
        patience: &Patience,
    ) -> Result<Self, RegistryProblem> {
        let scheme = if is_plain_http { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2", reference.resolve_registry());
        let base = Url::parse(&base)
            .map_err(|error| RegistryProblem::Unreachable(format!("{base} is no URL ({error})")))?;
        Ok(Self {
            transport: Transport::new(base.clone(), is_plain_http, patience)?,
            base,
            repository: reference.repository().to_owned(),
            purpose,
            credentials,
            authorization: RequestAuthorization::Anonymous,
        })
    }

    /// Asks the registry for nothing, to see whether it answers and takes the credentials.
    pub(super) async fn greet(&mut self) -> Result<(), RegistryProblem> {
        let url = format!("{}/", self.base);
        self.read(Method::GET, &url, "*/*", "a greeting").await?;
        Ok(())
    }

    /// The digest of the manifest that a tag or digest names, if the registry tells it without the manifest.
    pub(super) async fn manifest_digest(
        &mut self,
        name: &str,
    ) -> Result<Option<Digest>, RegistryProblem> {
        let url = self.url("manifests", name);
        let answer = self
            .read(Method::HEAD, &url, MANIFESTS, "its manifest")
            .await?;
        let digest = answer.headers().get("docker-content-digest");
        Ok(digest.and_then(|digest| digest.to_str().ok()?.parse().ok()))
    }

    /// The digest of the manifest that a tag or digest names, and the layer that is the module.
    pub(super) async fn module_layer(
        &mut self,
        name: &str,
    ) -> Result<(Digest, ModuleLayer), RegistryProblem> {
        let url = self.url("manifests", name);
        let answer = self
            .read(Method::GET, &url, MANIFESTS, "its manifest")
            .await?;
        let body = self.transport.body(answer, LARGEST_MANIFEST, "a manifest");
        let bytes = body.await?;
        let found = Digest::of(&bytes);
        match name.parse::<Digest>() {
            Ok(expected) if expected != found => Err(RegistryProblem::Digest {
                what: "the manifest that the registry sends".to_owned(),
                expected,
                found,
            }),
            Ok(_) | Err(_) => Ok((found, module_layer(&bytes)?)),
        }
    }

    /// A part of the image that has this digest and size.
    pub(super) async fn blob(
        &mut self,
        digest: Digest,
        size: u64,
        spool: Spool,
    ) -> Result<Bytes, RegistryProblem> {
        let url = self.url("blobs", &digest.to_string());
        let answer = self.read(Method::GET, &url, "*/*", "its module").await?;
        let mut parts = self.transport.parts(answer, size, "its module")?;
        let spooling = spool.start(digest, size);
        while let Some(part) = parts.next().await? {
            if !spooling.take(part).await {
                break;
            }
        }
        spooling.finish().await
    }

    /// Uploads a part of an image, unless the registry has it already.
    pub(super) async fn push_blob(
        &mut self,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<(), RegistryProblem> {
        let url = self.url("blobs", &digest.to_string());
        let head = self.transport.request(Method::HEAD, &url);
        let known = self.send(head, self.transport.idle()).await?;
        if known.status() != StatusCode::NOT_FOUND {
            return self.checked(known, "the upload").await.map(drop);
        }
        let url = self.url("blobs", "uploads/");
        let begin = self.transport.request(Method::POST, &url);
        let begin = begin.header(CONTENT_LENGTH, 0);
        let begun = self.upload(begin, 0).await?;
        let mut place = self.upload_place(&begun)?;
        let is_ours = self.transport.is_registry(&place);
        let mut query = place.query_pairs_mut();
        query.append_pair("digest", &digest.to_string());
        drop(query);
        let length = bytes.len();
        let put = self.transport.request(Method::PUT, place).body(bytes);
        let put = put.header(CONTENT_TYPE, "application/octet-stream");
        if is_ours {
            return self.upload(put, length).await.map(drop);
        }
        // Another server takes the bytes. It must not get the credentials.
        let answer = self.transport.send(put, self.transport.upload_time(length));
        self.checked(answer.await?, "the upload").await.map(drop)
    }

    /// Uploads a manifest under a tag.
    pub(super) async fn push_manifest(
        &mut self,
        tag: &str,
        manifest: Bytes,
    ) -> Result<(), RegistryProblem> {
        let url = self.url("manifests", tag);
        let length = manifest.len();
        let put = self.transport.request(Method::PUT, &url).body(manifest);
        let put = put.header(CONTENT_TYPE, MANIFEST);
        self.upload(put, length).await.map(drop)
    }

    /// Where the registry wants an upload that was begun.
    fn upload_place(&self, begun: &Response) -> Result<Url, RegistryProblem> {
        let garbled = |reason: String| RegistryProblem::Garbled {
            what: "where the registry takes uploads".to_owned(),
            reason,
        };
        let place = begun.headers().get(LOCATION);
        let place = place.ok_or_else(|| garbled("its answer has no `Location`".to_owned()))?;
        let place = place.to_str().map_err(|error| garbled(error.to_string()))?;
        let joined = self.base.join(place);
        joined.map_err(|error| garbled(format!("it is no URL ({error})")))
    }

    fn url(&self, what: &str, name: &str) -> String {
        format!("{}/{}/{what}/{name}", self.base, self.repository)
    }

    async fn read(
        &mut self,
        method: Method,
        url: &str,
        accept: &str,
        what: &str,
    ) -> Result<Response, RegistryProblem> {
        let request = self.transport.request(method, url).header(ACCEPT, accept);
        let answer = self.send(request, self.transport.idle()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => {
                Err(RegistryProblem::Missing(self.transport.words(answer).await))
            }
            _ => {
                self.checked(answer, &format!("the request for {what}"))
                    .await
            }
        }
    }

    async fn upload(
        &mut self,
        request: RequestBuilder,
        bytes: usize,
    ) -> Result<Response, RegistryProblem> {
        let answer = self
            .send(request, self.transport.upload_time(bytes))
            .await?;
        self.checked(answer, "the upload").await
    }

    /// Sends a request, and a second time with an authorization if the registry itself asks for one. The session keeps
    /// the authorization for the requests that follow.
    async fn send(
        &mut self,
        request: RequestBuilder,
        wait: Duration,
    ) -> Result<Response, RegistryProblem> {
        let again = request.try_clone();
        let request = self.authorization.apply(request);
        let answer = self.transport.send(request, wait).await?;
        let is_asked =
            answer.status() == StatusCode::UNAUTHORIZED && self.transport.is_registry(answer.url());
        let Some(again) = again.filter(|_| is_asked) else {
            return Ok(answer);
        };
        let scope = format!("repository:{}:{}", self.repository, self.purpose.actions());
        self.authorization = authorize(&self.transport, &self.credentials, &scope, &answer).await?;
        let again = self.authorization.apply(again);
        self.transport.send(again, wait).await
    }

    /// The answer, if it is no error.
    async fn checked(&self, answer: Response, asked: &str) -> Result<Response, RegistryProblem> {
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                if self.transport.is_registry(answer.url()) =>
            {
                Err(self.credentials.refusal())
            }
            status => Err(RegistryProblem::Answer {
                code: status.as_u16(),
                what: asked.to_owned(),
                message: self.transport.words(answer).await,
            }),
        }
    }
}
