//! The way between the types of the world and those of the core.

use std::time::Duration;

use handler_host_core as core;

use super::bindings::handler_host::handler::types;
use crate::answers::{cut, kinds, milliseconds, published};
use crate::console::Console;
use crate::error::DescribeError;
use crate::world::Input;

/// The finest granularity of a clock, in milliseconds.
const FINEST_CLOCK: u64 = 1000;

pub(super) fn description(
    description: &types::Description,
) -> Result<core::Description, DescribeError> {
    Ok(core::Description {
        parent: kind(&description.parent)?,
        children: kinds("children", &description.children, kind)?,
        related: kinds("related objects", &description.related, kind)?,
        has_finalizer: description.finalizer,
        clock: description.clock_ms.map(clock).transpose()?,
    })
}

fn clock(granularity: u64) -> Result<Duration, DescribeError> {
    if granularity < FINEST_CLOCK {
        return Err(DescribeError::Clock(granularity));
    }
    Ok(milliseconds(granularity))
}

fn kind(kind: &types::Kind) -> Result<core::Kind, core::KindError> {
    core::Kind::new(&kind.api_version, &kind.kind)
}

pub(super) fn request(input: Input) -> types::Request {
    types::Request {
        parent: input.parent,
        children: input.children,
        related: input.related,
        config: input.config,
        now_ms: input.now.map(|now| now.0),
    }
}

/// The queries of a handler. One that can match nothing is the mistake of the module, and each call would make it again.
pub(super) fn queries(queries: Vec<types::Query>) -> Result<Vec<core::Query>, core::Failure> {
    let queries = queries.into_iter().enumerate();
    let translated = queries.map(|(index, asked)| {
        query(asked).map_err(|why| {
            let message = format!("the handler's query {index} for related objects is none: {why}");
            core::Failure::permanent(cut(message))
        })
    });
    translated.collect()
}

fn query(query: types::Query) -> Result<core::Query, String> {
    let place = match query.place {
        types::Place::ParentNamespace => core::Place::ParentNamespace,
        types::Place::Namespace(namespace) => core::Place::Namespace(namespace),
        types::Place::Everywhere => core::Place::Everywhere,
    };
    let selection = match query.selection {
        types::Selection::Name(name) => core::Selection::Name(name),
        types::Selection::Labels(requirements) => {
            let selector = labels(requirements).map_err(|error| error.to_string())?;
            core::Selection::Labels(selector)
        }
        types::Selection::All => core::Selection::All,
    };
    Ok(core::Query {
        kind: kind(&query.kind).map_err(|error| error.to_string())?,
        place,
        selection,
    })
}

fn labels(
    requirements: Vec<types::Requirement>,
) -> Result<core::LabelSelector, core::SelectorError> {
    let requirements = requirements.into_iter().map(|requirement| {
        let operator = match requirement.operator {
            types::Operator::IsIn => core::Operator::In,
            types::Operator::IsNotIn => core::Operator::NotIn,
            types::Operator::Exists => core::Operator::Exists,
            types::Operator::DoesNotExist => core::Operator::DoesNotExist,
        };
        core::Requirement::new(&requirement.key, operator, requirement.values)
    });
    core::LabelSelector::new(requirements.collect::<Result<Vec<_>, _>>()?)
}

pub(super) fn response(response: types::Response, console: &Console) -> core::Response {
    core::Response {
        children: response.children,
        kept: response.keep.into_iter().map(kept).collect(),
        status: status(response.status, response.conditions),
        readiness: match response.readiness {
            types::Readiness::Ready => core::Readiness::Ready,
            types::Readiness::Waiting(message) => core::Readiness::Waiting(cut(message)),
        },
        events: published(response.events, event, console),
        requeue: response.requeue.map(requeue),
    }
}

fn kept(child: types::ChildName) -> core::KeptChild {
    let types::ChildName {
        kind: types::Kind { api_version, kind },
        namespace,
        name,
    } = child;
    core::KeptChild {
        api_version,
        kind,
        namespace,
        name,
    }
}

fn requeue(requeue: types::Requeue) -> core::RequeueRequest {
    match requeue {
        types::Requeue::AfterMs(delay) => core::RequeueRequest::After(milliseconds(delay)),
        types::Requeue::AtMs(time) => core::RequeueRequest::At(core::Timestamp(time)),
    }
}

pub(super) fn failure(failure: types::Failure) -> core::Failure {
    let status = status(failure.status, failure.conditions);
    let message = cut(failure.message);
    match failure.retry {
        types::Retry::Never => core::Failure::Permanent { message, status },
        types::Retry::Backoff => core::Failure::Temporary {
            message,
            delay: None,
            status,
        },
        types::Retry::AfterMs(delay) => core::Failure::Temporary {
            message,
            delay: Some(milliseconds(delay)),
            status,
        },
    }
}

fn status(patch: Option<String>, conditions: Vec<types::Condition>) -> core::StatusAnswer {
    let conditions = conditions
        .into_iter()
        .map(|condition| core::ParentCondition {
            type_: condition.type_,
            status: match condition.status {
                types::ConditionStatus::IsTrue => core::ConditionStatus::True,
                types::ConditionStatus::IsFalse => core::ConditionStatus::False,
                types::ConditionStatus::Unknown => core::ConditionStatus::Unknown,
            },
            reason: condition.reason,
            message: cut(condition.message),
        });
    core::StatusAnswer {
        patch,
        conditions: conditions.collect(),
    }
}

fn event(event: types::Event) -> core::HandlerEvent {
    core::HandlerEvent {
        severity: match event.severity {
            types::Severity::Normal => core::Severity::Normal,
            types::Severity::Warning => core::Severity::Warning,
        },
        reason: cut(event.reason),
        message: cut(event.message),
    }
}
