//! The way between the types of the world and those of the core.

use handler_host_core as core;

use super::bindings::handler_host::handler::types;
use crate::answers::{cut, kinds, milliseconds, published};
use crate::console::Console;
use crate::error::DescribeError;
use crate::world::Input;

pub(super) fn description(
    description: &types::Description,
) -> Result<core::Description, DescribeError> {
    Ok(core::Description {
        parent: kind(&description.parent)?,
        children: kinds("children", &description.children, kind)?,
        related: Vec::new(),
        has_finalizer: description.finalizer,
        clock: None,
    })
}

fn kind(kind: &types::Kind) -> Result<core::Kind, core::KindError> {
    core::Kind::new(&kind.api_version, &kind.kind)
}

pub(super) fn request(input: Input) -> types::Request {
    types::Request {
        parent: input.parent,
        children: input.children,
        config: input.config,
    }
}

pub(super) fn response(response: types::Response, console: &Console) -> core::Response {
    let requeue = response.requeue_after_ms.map(milliseconds);
    core::Response {
        children: response.children,
        kept: Vec::new(),
        status: core::StatusAnswer {
            patch: response.status,
            conditions: Vec::new(),
        },
        readiness: match response.readiness {
            types::Readiness::Ready => core::Readiness::Ready,
            types::Readiness::Waiting(message) => core::Readiness::Waiting(cut(message)),
        },
        events: published(response.events, event, console),
        requeue: requeue.map(core::RequeueRequest::After),
    }
}

pub(super) fn failure(failure: types::Failure) -> core::Failure {
    match failure {
        types::Failure::Permanent(message) => core::Failure::permanent(cut(message)),
        types::Failure::Temporary(failure) => core::Failure::Temporary {
            message: cut(failure.message),
            delay: failure.delay_ms.map(milliseconds),
            status: core::StatusAnswer::default(),
        },
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
