//! The boundary of the component: the generated bindings, and the way between them and this crate's types.

use std::marker::PhantomData;
use std::time::Duration;

use bindings::handler_host::handler::types as wit;

use crate::{Description, Event, Failure, Handler, Kind, Readiness, Response, Severity, call};

/// Generated from the contract, `handler.wit`.
#[allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated code; crossing the boundary is unsafe by nature"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/handler.wit",
        world: "handler",
        pub_export_macro: true,
        export_macro_name: "__export_component",
    });
}

/// The component's two exports, for one handler.
#[derive(Debug)]
pub struct ExportedHandler<H>(PhantomData<H>);

impl<H: Handler> ExportedHandler<H> {
    /// With it [`export!`](crate::export) checks its argument where the target is not WebAssembly.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<H: Handler> Default for ExportedHandler<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Handler> bindings::Guest for ExportedHandler<H> {
    fn describe(config: String) -> Result<wit::Description, String> {
        call::describe::<H>(&config).map(Into::into)
    }

    fn reconcile(request: wit::Request) -> Result<wit::Response, wit::Failure> {
        let wit::Request {
            parent,
            children,
            config,
        } = request;
        call::reconcile::<H>(&parent, children, &config)
            .map(Into::into)
            .map_err(Into::into)
    }
}

impl From<Kind> for wit::Kind {
    fn from(Kind { api_version, kind }: Kind) -> Self {
        Self { api_version, kind }
    }
}

impl From<Description> for wit::Description {
    fn from(
        Description {
            parent,
            children,
            finalizer,
        }: Description,
    ) -> Self {
        Self {
            parent: parent.into(),
            children: children.into_iter().map(Into::into).collect(),
            finalizer,
        }
    }
}

impl From<Response> for wit::Response {
    fn from(response: Response) -> Self {
        Self {
            children: response.children,
            status: response.status,
            readiness: match response.readiness {
                Readiness::Ready => wit::Readiness::Ready,
                Readiness::Waiting(message) => wit::Readiness::Waiting(message),
            },
            events: response.events.into_iter().map(Into::into).collect(),
            requeue_after_ms: response.requeue_after.map(milliseconds),
        }
    }
}

impl From<Event> for wit::Event {
    fn from(
        Event {
            severity,
            reason,
            message,
        }: Event,
    ) -> Self {
        let severity = match severity {
            Severity::Normal => wit::Severity::Normal,
            Severity::Warning => wit::Severity::Warning,
        };
        Self {
            severity,
            reason,
            message,
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Permanent(message) => Self::Permanent(message),
            Failure::Temporary { message, delay } => Self::Temporary(wit::TemporaryFailure {
                message,
                delay_ms: delay.map(milliseconds),
            }),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
