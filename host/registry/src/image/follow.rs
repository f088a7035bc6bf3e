use std::time::Duration;

use handler_host_core::{Backoff, Digest, FetchedModule, Image};
use tokio::time::{Instant, sleep, timeout};

use super::pull::Puller;
use super::session::Session;
use crate::{Access, FetchError, RegistryProblem};

/// The shortest time between two requests for an image, whatever interval the user asks for.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// After a failed pull of a module the first wait is this many doublings longer than after a failed request: a pull may cost
/// as much as the largest module.
const PULL_DOUBLINGS: u32 = 3;
/// How many pulls may fail in a row until another module, which the tag names by then, waits as long as the one that failed.
const PULLS_AT_ONCE: u32 = 3;

/// Follows an image of a registry. If a tag names the image, the tag is looked up at intervals.
pub(crate) struct ImageFollower {
    puller: Puller,
    /// It is None at the beginning and after an error.
    connection: Option<Connection>,
    failures: u32,
    /// The module that is being pulled, while it is.
    pulling: Option<Digest>,
    failed_pull: Option<FailedPull>,
    /// How long to wait before the next look. It is None if a look cannot find anything new.
    wait: Option<Duration>,
}

/// A session, and what its last look found.
struct Connection {
    session: Session,
    known: Option<KnownImage>,
}

/// A module that could not be pulled. Its manifest is looked at as often as before, which costs little.
struct FailedPull {
    module: Digest,
    error: FetchError,
    /// How many pulls failed in a row.
    failures: u32,
    /// When it is tried again.
    until: Instant,
}

impl FailedPull {
    /// Whether this module is not to be pulled yet.
    fn forbids(&self, module: Digest) -> bool {
        let is_meant = self.module == module || self.failures > PULLS_AT_ONCE;
        is_meant && Instant::now() < self.until
    }
}

struct KnownImage {
    manifest: Digest,
    module: Digest,
}

impl ImageFollower {
    pub(crate) fn new(
        image: Image,
        pinned: Option<Digest>,
        access: Access,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            puller: Puller::new(image, pinned, access)?,
            connection: None,
            failures: 0,
            pulling: None,
            failed_pull: None,
            wait: Some(Duration::ZERO),
        })
    }

    /// The module that the image holds, or why it cannot be read, at the next look that finds something new.
    pub(crate) async fn next(&mut self) -> Result<FetchedModule, FetchError> {
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
                    let is_immutable = self.puller.reference.digest().is_some();
                    let interval = self.puller.image.poll_interval.max(SHORTEST_WAIT);
                    self.wait = (!is_immutable).then_some(interval);
                    if let Some(module) = module {
                        return Ok(module);
                    }
                }
                Err(error) => {
                    self.fail(&error);
                    return Err(error);
                }
            }
        }
    }

    /// After an error everything is read again, the credentials too, because they may have changed.
    fn fail(&mut self, error: &FetchError) {
        if let Some(module) = self.pulling.take() {
            let before = self.failed_pull.as_ref().map_or(0, |pull| pull.failures);
            let failures = before.saturating_add(1);
            let doublings = failures.saturating_add(PULL_DOUBLINGS);
            let wait = Backoff::default().delay(doublings, fastrand::f64());
            self.failed_pull = Some(FailedPull {
                module,
                error: error.clone(),
                failures,
                until: Instant::now() + wait,
            });
        }
        self.connection = None;
        self.failures = self.failures.saturating_add(1);
        let backoff = Backoff::default().delay(self.failures, fastrand::f64());
        let interval = self.puller.image.poll_interval;
        self.wait = Some(backoff.min(interval).max(SHORTEST_WAIT));
    }

    /// The module, if it differs from the one at the last look.
    async fn look(&mut self) -> Result<Option<FetchedModule>, FetchError> {
        let puller = &self.puller;
        let Connection { session, known } = match &mut self.connection {
            Some(connection) => connection,
            none @ None => none.insert(Connection {
                session: puller.session().await?,
                known: None,
            }),
        };
        let name = puller.name();
        if let Some(known) = known {
            let head = session.manifest_digest(&name).await;
            if head.or_else(|problem| puller.refuse(problem))? == Some(known.manifest) {
                return Ok(None);
            }
        }
        let layer = puller.layer(session).await?;
        let before = known.replace(KnownImage {
            manifest: layer.manifest,
            module: layer.digest,
        });
        if before.is_some_and(|before| before.module == layer.digest) {
            return Ok(None);
        }
        if let Some(failed) = &self.failed_pull
            && failed.forbids(layer.digest)
        {
            return Err(failed.error.clone());
        }
        self.pulling = Some(layer.digest);
        let module = puller.module(session, layer).await?;
        self.pulling = None;
        self.failed_pull = None;
        Ok(Some(module))
    }
}
