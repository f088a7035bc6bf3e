//! What every version of the world does alike with the answers of handlers.

use std::time::Duration;

use handler_host_core as core;

use crate::console::{Console, Level};
use crate::error::DescribeError;

/// How many kinds of children a handler may describe, and how many kinds of related objects.
const KINDS: usize = 100;
/// How many events of one response are published.
const EVENTS: usize = 8;

/// Kinds that are described, of children or of others: each once, since the list goes into the status of the Handler, where
/// a kind that is named twice would confuse.
pub(crate) fn kinds<T>(
    what: &'static str,
    described: &[T],
    kind: impl Fn(&T) -> Result<core::Kind, core::KindError>,
) -> Result<Vec<core::Kind>, DescribeError> {
    let count = described.len();
    if count > KINDS {
        return Err(DescribeError::Kinds {
            what,
            count,
            limit: KINDS,
        });
    }
    let mut kinds = Vec::new();
    for described in described {
        let kind = kind(described)?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// The events that are published.
pub(crate) fn published<T>(
    events: Vec<T>,
    event: impl Fn(T) -> core::HandlerEvent,
    console: &Console,
) -> Vec<core::HandlerEvent> {
    let count = events.len();
    if count > EVENTS {
        let message = format!("the handler returned {count} events, {EVENTS} are published");
        console.write(Level::Warn, &message);
    }
    events.into_iter().take(EVENTS).map(event).collect()
}

/// A text that is shown. More of it would be cut where it is shown, and until then be held for each parent.
pub(crate) fn cut(text: String) -> String {
    core::truncated(text, core::LONGEST_MESSAGE)
}

pub(crate) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
