use std::sync::Arc;

use handler_host_cluster::{Active, Wanted};
use handler_host_core::{Description, Digest, Fault, Settings, one_line};
use handler_host_engine::{Component, DescribeError, Tally};
use handler_host_registry::{FetchError, Fetched};

use super::Host;
use super::compiled::compile;

/// A module that may take over: compiled, described for its config, and within its grant.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) component: Component,
    pub(crate) active: Active,
    /// The spec that it was loaded for.
    pub(crate) spec: Digest,
    pub(crate) fetched: Fetched,
}

/// Why a module may not take over: the reason and message of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Whether the same may go well another time: it was the host's trouble, or that of a busy machine.
    pub(crate) is_passing: bool,
}

/// The longest message of a condition: guests and registries have a say in it.
const LONGEST: usize = 4096;

impl Refused {
    pub(crate) fn new(reason: &'static str, message: &str) -> Self {
        let mut message = one_line(message);
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST - '…'.len_utf8()));
            message.push('…');
        }
        Self {
            reason,
            message,
            is_passing: false,
        }
    }

    fn passing(self) -> Self {
        Self {
            is_passing: true,
            ..self
        }
    }

    /// It could not be fetched, or is not the one that is pinned.
    pub(crate) fn fetching(error: &FetchError) -> Self {
        let reason = match error {
            FetchError::DigestMismatch { .. } => "DigestMismatch",
            FetchError::Unreadable { .. }
            | FetchError::TooLarge { .. }
            | FetchError::NoCluster { .. }
            | FetchError::Cluster { .. }
            | FetchError::NoConfigMap { .. }
            | FetchError::NoEntry { .. }
            | FetchError::Text { .. }
            | FetchError::Reference { .. }
            | FetchError::Image { .. }
            | FetchError::Lost { .. } => "FetchFailed",
        };
        Self::new(reason, &error.to_string())
    }
}

impl Loaded {
    pub(crate) fn digest(&self) -> Digest {
        self.component.digest()
    }
}

/// Compiles a module, unless it is the one compiled already, asks it what it is and compares that with
/// what it is granted.
pub(crate) async fn load(
    host: &Arc<Host>,
    settings: &Settings,
    tally: &Arc<Tally>,
    fetched: Fetched,
    compiled: Option<Component>,
) -> Result<Loaded, Refused> {
    let (host, settings, tally) = (host.clone(), settings.clone(), tally.clone());
    let loading = move || {
        let origin = &fetched.origin;
        let compiled = compiled.filter(|component| component.digest() == fetched.digest);
        let component = match compiled {
            Some(component) => component,
            None => compile(&host, &settings.name, &fetched).map_err(|error| {
                Refused::new("InvalidModule", &format!("module {origin} {error}"))
            })?,
        };
        let description = describe(&component, &settings, origin)?;
        Ok(loaded(
            &host,
            &settings,
            &tally,
            component,
            description,
            fetched,
        ))
    };
    let loaded = tokio::task::spawn_blocking(loading).await;
    loaded.unwrap_or_else(|error| {
        let message = format!("the host failed to load the module ({error})");
        Err(Refused::new("HostError", &message).passing())
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
        let refused = Refused::new("DescribeFailed", &format!("module {origin}: {error}"));
        match error {
            // A busy machine, perhaps: the deadline is wall-clock time.
            DescribeError::Stopped(Fault::Deadline(_)) => refused.passing(),
            DescribeError::Stopped(Fault::Trap(_) | Fault::Memory(_))
            | DescribeError::Refused(_)
            | DescribeError::Kind(_) => refused,
        }
    })?;
    let grant = Wanted::from(settings).grant();
    let narrowed = grant.and_then(|grant| grant.narrowed_to(&description));
    narrowed.map_err(|error| Refused::new("NotGranted", &error.to_string()))?;
    Ok(description)
}

fn loaded(
    host: &Host,
    settings: &Settings,
    tally: &Arc<Tally>,
    component: Component,
    description: Description,
    fetched: Fetched,
) -> Loaded {
    let limits = settings.call_limits;
    let handler = component.clone().into_handler(&settings.name, limits);
    Loaded {
        active: Active {
            invoke: Arc::new(host.memo.wrap(Arc::new(handler), limits, tally)),
            description,
            config: settings.config.as_str().into(),
            limits,
        },
        component,
        spec: settings.spec,
        fetched,
    }
}
