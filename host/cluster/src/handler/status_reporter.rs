use std::time::Duration;

use handler_host_core::{Backoff, HOST, HandlerEvent};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Reporter;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::api::{ApiError, ProblemLog, answered, publish};
use crate::resource::{Handler, HandlerStatus};

/// The least time between two writes of a Handler's status, whose numbers change all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes the status of one Handler, and publishes its Events.
pub struct HandlerReporter {
    client: Client,
    name: String,
    reference: ObjectReference,
    written: HandlerStatus,
    problems: ProblemLog,
}

impl HandlerReporter {
    /// The reporter of this Handler.
    #[must_use]
    pub fn new(client: Client, handler: &Handler) -> Self {
        let name = handler.name_any();
        Self {
            client,
            reference: handler.object_ref(&()),
            written: handler.status.clone().unwrap_or_default(),
            problems: ProblemLog::of(format!("writing the status of Handler {name}")),
            name,
        }
    }

    /// Writes the latest status, at most once a second, and publishes every Event, until both channels close.
    pub async fn run(
        mut self,
        mut statuses: watch::Receiver<HandlerStatus>,
        mut events: mpsc::UnboundedReceiver<HandlerEvent>,
    ) {
        let mut failures = 0;
        let mut next = Instant::now();
        loop {
            let due = async {
                tokio::time::sleep_until(next).await;
                if failures == 0 {
                    statuses.changed().await
                } else {
                    Ok(())
                }
            };
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.publish(&event).await,
                    None => return,
                },
                due = due => {
                    if due.is_err() {
                        return;
                    }
                    failures = self.write(&mut statuses, failures).await;
                    let backoff = Backoff::default().delay(failures, fastrand::f64());
                    next = Instant::now() + backoff.max(PAUSE);
                }
            }
        }
    }

    /// Writes the latest status. Gives how many writes in a row failed.
    async fn write(&mut self, statuses: &mut watch::Receiver<HandlerStatus>, failures: u32) -> u32 {
        let mut status = statuses.borrow_and_update().clone();
        keep_transition_times(&mut status.conditions, &self.written.conditions);
        if status == self.written {
            return 0;
        }
        let api: Api<Handler> = Api::all(self.client.clone());
        // By server-side apply, so that fields that are left out are removed, and fields of others stay.
        let patch = Patch::Apply(json!({
            "apiVersion": Handler::api_version(&()),
            "kind": Handler::kind(&()),
            "metadata": {"name": self.name},
            "status": status,
        }));
        let params = PatchParams::apply(HOST).force();
        match answered(api.patch_status(&self.name, &params, &patch)).await {
            Ok(_) => {
                self.problems.resolve();
                self.written = status;
                0
            }
            // The Handler was deleted, and the watch will say so.
            Err(ApiError::NotFound(_)) => 0,
            Err(error) => {
                self.problems.report(&error);
                failures.saturating_add(1)
            }
        }
    }

    async fn publish(&self, event: &HandlerEvent) {
        let reporter = Reporter {
            controller: HOST.to_owned(),
            instance: None,
        };
        if let Err(error) = publish(&self.client, reporter, event, &self.reference).await {
            self.problems.report(&error);
        }
    }
}

/// Keeps the transition time of each condition whose status is the same as before.
fn keep_transition_times(conditions: &mut [Condition], written: &[Condition]) {
    for condition in conditions {
        let before = written
            .iter()
            .find(|before| before.type_ == condition.type_);
        if let Some(before) = before.filter(|before| before.status == condition.status) {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use handler_host_core::{ConditionType, HandlerCondition, HandlerReason};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    #[test]
    fn the_transition_time_changes_with_the_status_only() {
        let long_ago = Time(Timestamp::UNIX_EPOCH);
        let conditions = |reason| {
            let ready = HandlerCondition::new(ConditionType::Ready, reason, "");
            HandlerStatus::of_conditions(&[ready], None).conditions
        };
        let mut before = conditions(HandlerReason::Pending);
        before[0].last_transition_time = long_ago.clone();
        let mut after = conditions(HandlerReason::ModuleNotLoaded);
        keep_transition_times(&mut after, &before);
        assert_eq!(after[0].last_transition_time, long_ago);
        let mut after = conditions(HandlerReason::Serving);
        keep_transition_times(&mut after, &before);
        assert_ne!(after[0].last_transition_time, long_ago);
    }
}
