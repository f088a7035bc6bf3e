use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::{Body, DynBody};
use tower::{Layer, Service};

use crate::meters::Meters;
use crate::vitals::{Pulse, PulseOf, Vitals};

/// A layer of kube's client that notes what goes on between host and API server: each request is counted, and
/// alive as long as its answer goes on.
///
/// kube's watcher keeps bookmarks to itself, so that a watch is alive can be seen only here.
#[derive(Clone, Default)]
pub struct Traffic {
    vitals: Vitals,
    meters: Meters,
}

/// A service whose traffic is noted.
#[derive(Clone)]
pub struct Noted<S> {
    inner: S,
    traffic: Traffic,
}

impl Traffic {
    /// Notes it there.
    #[must_use]
    pub fn new(vitals: &Vitals, meters: &Meters) -> Self {
        Self {
            vitals: vitals.clone(),
            meters: meters.clone(),
        }
    }

    fn pulse<B>(&self, request: &Request<B>) -> Pulse {
        let uri = request.uri();
        let mut query = uri.query().unwrap_or_default().split('&');
        let (of, verb) = if query.any(|pair| pair == "watch=true") {
            (PulseOf::Watch, "watch of")
        } else {
            (PulseOf::Request, request.method().as_str())
        };
        self.vitals.pulse(of, format!("{verb} {}", uri.path()))
    }
}

impl<S> Layer<S> for Traffic {
    type Service = Noted<S>;

    fn layer(&self, inner: S) -> Noted<S> {
        Noted {
            inner,
            traffic: self.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Noted<S>
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
        let pulse = self.traffic.pulse(&request);
        let meters = self.traffic.meters.clone();
        let method = request.method().clone();
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            pulse.beat();
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            meters.requested(&method, code);
            answer.map(|answer| answer.map(|body| alive(body, pulse)))
        }
        .boxed()
    }
}

/// The body, whose every piece is a sign of life; its end, or the end of interest in it, is the pulse's.
fn alive(body: Box<DynBody>, pulse: Pulse) -> Box<DynBody> {
    Box::new(body.map_frame(move |frame| {
        pulse.beat();
        frame
    }))
}
