use std::sync::Arc;

use handler_host_cluster::resource::{Handler, HandlerStatus};
use handler_host_cluster::{HandlerMeters, HandlerReporter, Say};
use handler_host_core::{HandlerEvent, Severity};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::probes::Gauges;

/// Where it is said what becomes of a handler: always the log, and its Handler where that is in the cluster.
pub(crate) struct Sink {
    handler: String,
    written: Option<Written>,
    said: Vec<(&'static str, Say)>,
    meters: Arc<HandlerMeters>,
}

struct Written {
    statuses: watch::Sender<HandlerStatus>,
    events: mpsc::UnboundedSender<HandlerEvent>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Into the log alone.
    pub(crate) fn log(handler: &str, gauges: &Gauges) -> Self {
        Self {
            handler: handler.to_owned(),
            written: None,
            said: Vec::new(),
            meters: gauges.meters.handler(handler),
        }
    }

    /// Into the Handler's status and Events as well.
    pub(crate) fn cluster(client: Client, handler: &Handler, gauges: &Gauges) -> Self {
        let reporter = HandlerReporter::new(client, handler);
        let (statuses, told) = watch::channel(HandlerStatus::default());
        let (events, published) = mpsc::unbounded_channel();
        Self {
            written: Some(Written {
                statuses,
                events,
                task: tokio::spawn(reporter.run(told, published)),
            }),
            ..Self::log(&handler.metadata.name.clone().unwrap_or_default(), gauges)
        }
    }

    /// Says how the handler stands: conditions, by type, into the log where they changed, all of it into the
    /// status.
    pub(crate) fn say(&mut self, said: Vec<(&'static str, Say)>, status: HandlerStatus) {
        // What `Ready` comes to is the last word.
        for (type_, say) in said.iter().rev() {
            let mut before = self.said.iter();
            let before = before.find(|(known, _)| known == type_);
            self.announce(say, before.map(|(_, say)| say));
            self.meters.condition_is(type_, say.reason, say.is_true);
        }
        self.said = said;
        if let Some(written) = &self.written {
            written.statuses.send_replace(status);
        }
    }

    /// What is well is told by the lines of what happened; what is not is told once, also as an Event.
    fn announce(&self, say: &Say, before: Option<&Say>) {
        if say.is_true || before == Some(say) {
            return;
        }
        let (handler, reason) = (&self.handler, say.reason);
        match reason {
            // Of a module that does not run, ModuleLoaded tells; of rights, Authorized.
            PENDING | PREVIEWING | MODULE_NOT_LOADED | NOT_AUTHORIZED => {}
            AWAITING_APPROVAL => {
                tracing::info!(%handler, reason, "{}", say.message);
                self.publish(Severity::Normal, reason, &say.message);
            }
            // Whoever waits for the kind has it in the log.
            KIND_NOT_SERVED => self.publish(Severity::Warning, reason, &say.message),
            _ => {
                tracing::warn!(%handler, reason, "{}", say.message);
                self.publish(Severity::Warning, reason, &say.message);
            }
        }
    }

    /// Publishes an Event on the Handler.
    fn publish(&self, severity: Severity, reason: &str, message: &str) {
        if let Some(written) = &self.written {
            // The reporter ends only with the sink.
            let _ = written.events.send(HandlerEvent {
                severity,
                reason: reason.to_owned(),
                message: message.to_owned(),
            });
        }
    }
}

/// The reason of a condition that cannot be told yet.
pub(crate) const PENDING: &str = "Pending";
/// The reason while no module runs.
pub(crate) const MODULE_NOT_LOADED: &str = "ModuleNotLoaded";
/// The reason while the handler's account lacks rights, and that of the condition that says which.
pub(crate) const NOT_AUTHORIZED: &str = "NotAuthorized";
pub(crate) const FORBIDDEN: &str = "Forbidden";
/// The reason while a kind is missing in the cluster.
pub(crate) const KIND_NOT_SERVED: &str = "KindNotServed";
/// The reason while it is found out what a held module would do.
pub(crate) const PREVIEWING: &str = "Previewing";
/// The reason while a previewed module waits for somebody.
pub(crate) const AWAITING_APPROVAL: &str = "AwaitingApproval";

impl Drop for Written {
    fn drop(&mut self) {
        self.task.abort();
    }
}
