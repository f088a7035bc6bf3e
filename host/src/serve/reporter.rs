use std::sync::Arc;

use handler_host_cluster::resource::{Handler, HandlerStatus};
use handler_host_cluster::{HandlerMetrics, HandlerReporter, HandlerWarning};
use handler_host_core::{Announcement, HandlerCondition, HandlerEvent, Severity};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::probes::Monitoring;

/// Reports how a handler stands: always in the log and in metrics, and in the status and Events of its Handler
/// where that is in the cluster.
pub(crate) struct StatusReporter {
    handler: String,
    resource: Option<ReportedResource>,
    /// The conditions reported last.
    reported: Vec<HandlerCondition>,
    metrics: Arc<HandlerMetrics>,
}

/// A Handler in the cluster whose status is written.
struct ReportedResource {
    statuses: watch::Sender<HandlerStatus>,
    events: mpsc::UnboundedSender<HandlerEvent>,
    task: JoinHandle<()>,
}

impl StatusReporter {
    /// Reports in the log and in metrics.
    pub(crate) fn to_log(handler: &str, monitoring: &Monitoring) -> Self {
        Self {
            handler: handler.to_owned(),
            resource: None,
            reported: Vec::new(),
            metrics: monitoring.metrics.handler(handler),
        }
    }

    /// Reports in the Handler's status and Events as well.
    pub(crate) fn to_cluster(client: Client, handler: &Handler, monitoring: &Monitoring) -> Self {
        let reporter = HandlerReporter::new(client, handler);
        let (statuses, reported_statuses) = watch::channel(HandlerStatus::default());
        let (events, reported_events) = mpsc::unbounded_channel();
        let name = handler.metadata.name.clone().unwrap_or_default();
        Self {
            resource: Some(ReportedResource {
                statuses,
                events,
                task: tokio::spawn(reporter.run(reported_statuses, reported_events)),
            }),
            ..Self::to_log(&name, monitoring)
        }
    }

    pub(crate) fn metrics(&self) -> &HandlerMetrics {
        &self.metrics
    }

    /// Reports the conditions in the log where they changed, and all of it in the status.
    pub(crate) fn report(&mut self, conditions: Vec<HandlerCondition>, status: HandlerStatus) {
        // `Ready` follows from the others, so it is the last to be announced.
        for condition in conditions.iter().rev() {
            if !self.reported.contains(condition) {
                self.announce(condition);
            }
            self.metrics.condition_is(condition);
        }
        self.reported = conditions;
        if let Some(resource) = &self.resource {
            resource.statuses.send_replace(status);
        }
    }

    fn announce(&self, condition: &HandlerCondition) {
        let handler = &self.handler;
        let (reason, message) = (condition.reason.as_str(), &condition.message);
        match condition.reason.announcement() {
            Announcement::Nothing => {}
            Announcement::Normal => {
                tracing::info!(%handler, reason, "{message}");
                self.publish(Severity::Normal, reason, message);
            }
            Announcement::Warning => {
                tracing::warn!(%handler, reason, "{message}");
                self.publish(Severity::Warning, reason, message);
            }
            Announcement::WarningEventOnly => self.publish(Severity::Warning, reason, message),
        }
    }

    /// Warns of something that no condition says.
    pub(crate) fn warn(&self, warning: &HandlerWarning) {
        let HandlerWarning { reason, message } = warning;
        tracing::warn!(handler = %self.handler, reason, "{message}");
        self.publish(Severity::Warning, reason, message);
    }

    /// Publishes an Event on the Handler.
    fn publish(&self, severity: Severity, reason: &str, message: &str) {
        if let Some(resource) = &self.resource {
            // The task that receives it ends only with this reporter.
            let _ = resource.events.send(HandlerEvent {
                severity,
                reason: reason.to_owned(),
                message: message.to_owned(),
            });
        }
    }
}

impl Drop for ReportedResource {
    fn drop(&mut self) {
        self.task.abort();
    }
}
