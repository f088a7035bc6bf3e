//! The modules of handlers: loaded from bytes, compiled once, kept over a restart.

mod compile;
mod store;

use std::sync::Arc;

use handler_host_cluster::CallableModule;
use handler_host_core::{
    Description, Digest, Fault, FetchedModule, GrantRequest, HandlerReason, Refused, RolloutModule,
    Settings,
};
use handler_host_engine::{Component, DescribeError, Tally};
use handler_host_registry::FetchError;

use super::HostContext;
use compile::compile;

/// A module that may take over: compiled, described for its config, and within its grant.
#[derive(Clone)]
pub(crate) struct LoadedModule {
    pub(crate) component: Component,
    pub(crate) active: CallableModule,
    spec: Digest,
    fetched: FetchedModule,
}

impl RolloutModule for LoadedModule {
    fn fetched(&self) -> &FetchedModule {
        &self.fetched
    }

    fn spec(&self) -> Digest {
        self.spec
    }

    fn description(&self) -> &Description {
        &self.active.description
    }

    fn world(&self) -> String {
        self.component.world().name().to_owned()
    }
}

/// Why a source gives no module, as the condition `ModuleLoaded` says it.
pub(super) fn refused_by_source(error: &FetchError) -> Refused {
    let reason = match error {
        FetchError::DigestMismatch { .. } => HandlerReason::DigestMismatch,
        FetchError::Unreadable { .. }
        | FetchError::TooLarge { .. }
        | FetchError::NoCluster { .. }
        | FetchError::Cluster { .. }
        | FetchError::NoConfigMap { .. }
        | FetchError::NoEntry { .. }
        | FetchError::Text { .. }
        | FetchError::Reference { .. }
        | FetchError::Image { .. }
        | FetchError::Lost { .. } => HandlerReason::FetchFailed,
    };
    Refused::new(reason, &error.to_string())
}

/// Compiles a module unless `compiled` is that module, asks it what it is, and compares that with what it is
/// granted.
pub(crate) async fn load(
    host: &Arc<HostContext>,
    settings: &Settings,
    tally: &Arc<Tally>,
    fetched: FetchedModule,
    compiled: Option<Component>,
) -> Result<LoadedModule, Refused> {
    let (host, settings, tally) = (host.clone(), settings.clone(), tally.clone());
    let loading = move || {
        let origin = &fetched.origin;
        let compiled = compiled.filter(|component| component.digest() == fetched.digest);
        let component = match compiled {
            Some(component) => component,
            None => compile(&host, &settings.name, &fetched).map_err(|error| {
                let message = format!("module {origin} {error}");
                Refused::new(HandlerReason::InvalidModule, &message)
            })?,
        };
        let description = describe(&component, &settings, origin)?;
        let limits = settings.call_limits;
        let handler = component.clone().into_handler(&settings.name, limits);
        Ok(LoadedModule {
            active: CallableModule {
                invoke: Arc::new(host.memo.wrap(Arc::new(handler), limits, &tally)),
                description,
                config: settings.config.as_str().into(),
                limits,
            },
            component,
            spec: settings.spec,
            fetched,
        })
    };
    let loaded = tokio::task::spawn_blocking(loading).await;
    loaded.unwrap_or_else(|error| {
        let message = format!("the host failed to load the module ({error})");
        Err(Refused::new(HandlerReason::HostError, &message).temporary())
    })
}

/// What the module is with the settings' config, if that is within its grant.
fn describe(
    component: &Component,
    settings: &Settings,
    origin: &str,
) -> Result<Description, Refused> {
    let described = component.describe(&settings.config, settings.call_limits);
    let description = described.map_err(|error| {
        let message = format!("module {origin}: {error}");
        let refused = Refused::new(HandlerReason::DescribeFailed, &message);
        match error {
            // The deadline is wall-clock time, and a busy machine may be the cause.
            DescribeError::Stopped(Fault::Deadline(_)) => refused.temporary(),
            DescribeError::Stopped(
                Fault::Trap(_)
                | Fault::Memory(_)
                | Fault::HostMemory(_)
                | Fault::Response(_)
                | Fault::Answer(_)
                | Fault::Queries(_)
                | Fault::NoRoom { .. },
            )
            | DescribeError::Clock(_)
            | DescribeError::Refused(_)
            | DescribeError::Kinds { .. }
            | DescribeError::Kind(_) => refused,
        }
    })?;
    let grant = GrantRequest::from(settings).grant();
    let narrowed = grant.and_then(|grant| grant.narrowed_to(&description));
    narrowed.map_err(|error| Refused::new(HandlerReason::NotGranted, &error.to_string()))?;
    Ok(description)
}
