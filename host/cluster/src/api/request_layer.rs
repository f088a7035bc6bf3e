use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::{Body, DynBody};
use tower::{Layer, Service};

use crate::health::{Heartbeat, HeartbeatOf, Liveness};
use crate::metrics::Metrics;

/// A layer of kube's client that counts each request and gives it a [`Heartbeat`], which beats with each piece of
/// the answer.
///
/// kube's watcher does not pass bookmarks on, so only this layer sees that a quiet watch is alive.
#[derive(Clone, Default)]
pub struct RequestLayer {
    liveness: Liveness,
    metrics: Metrics,
}

/// A service behind a [`RequestLayer`].
#[derive(Clone)]
pub struct MeasuredService<S> {
    inner: S,
    layer: RequestLayer,
}

impl RequestLayer {
    /// A layer that reports to these.
    #[must_use]
    pub fn new(liveness: &Liveness, metrics: &Metrics) -> Self {
        Self {
            liveness: liveness.clone(),
            metrics: metrics.clone(),
        }
    }

    fn heartbeat<B>(&self, request: &Request<B>) -> Heartbeat {
        let uri = request.uri();
        let mut query = uri.query().unwrap_or_default().split('&');
        let (of, verb) = if query.any(|pair| pair == "watch=true") {
            (HeartbeatOf::Watch, "watch of")
        } else {
            (HeartbeatOf::Request, request.method().as_str())
        };
        self.liveness
            .heartbeat(of, format!("{verb} {}", uri.path()))
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = MeasuredService<S>;

    fn layer(&self, inner: S) -> MeasuredService<S> {
        MeasuredService {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for MeasuredService<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Box<DynBody>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let heartbeat = self.layer.heartbeat(&request);
        let metrics = self.layer.metrics.clone();
        let method = request.method().clone();
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            heartbeat.beat();
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            metrics.requested(&method, code);
            answer.map(|answer| answer.map(|body| beating(body, heartbeat)))
        }
        .boxed()
    }
}

/// The body of an answer. The heartbeat beats with each piece and is dropped with the body.
fn beating(body: Box<DynBody>, heartbeat: Heartbeat) -> Box<DynBody> {
    Box::new(body.map_frame(move |frame| {
        heartbeat.beat();
        frame
    }))
}
