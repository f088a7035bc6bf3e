//! The way between the types of the world and those of the core.

use std::time::Duration;

use handler_host_core as core;

use super::bindings::handler_host::handler::types;
use crate::console::{Console, Level};
use crate::error::DescribeError;
use crate::world::Input;

/// The shortest delay before the next call. A shorter one would let a handler keep the host busy.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);
/// How many kinds of children a handler may describe.
const KINDS: usize = 100;
/// How many events of one response are published.
const EVENTS: usize = 8;

pub(super) fn description(
    description: types::Description,
) -> Result<core::Description, DescribeError> {
    let kind = |kind: types::Kind| core::Kind::new(&kind.api_version, &kind.kind);
    let count = description.children.len();
    if count > KINDS {
        return Err(DescribeError::Kinds {
            count,
            limit: KINDS,
        });
    }
    let mut children = Vec::new();
    for child in description.children {
        let child = kind(child)?;
        // The list goes into the status of the Handler, where a kind that is named twice would confuse.
        if !children.contains(&child) {
            children.push(child);
        }
    }
    Ok(core::Description {
        parent: kind(description.parent)?,
        children,
        has_finalizer: description.finalizer,
    })
}

pub(super) fn request(input: Input) -> types::Request {
    types::Request {
        parent: input.parent,
        children: input.children,
        config: input.config,
    }
}

pub(super) fn response(response: types::Response, console: &Console) -> core::Response {
    let mut events: Vec<_> = response.events.into_iter().map(event).collect();
    if events.len() > EVENTS {
        let message = format!(
            "the handler returned {} events, {EVENTS} are published",
            events.len()
        );
        console.write(Level::Warn, &message);
        events.truncate(EVENTS);
    }
    core::Response {
        children: response.children,
        status: response.status,
        readiness: match response.readiness {
            types::Readiness::Ready => core::Readiness::Ready,
            types::Readiness::Waiting(message) => core::Readiness::Waiting(cut(message)),
        },
        events,
        requeue_after: response.requeue_after_ms.map(delay),
    }
}

pub(super) fn failure(failure: types::Failure) -> core::Failure {
    match failure {
        types::Failure::Permanent(message) => core::Failure::Permanent(cut(message)),
        types::Failure::Temporary(failure) => core::Failure::Temporary {
            message: cut(failure.message),
            delay: failure.delay_ms.map(delay),
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

/// A text that is shown. More of it would be cut where it is shown, and until then be held for each parent.
fn cut(text: String) -> String {
    core::truncated(text, core::LONGEST_MESSAGE)
}

fn delay(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds).max(SHORTEST_DELAY)
}
