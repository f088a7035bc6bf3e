//! Version 0.1 of the world: its generated bindings, and the way between them and the core's types.

use std::time::Duration;

use handler_host_core as core;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;

use crate::console::Level;
use crate::module::{DescribeError, ModuleError};
use crate::sandbox::Sandbox;

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated")]
    wasmtime::component::bindgen!({ path: "../../wit/handler.wit", world: "handler" });
}

use bindings::handler_host::handler::{log, types};
pub(crate) use bindings::{Handler, HandlerPre};

/// No request to run again comes sooner than this, so that no handler turns the host in circles.
const SOONEST: Duration = Duration::from_secs(1);
/// Events of one response that are published.
const EVENTS: usize = 8;

pub(crate) fn linker(engine: &Engine) -> Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)?;
    linker.allow_shadowing(false);
    Handler::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)?;
    Ok(linker)
}

pub(crate) fn link(
    linker: &Linker<Sandbox>,
    component: &Component,
) -> Result<HandlerPre<Sandbox>, ModuleError> {
    let pre = linker
        .instantiate_pre(component)
        .map_err(|error| ModuleError::World(format!("{error:#}")))?;
    HandlerPre::new(pre).map_err(|error| ModuleError::World(format!("{error:#}")))
}

impl types::Host for Sandbox {}

impl log::Host for Sandbox {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.console.write(level, &message);
    }
}

pub(crate) fn describe(
    handler: &Handler,
    store: &mut Store<Sandbox>,
    config: &str,
) -> Result<Result<core::Description, DescribeError>> {
    let answer = handler.call_describe(store, config)?;
    Ok(answer
        .map_err(DescribeError::Refused)
        .and_then(|description| {
            let kind = |kind: types::Kind| core::Kind::new(&kind.api_version, &kind.kind);
            let mut children = Vec::new();
            for child in description.children {
                let child = kind(child)?;
                // Said twice is said once: what is described stands in statuses.
                if !children.contains(&child) {
                    children.push(child);
                }
            }
            Ok(core::Description {
                parent: kind(description.parent)?,
                children,
                has_finalizer: description.finalizer,
            })
        }))
}

pub(crate) fn reconcile(
    handler: &Handler,
    store: &mut Store<Sandbox>,
    call: &core::Call<'_>,
) -> Result<Result<core::Response, core::Failure>> {
    let request = types::Request {
        parent: call.parent.to_owned(),
        children: call
            .children
            .iter()
            .map(|child| (*child).to_owned())
            .collect(),
        config: call.config.to_owned(),
    };
    let answer = handler.call_reconcile(&mut *store, &request)?;
    Ok(match answer {
        Ok(response) => Ok(response_of(response, store)),
        Err(types::Failure::Permanent(message)) => Err(core::Failure::Permanent(message)),
        Err(types::Failure::Temporary(failure)) => Err(core::Failure::Temporary {
            message: failure.message,
            delay: failure.delay_ms.map(not_too_soon),
        }),
    })
}

fn response_of(response: types::Response, store: &Store<Sandbox>) -> core::Response {
    let mut events: Vec<_> = response.events.into_iter().map(event_of).collect();
    if events.len() > EVENTS {
        let message = format!(
            "the handler returned {} events, {EVENTS} are published",
            events.len()
        );
        store.data().console.write(Level::Warn, &message);
        events.truncate(EVENTS);
    }
    core::Response {
        children: response.children,
        status: response.status,
        readiness: match response.readiness {
            types::Readiness::Ready => core::Readiness::Ready,
            types::Readiness::Waiting(message) => core::Readiness::Waiting(message),
        },
        events,
        requeue_after: response.requeue_after_ms.map(not_too_soon),
    }
}

fn event_of(event: types::Event) -> core::HandlerEvent {
    core::HandlerEvent {
        severity: match event.severity {
            types::Severity::Normal => core::Severity::Normal,
            types::Severity::Warning => core::Severity::Warning,
        },
        reason: event.reason,
        message: event.message,
    }
}

fn not_too_soon(millis: u64) -> Duration {
    Duration::from_millis(millis).max(SOONEST)
}
