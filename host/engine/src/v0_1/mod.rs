//! Version 0.1 of the world `handler-host:handler`. Nothing outside this directory knows its types, its imports
//! or its exports.

mod bindings;
mod imports;
mod translate;

use handler_host_core::{Description, Failure, Response};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;

use crate::console::Level;
use crate::error::{DescribeError, ModuleError};
use crate::sandbox::Sandbox;
use crate::world::Input;
use bindings::Handler;
use bindings::handler_host::handler::{log, types};

pub(crate) use bindings::HandlerPre;

/// The name of this version, as its contract declares it.
pub(crate) const NAME: &str = "handler-host:handler@0.1.0";
/// The full name of the world within its package.
pub(crate) const TARGET: &str = "handler-host:handler/handler@0.1.0";
/// The functions that a component of this world exports.
pub(crate) const EXPORTS: [&str; 2] = ["describe", "reconcile"];

pub(crate) fn linker(engine: &Engine) -> Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)?;
    linker.allow_shadowing(false);
    Handler::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)?;
    Ok(linker)
}

/// Checks what a component imports and exports, and links it.
pub(crate) fn link(
    linker: &Linker<Sandbox>,
    component: &Component,
) -> Result<HandlerPre<Sandbox>, ModuleError> {
    let (world, engine) = (component.component_type(), component.engine());
    for (import, _) in world.imports(engine) {
        imports::check(import)?;
    }
    for export in EXPORTS {
        if !world.exports(engine).any(|(name, _)| name == export) {
            return Err(another_world(format!("it does not export `{export}`")));
        }
    }
    let linked = linker.instantiate_pre(component).and_then(HandlerPre::new);
    linked.map_err(|error| another_world(format!("{error:#}")))
}

fn another_world(reason: String) -> ModuleError {
    ModuleError::World {
        reason,
        expected: NAME,
    }
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
        .and_then(translate::description))
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
