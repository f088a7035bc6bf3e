//! Version 0.2 of the world `handler-host:handler`. Nothing outside this directory knows its types, its imports
//! or its exports.

mod bindings;
mod translate;

use handler_host_core::{Description, Failure, Query, Response};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Result, Store};

use crate::console::Level;
use crate::contract::Contract;
use crate::error::DescribeError;
use crate::sandbox::{MonotonicClock, Sandbox};
use crate::world::Input;
use bindings::Handler;
use bindings::handler_host::handler::{log, types};

pub(crate) use bindings::HandlerPre;

pub(crate) const CONTRACT: Contract = Contract {
    name: "handler-host:handler@0.2.0",
    target: "handler-host:handler/handler@0.2.0",
    interfaces: &[
        "handler-host:handler/log@0.2.0",
        "handler-host:handler/types@0.2.0",
    ],
    exports: &["describe", "related", "reconcile"],
};

/// What its monotonic clock shows.
pub(crate) const MONOTONIC_CLOCK: MonotonicClock = MonotonicClock::from_start();

pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> Result<()> {
    Handler::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)
}

/// Links a component, whose names were checked.
pub(crate) fn link(linker: &Linker<Sandbox>, component: &Component) -> Result<HandlerPre<Sandbox>> {
    linker.instantiate_pre(component).and_then(HandlerPre::new)
}

pub(crate) async fn describe(
    handler: &HandlerPre<Sandbox>,
    store: &mut Store<Sandbox>,
    config: &str,
) -> Result<Result<Description, DescribeError>> {
    let handler = handler.instantiate_async(&mut *store).await?;
    let answer = handler.call_describe(store, config).await?;
    Ok(answer
        .map_err(DescribeError::Refused)
        .and_then(|described| translate::description(&described)))
}

pub(crate) async fn related(
    handler: &HandlerPre<Sandbox>,
    store: &mut Store<Sandbox>,
    parent: &str,
    config: &str,
) -> Result<Result<Vec<Query>, Failure>> {
    let handler = handler.instantiate_async(&mut *store).await?;
    let answer = handler.call_related(store, parent, config).await?;
    Ok(answer
        .map_err(translate::failure)
        .and_then(translate::queries))
}

pub(crate) async fn reconcile(
    handler: &HandlerPre<Sandbox>,
    store: &mut Store<Sandbox>,
    input: Input,
) -> Result<Result<Response, Failure>> {
    let handler = handler.instantiate_async(&mut *store).await?;
    let answer = handler
        .call_reconcile(&mut *store, &translate::request(input))
        .await?;
    Ok(answer
        .map(|response| translate::response(response, &store.data().console))
        .map_err(translate::failure))
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
