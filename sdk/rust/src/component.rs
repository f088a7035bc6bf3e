//! The boundary of the component: the generated bindings, and the way between them and this crate's types.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use bindings::handler_host::handler::types as wit;

use crate::call::{self, RawRequest};
use crate::{
    ChildName, Condition, ConditionStatus, Description, Event, Failure, Handler, Kind, Operator,
    Place, Query, Readiness, Requeue, Requirement, Response, Retry, Selection, Severity,
};

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

    fn related(parent: String, config: String) -> Result<Vec<wit::Query>, wit::Failure> {
        let queries = call::related::<H>(&parent, &config)?;
        Ok(queries.into_iter().map(Into::into).collect())
    }

    fn reconcile(request: wit::Request) -> Result<wit::Response, wit::Failure> {
        let wit::Request {
            parent,
            children,
            related,
            config,
            now_ms,
        } = request;
        let request = RawRequest {
            parent,
            children,
            related,
            config,
            now: now_ms.map(|now| SystemTime::UNIX_EPOCH + Duration::from_millis(now)),
        };
        Ok(call::reconcile::<H>(request)?.into())
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
            related,
            finalizer,
            clock,
        }: Description,
    ) -> Self {
        Self {
            parent: parent.into(),
            children: children.into_iter().map(Into::into).collect(),
            related: related.into_iter().map(Into::into).collect(),
            finalizer,
            clock_ms: clock.map(milliseconds),
        }
    }
}

impl From<Query> for wit::Query {
    fn from(
        Query {
            kind,
            place,
            selection,
        }: Query,
    ) -> Self {
        Self {
            kind: kind.into(),
            place: match place {
                Place::ParentNamespace => wit::Place::ParentNamespace,
                Place::Namespace(namespace) => wit::Place::Namespace(namespace),
                Place::Everywhere => wit::Place::Everywhere,
            },
            selection: match selection {
                Selection::Name(name) => wit::Selection::Name(name),
                Selection::Labels(labels) => {
                    wit::Selection::Labels(labels.into_iter().map(Into::into).collect())
                }
                Selection::All => wit::Selection::All,
            },
        }
    }
}

impl From<Requirement> for wit::Requirement {
    fn from(
        Requirement {
            key,
            operator,
            values,
        }: Requirement,
    ) -> Self {
        Self {
            key,
            operator: match operator {
                Operator::In => wit::Operator::IsIn,
                Operator::NotIn => wit::Operator::IsNotIn,
                Operator::Exists => wit::Operator::Exists,
                Operator::DoesNotExist => wit::Operator::DoesNotExist,
            },
            values,
        }
    }
}

impl From<Response> for wit::Response {
    fn from(response: Response) -> Self {
        Self {
            children: response.children,
            keep: response.kept.into_iter().map(Into::into).collect(),
            status: response.status,
            conditions: response.conditions.into_iter().map(Into::into).collect(),
            readiness: match response.readiness {
                Readiness::Ready => wit::Readiness::Ready,
                Readiness::Waiting(message) => wit::Readiness::Waiting(message),
            },
            events: response.events.into_iter().map(Into::into).collect(),
            requeue: response.requeue.map(Into::into),
        }
    }
}

impl From<ChildName> for wit::ChildName {
    fn from(
        ChildName {
            kind,
            namespace,
            name,
        }: ChildName,
    ) -> Self {
        Self {
            kind: kind.into(),
            namespace,
            name,
        }
    }
}

impl From<Requeue> for wit::Requeue {
    fn from(requeue: Requeue) -> Self {
        match requeue {
            Requeue::After(delay) => Self::AfterMs(milliseconds(delay)),
            Requeue::At(time) => {
                // A time before 1970 is over.
                let since = time.duration_since(SystemTime::UNIX_EPOCH);
                Self::AtMs(milliseconds(since.unwrap_or_default()))
            }
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
    fn from(
        Failure {
            message,
            retry,
            status,
            conditions,
        }: Failure,
    ) -> Self {
        Self {
            message,
            retry: match retry {
                Retry::Never => wit::Retry::Never,
                Retry::Backoff => wit::Retry::Backoff,
                Retry::After(delay) => wit::Retry::AfterMs(milliseconds(delay)),
            },
            status,
            conditions: conditions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Condition> for wit::Condition {
    fn from(
        Condition {
            type_,
            status,
            reason,
            message,
        }: Condition,
    ) -> Self {
        Self {
            type_,
            status: match status {
                ConditionStatus::True => wit::ConditionStatus::IsTrue,
                ConditionStatus::False => wit::ConditionStatus::IsFalse,
                ConditionStatus::Unknown => wit::ConditionStatus::Unknown,
            },
            reason,
            message,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
