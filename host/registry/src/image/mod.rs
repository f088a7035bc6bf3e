mod authorities;
mod client;
mod credentials;
mod manifest;
mod token;

pub use client::install_tls;

use std::time::Duration;

use handler_host_core::{Backoff, Digest, Image};
use oci_client::Reference;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::fetched::check_pin;
use crate::{Access, FetchError, Fetched, LARGEST, RegistryProblem};
pub(crate) use authorities::authorities;
pub(crate) use client::{Session, USER_AGENT, problem_of};
pub(crate) use credentials::Credentials;
pub(crate) use manifest::{CONFIG, Descriptor, LAYER, MANIFEST, Manifest};
pub(crate) use token::Authorization;

/// However impatient the user is, a registry in trouble is not asked more often.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// An image of a registry, looked up now and then if a tag names it.
pub(crate) struct ImageSource {
    puller: Puller,
    /// What is known of the image since the last error.
    known: Option<Known>,
    session: Option<Session>,
    failures: u32,
    /// How long until the next look; None if another one cannot bring anything new.
    wait: Option<Duration>,
}

/// What the last look found.
struct Known {
    manifest: Digest,
    module: Digest,
}

/// What is pulled, and how.
struct Puller {
    image: Image,
    reference: Reference,
    pinned: Option<Digest>,
    access: Access,
}

impl ImageSource {
    pub(crate) fn new(
        image: Image,
        pinned: Option<Digest>,
        access: Access,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            puller: Puller::new(image, pinned, access)?,
            known: None,
            session: None,
            failures: 0,
            wait: Some(Duration::ZERO),
        })
    }

    /// What the image holds, as soon as that is known anew.
    pub(crate) async fn next(&mut self) -> Result<Fetched, FetchError> {
        loop {
            let Some(wait) = self.wait else {
                return std::future::pending().await;
            };
            sleep(wait).await;
            let whole = self.puller.access.patience.whole;
            let looked = timeout(whole, self.look()).await;
            match looked.unwrap_or_else(|_| self.puller.refuse(RegistryProblem::Slow(whole))) {
                Ok(module) => {
                    self.failures = 0;
                    let is_for_ever = self.puller.reference.digest().is_some();
                    let interval = self.puller.image.poll_interval.max(LEAST_WAIT);
                    self.wait = (!is_for_ever).then_some(interval);
                    if let Some(module) = module {
                        return Ok(module);
                    }
                }
                Err(error) => {
                    self.fail();
                    return Err(error);
                }
            }
        }
    }

    /// Everything is asked anew after an error: credentials too may have changed.
    fn fail(&mut self) {
        self.known = None;
        self.session = None;
        self.failures = self.failures.saturating_add(1);
        let backoff = Backoff::default().delay(self.failures, fastrand::f64());
        let interval = self.puller.image.poll_interval;
        self.wait = Some(backoff.min(interval).max(LEAST_WAIT));
    }

    /// The module, if it is another one than at the last look.
    async fn look(&mut self) -> Result<Option<Fetched>, FetchError> {
        let puller = &self.puller;
        let session = match &mut self.session {
            Some(session) => session,
            session @ None => session.insert(puller.session().await?),
        };
        let name = puller.name();
        if let Some(known) = &self.known {
            let head = session.manifest_digest(&name).await;
            if head.or_else(|problem| puller.refuse(problem))? == Some(known.manifest) {
                return Ok(None);
            }
        }
        let layer = puller.layer(session).await?;
        let before = self.known.replace(Known {
            manifest: layer.manifest,
            module: layer.digest,
        });
        if before.is_some_and(|before| before.module == layer.digest) {
            return Ok(None);
        }
        puller.module(session, layer).await.map(Some)
    }
}

/// What an image holds now.
pub(crate) async fn fetch_image(
    image: &Image,
    pinned: Option<Digest>,
    access: &Access,
) -> Result<Fetched, FetchError> {
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

/// The layer that is the module.
struct Layer {
    manifest: Digest,
    digest: Digest,
    size: u64,
    origin: String,
}

impl Puller {
    fn new(image: Image, pinned: Option<Digest>, access: Access) -> Result<Self, FetchError> {
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

    fn refuse<T>(&self, problem: RegistryProblem) -> Result<T, FetchError> {
        Err(FetchError::Image {
            reference: self.image.reference.clone(),
            problem,
        })
    }

    /// By what the registry knows the image: a digest says more than a tag beside it.
    fn name(&self) -> String {
        let (digest, tag) = (self.reference.digest(), self.reference.tag());
        digest.or(tag).unwrap_or("latest").to_owned()
    }

    async fn session(&self) -> Result<Session, FetchError> {
        let secret = self.image.pull_secret.as_ref();
        let credentials = match secret {
            Some(secret) => Credentials::of_secret(secret, &self.reference, &self.access).await?,
            None => Credentials::of_config_file(&self.reference, &self.access)
                .await
                .or_else(|problem| self.refuse(problem))?,
        };
        Session::open(
            &self.reference,
            self.image.is_plain_http,
            credentials,
            &self.access.patience,
        )
        .or_else(|problem| self.refuse(problem))
    }

    /// Finds the module in the manifest; refuses it there already if it cannot be the one.
    async fn layer(&self, session: &mut Session) -> Result<Layer, FetchError> {
        let pulled = session.manifest(&self.name()).await;
        let (manifest, found) = pulled
            .and_then(|(digest, manifest)| Ok((digest, manifest.module()?)))
            .or_else(|problem| self.refuse(problem))?;
        let origin = match self.reference.digest() {
            Some(_) => self.reference.whole(),
            None => format!("{} (manifest {manifest})", self.reference.whole()),
        };
        if found.size > LARGEST {
            return Err(FetchError::TooLarge { origin });
        }
        check_pin(&origin, self.pinned, found.digest)?;
        Ok(Layer {
            manifest,
            digest: found.digest,
            size: found.size,
            origin,
        })
    }

    async fn module(&self, session: &mut Session, layer: Layer) -> Result<Fetched, FetchError> {
        let pulled = session.blob(layer.digest, layer.size).await;
        let bytes = pulled.or_else(|problem| self.refuse(problem))?;
        let origin = layer.origin.clone();
        let digested = spawn_blocking(move || Fetched::of(bytes.into(), layer.origin, None));
        let fetched = digested.await.unwrap_or(Err(FetchError::Lost { origin }))?;
        if fetched.digest != layer.digest {
            return self.refuse(RegistryProblem::Digest {
                what: "the module that the registry sends".to_owned(),
                expected: layer.digest,
                found: fetched.digest,
            });
        }
        Ok(fetched)
    }
}

/// A reference, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err("it is a URL".to_owned());
    }
    text.parse::<Reference>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
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
