use std::time::Instant;

use handler_host_core::FetchedModule;
use handler_host_engine::{Component, ModuleError};
use handler_host_registry::{Store, path_of};
use parking_lot::Mutex;

use crate::compile::compile_apart;
use crate::serve::HostContext;

/// Held by the thread that compiles.
static TURN: Mutex<()> = Mutex::new(());

/// Compiles a module, unless its code was kept. Blocks.
pub(super) fn compile(
    host: &HostContext,
    handler: &str,
    fetched: &FetchedModule,
) -> Result<Component, ModuleError> {
    let name = host.runtime.code_name(fetched.digest);
    let store = host.store.as_ref();
    let kept_code = || {
        let component = store.and_then(|store| kept(host, store, &name, fetched))?;
        let digest = component.digest().short();
        tracing::debug!(%handler, %digest, "took compiled code that was kept");
        Some(component)
    };
    if let Some(component) = kept_code() {
        return Ok(component);
    }
    // Modules are compiled one at a time. Another handler may have had this one compiled meanwhile.
    let _turn = TURN.lock();
    if let Some(component) = kept_code() {
        return Ok(component);
    }
    let started = Instant::now();
    let component = compile_apart(&host.runtime, &fetched.bytes)?;
    let ms = started.elapsed().as_millis();
    tracing::debug!(%handler, digest = %component.digest().short(), ms, "compiled");
    // What is mapped from the store is memory that the system can take back; a file without a name is not.
    let mapped = store.and_then(|store| {
        keep(store, &name, &component);
        kept(host, store, &name, fetched)
    });
    Ok(mapped.unwrap_or(component))
}

fn kept(
    host: &HostContext,
    store: &Store,
    name: &str,
    fetched: &FetchedModule,
) -> Option<Component> {
    let file = store.code(name)?;
    #[allow(
        unsafe_code,
        reason = "code is compiled once and taken from a store since"
    )]
    // SAFETY: nobody but this user and root can have written the file, which the store checked of the very file that is
    // loaded, and under this name there is only what `keep` wrote for the module of this digest.
    let loaded = unsafe { host.runtime.load_code(&path_of(&file), &fetched.bytes) };
    match loaded {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!("compiled code {name} in the state directory {error}");
            let _ = store.forget_code(name);
            None
        }
    }
}

/// That it cannot be kept costs time at the next start, and no more.
fn keep(store: &Store, name: &str, component: &Component) {
    let Some(code) = component.code() else {
        return;
    };
    if let Err(error) = store.keep_code(name, &code) {
        tracing::warn!("compiled code is not kept: {error}");
    }
}
