use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Method, Request};
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

/// Keeps a host that does not hold the Lease from writing. It is a layer of the kube client, so every write goes
/// through it.
///
/// A write begins only while the fence is open, and is cut off when the fence closes. Reads, reviews and dry runs
/// always pass.
#[derive(Clone, Debug)]
pub struct Fence(Arc<watch::Sender<Open>>);

/// How long a fence is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// There is no Lease, since the host is the only one.
    Always,
    No,
    Until(Instant),
}

/// The error of a write that did not begin, or was cut off.
#[derive(Debug, thiserror::Error)]
#[error("this host does not hold the lease any more, so it writes nothing")]
pub struct Fenced;

impl Fence {
    /// The fence of a host that is the only one.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(watch::Sender::new(Open::Always)))
    }

    /// The fence of one of several hosts, before it holds the Lease.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(Open::No)))
    }

    /// Whether a write may begin.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.borrow().includes(Instant::now())
    }

    /// Opens the fence, or keeps it open, until that moment.
    pub(crate) fn open_until(&self, end: Instant) {
        self.0.send_replace(Open::Until(end));
    }

    /// Closes the fence. Writes under way are cut off.
    pub(crate) fn close(&self) {
        self.0.send_replace(Open::No);
    }

    /// When the fence closes by itself; None if it does not.
    pub(crate) fn closes_at(&self) -> Option<Instant> {
        match *self.0.borrow() {
            Open::Until(end) => Some(end),
            Open::Always | Open::No => None,
        }
    }

    /// Waits until the fence is closed.
    async fn closing(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let open = *changes.borrow_and_update();
            if !open.includes(Instant::now()) {
                return;
            }
            let end = async {
                match open {
                    Open::Until(end) => tokio::time::sleep_until(end.into()).await,
                    Open::Always | Open::No => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => {}
                // It never fails: this fence holds a sender.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Open {
    fn includes(self, now: Instant) -> bool {
        match self {
            Self::Always => true,
            Self::No => false,
            Self::Until(end) => now < end,
        }
    }
}

impl<S> Layer<S> for Fence {
    type Service = FencedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FencedService {
            inner,
            fence: self.clone(),
        }
    }
}

/// A client's service behind a [`Fence`].
#[derive(Clone, Debug)]
pub struct FencedService<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<B>> for FencedService<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_write = is_write(&request);
        if is_write && !self.fence.is_open() {
            return Box::pin(async { Err(Fenced.into()) });
        }
        let answer = self.inner.call(request);
        if !is_write {
            return Box::pin(async { answer.await.map_err(Into::into) });
        }
        let fence = self.fence.clone();
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = answer => answer.map_err(Into::into),
                () = fence.closing() => Err(Fenced.into()),
            }
        })
    }
}

/// Whether the request changes something in the cluster. A review does not.
fn is_write<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    let is_dry_run = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "dryRun=All"));
    let reviews = [
        "/apis/authentication.k8s.io/",
        "/apis/authorization.k8s.io/",
    ];
    let is_review = reviews.iter().any(|group| uri.path().starts_with(group));
    !matches!(*request.method(), Method::GET | Method::HEAD) && !is_dry_run && !is_review
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use tower::service_fn;

    use super::*;

    #[rstest]
    #[case::read("GET", "/api/v1/pods?watch=true", false)]
    #[case::create("POST", "/api/v1/namespaces/a/events", true)]
    #[case::apply("PATCH", "/api/v1/namespaces/a/configmaps/b?force=true", true)]
    #[case::replace("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", true)]
    #[case::delete("DELETE", "/api/v1/namespaces/a/configmaps/b", true)]
    #[case::dry_run(
        "PATCH",
        "/api/v1/namespaces/a/configmaps/b?&dryRun=All&force=true",
        false
    )]
    #[case::access_review(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        false
    )]
    #[case::review("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", false)]
    #[tokio::test]
    async fn only_writes_need_an_open_fence(
        #[case] method: &str,
        #[case] uri: &str,
        #[case] needs: bool,
    ) {
        let request = || Request::builder().method(method).uri(uri).body(()).unwrap();
        for (fence, is_open) in [(Fence::closed(), false), (Fence::open(), true)] {
            let inner = service_fn(async |_: Request<()>| Ok::<_, BoxError>(()));
            let answer = fence.layer(inner).call(request()).await;
            assert_eq!(answer.is_ok(), is_open || !needs);
        }
    }

    #[tokio::test]
    async fn a_write_under_way_is_cut_off_when_the_fence_closes_and_not_before() {
        let fence = Fence::closed();
        let soon = Instant::now() + Duration::from_millis(50);
        fence.open_until(soon);
        let never = service_fn(|_: Request<()>| std::future::pending::<Result<(), BoxError>>());
        let request = Request::builder().method("PUT").body(()).unwrap();
        let write = fence.layer(never).call(request);
        // The Lease is renewed meanwhile.
        let later = soon + Duration::from_millis(50);
        fence.open_until(later);
        let error = write.await.unwrap_err();
        assert!(error.is::<Fenced>(), "{error}");
        assert!(Instant::now() >= later);
        assert!(!fence.is_open());
    }
}
