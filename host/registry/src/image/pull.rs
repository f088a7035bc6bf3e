use handler_host_core::{Digest, FetchedModule, Image};
use oci_spec::distribution::Reference;
use tokio::time::timeout;

use super::credentials::Credentials;
use super::reference::parse;
use super::session::{Session, SessionPurpose};
use super::spool::Spool;
use crate::fetched::check_pin;
use crate::{Access, FetchError, LARGEST, RegistryProblem};

/// Reads the module that an image holds now.
pub(crate) async fn fetch_image(
    image: &Image,
    pinned: Option<Digest>,
    access: &Access,
) -> Result<FetchedModule, FetchError> {
    let puller = Puller::new(image.clone(), pinned, access.clone())?;
    let pulled = async {
        let mut session = puller.session().await?;
        let layer = puller.layer(&mut session).await?;
        puller.module(&mut session, layer).await
    };
    let whole = access.patience.whole;
    let pulled = timeout(whole, pulled).await;
    pulled.unwrap_or_else(|_| puller.refuse(RegistryProblem::Slow(whole)))
}

/// What is pulled, and how.
pub(super) struct Puller {
    pub(super) image: Image,
    pub(super) reference: Reference,
    pinned: Option<Digest>,
    pub(super) access: Access,
}

/// The layer that is the module.
pub(super) struct PulledLayer {
    pub(super) manifest: Digest,
    pub(super) digest: Digest,
    size: u64,
    origin: String,
}

impl Puller {
    pub(super) fn new(
        image: Image,
        pinned: Option<Digest>,
        access: Access,
    ) -> Result<Self, FetchError> {
        let refused = |reason| FetchError::Reference {
            reference: image.reference.clone(),
            reason,
        };
        let reference = parse(&image.reference).map_err(refused)?;
        if let Some(digest) = reference.digest() {
            digest
                .parse::<Digest>()
                .map_err(|error| refused(error.to_string()))?;
        }
        Ok(Self {
            image,
            reference,
            pinned,
            access,
        })
    }

    pub(super) fn refuse<T>(&self, problem: RegistryProblem) -> Result<T, FetchError> {
        Err(FetchError::Image {
            reference: self.image.reference.clone(),
            problem,
        })
    }

    /// The name under which the registry is asked for the image. If the reference has a tag and a digest, it is
    /// the digest, which names one image only.
    pub(super) fn name(&self) -> String {
        let (digest, tag) = (self.reference.digest(), self.reference.tag());
        digest.or(tag).unwrap_or("latest").to_owned()
    }

    pub(super) async fn session(&self) -> Result<Session, FetchError> {
        let secret = self.image.pull_secret.as_ref();
        let credentials = match secret {
            Some(secret) => Credentials::of_secret(secret, &self.reference, &self.access).await?,
            None => Credentials::of_config_file(&self.reference, &self.access)
                .await
                .or_else(|problem| self.refuse(problem))?,
        };
        Session::open(
            &self.reference,
            SessionPurpose::Pull,
            self.image.is_plain_http,
            credentials,
            &self.access.patience,
        )
        .or_else(|problem| self.refuse(problem))
    }

    /// Finds the module in the manifest, and refuses it already there if its size or digest is not allowed.
    pub(super) async fn layer(&self, session: &mut Session) -> Result<PulledLayer, FetchError> {
        let pulled = session.module_layer(&self.name()).await;
        let (manifest, found) = pulled.or_else(|problem| self.refuse(problem))?;
        let origin = match self.reference.digest() {
            Some(_) => self.reference.whole(),
            None => format!("{} (manifest {manifest})", self.reference.whole()),
        };
        if found.size > LARGEST {
            return Err(FetchError::TooLarge { origin });
        }
        check_pin(&origin, self.pinned, found.digest)?;
        Ok(PulledLayer {
            manifest,
            digest: found.digest,
            size: found.size,
            origin,
        })
    }

    pub(super) async fn module(
        &self,
        session: &mut Session,
        layer: PulledLayer,
    ) -> Result<FetchedModule, FetchError> {
        let spool = Spool {
            directory: self.access.scratch.clone(),
        };
        let pulled = session.blob(layer.digest, layer.size, spool).await;
        let bytes = pulled.or_else(|problem| self.refuse(problem))?;
        Ok(FetchedModule {
            bytes,
            digest: layer.digest,
            origin: layer.origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    fn puller(reference: &str) -> Result<Puller, FetchError> {
        let image = Image {
            reference: reference.to_owned(),
            pull_secret: None,
            is_plain_http: false,
            poll_interval: Duration::from_secs(60),
        };
        Puller::new(image, None, Access::default())
    }

    #[rstest]
    #[case::empty("", "must have at least one component")]
    #[case::a_url("https://ghcr.io/acme/evc:1", "it is a URL")]
    #[case::capitals("ghcr.io/Acme/evc:1", "invalid reference format")]
    #[case::spaces("ghcr.io/acme/evc: 1", "invalid reference format")]
    #[case::a_short_digest("ghcr.io/acme/evc@sha256:00", "invalid reference format")]
    #[case::another_digest(
        &format!("ghcr.io/acme/evc@sha512:{}", "0".repeat(128)),
        "is no digest"
    )]
    fn what_names_no_image_is_refused_with_the_remedy(#[case] text: &str, #[case] reason: &str) {
        let error = puller(text).err().unwrap().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(
            error.contains("write host/repository:tag or host/repository@sha256:"),
            "{error}"
        );
    }

    #[rstest]
    #[case::a_tag("localhost:5000/acme/evc:1", "1")]
    #[case::no_tag("ghcr.io/acme/evc", "latest")]
    #[case::a_tag_and_a_digest(
        "ghcr.io/acme/evc:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    fn an_image_is_asked_for_by_its_digest_or_else_its_tag(#[case] text: &str, #[case] name: &str) {
        assert_eq!(puller(text).ok().unwrap().name(), name);
    }
}
