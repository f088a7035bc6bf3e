use std::sync::Arc;
use std::time::Instant;

use handler_host_core::{
    Call, Children, Failure, Invoke, Key, Kind, Object, Observed, Reason, Response, Verdict, check,
    check_status, plan,
};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::apply::Apply;
use crate::controller::Controller;
use crate::fingerprint::Fingerprint;
use crate::ledger::Report;
use crate::pass::{Again, Pass};
use crate::refusal::Refusal;
use crate::report::status_of;
use crate::watch::read;

impl Controller {
    /// One pass: observe, call, check, plan, apply, and note what is to be reported.
    pub(crate) async fn reconcile(&self, key: &Key, is_retry: bool) {
        let Some(parent) = self.parents.cache.get(key) else {
            self.ledger.forget(key);
            self.conflicts.settle(key, &[]);
            self.work.change(|queue| queue.cancel_timer(key));
            return;
        };
        let finalizer = self.grant.finalizer();
        let has_finalizer = parent.meta.finalizers.contains(&finalizer);
        if parent.is_deleting() && !has_finalizer {
            self.work.change(|queue| queue.cancel_timer(key));
            return;
        }
        let observed = self.observe(&parent);
        let fingerprint = Fingerprint::of(&parent, &observed);
        let is_seen = self.ledger.with(key, |record| {
            record.fingerprint.as_ref() == Some(&fingerprint)
        });
        if is_seen && !is_retry {
            return;
        }
        let wants_finalizer = self.description.has_finalizer && !has_finalizer;
        let pass = if wants_finalizer {
            // The answer arrives as a change of the parent, and that is the pass that calls.
            let finalizers = parent
                .meta
                .finalizers
                .iter()
                .cloned()
                .chain([finalizer])
                .collect();
            self.set_finalizers(&parent, finalizers).await
        } else {
            let pass = self.pass(&parent, &observed, fingerprint).await;
            if parent.is_deleting() && observed.is_empty() && pass.has_nothing_left() {
                let others = parent
                    .meta
                    .finalizers
                    .iter()
                    .filter(|name| **name != finalizer);
                self.set_finalizers(&parent, others.cloned().collect())
                    .await
            } else {
                pass
            }
        };
        self.conclude(key, &parent, pass);
    }

    /// The parent's children, in the order the world promises.
    fn observe(&self, parent: &Object) -> Vec<(Kind, Arc<Object>)> {
        let mut observed: Vec<(Kind, Arc<Object>)> = Vec::new();
        for kind in &self.children {
            let found = kind.cache.children_of(&parent.meta.uid);
            let ours = found
                .into_iter()
                .filter(|child| child.is_child_of(parent, &self.grant.handler));
            observed.extend(ours.map(|child| (kind.served.kind.clone(), child)));
        }
        observed.sort_by_cached_key(|(kind, child)| (kind.clone(), child.key()));
        observed
    }

    async fn pass(
        &self,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
        fingerprint: Fingerprint,
    ) -> Pass {
        let response = match self.call(parent, observed).await {
            Ok(response) => response,
            Err(failure) => return Pass::failed(&failure, fingerprint),
        };
        let checked = check_status(response.status.as_deref(), &self.grant).and_then(|status| {
            let desired = Children::desired(response.children.clone());
            Ok((check(desired, parent, &self.grant)?, status))
        });
        let (desired, status) = match checked {
            Ok(checked) => checked,
            Err(denied) => return Pass::denied(&denied, fingerprint),
        };
        let key = parent.key();
        let accepted = self.ledger.with(&key, |record| record.accepted.clone());
        let steps = plan(&desired, observed, &accepted);
        let apply = Apply {
            client: &self.client,
            grant: &self.grant,
            kinds: &self.children,
            ledger: &self.ledger,
            conflicts: &self.conflicts,
            parent,
        };
        let applied = apply.steps(&steps, fingerprint).await;
        self.conflicts.settle(&key, &applied.contested);
        Pass::applied(response, status, applied, desired.len())
    }

    async fn call(
        &self,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
    ) -> Result<Response, Failure> {
        tracing::debug!(handler = %self.grant.handler, object = %parent.key(), "calling the handler");
        let invoke: Arc<dyn Invoke> = self.invoke.clone();
        let (parent, config) = (parent.clone(), self.config.clone());
        let children: Vec<_> = observed.iter().map(|(_, child)| child.clone()).collect();
        let call = move || {
            let texts: Vec<&str> = children.iter().map(|child| child.text()).collect();
            invoke.invoke(&Call {
                object: &parent.key().to_string(),
                parent: parent.text(),
                children: &texts,
                config: &config,
            })
        };
        // A guest may use its whole deadline; no async thread is to stand still that long.
        let answer = tokio::task::spawn_blocking(call).await;
        answer.unwrap_or_else(|error| {
            let message = format!("the host failed to run the handler ({error})");
            Err(Failure::Temporary {
                message,
                delay: None,
            })
        })
    }

    async fn set_finalizers(&self, parent: &Object, finalizers: Vec<String>) -> Pass {
        // The whole list is written, so it must be the list that was seen.
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": parent.meta.resource_version,
        }});
        let api = self
            .parents
            .served
            .api(&self.client, parent.meta.namespace.as_deref());
        let params = PatchParams::default();
        let answer = api
            .patch(&parent.meta.name, &params, &Patch::Merge(&patch))
            .await;
        match answer {
            Ok(answer) => {
                if let Some(object) = read(&self.parents.served.kind, answer) {
                    self.parents.cache.insert(object);
                }
                self.work.change(|queue| queue.add(parent.key()));
                Pass::again(Again::Never)
            }
            Err(error) => match Refusal::of(&error) {
                Refusal::NotFound(_) | Refusal::Conflict => Pass::again(Again::Backoff(None)),
                Refusal::Unavailable(_, delay) => Pass::again(Again::Backoff(delay)),
                Refusal::Rejected(message) => {
                    let mut pass = Pass::again(Again::Backoff(None));
                    let message = format!("the API server refused the finalizer: {message}");
                    pass.verdict = Some(Verdict::new(Reason::Rejected, message));
                    pass
                }
            },
        }
    }

    fn conclude(&self, key: &Key, parent: &Object, pass: Pass) {
        match &pass.trouble {
            Some(trouble) => self.write_trouble.met(trouble),
            None if !pass.changes.is_empty() => self.write_trouble.is_over(),
            None => {}
        }
        let now = Instant::now();
        let retry_at = self.ledger.with(key, |record| {
            record.fingerprint = pass.fingerprint;
            match pass.again {
                Again::Never => {
                    record.failures = 0;
                    None
                }
                Again::After(delay) => {
                    record.failures = 0;
                    Some(now + delay)
                }
                Again::Backoff(least) => {
                    record.failures = record.failures.saturating_add(1);
                    let delay = self.backoff.delay(record.failures, fastrand::f64());
                    Some(now + delay.max(least.unwrap_or_default()))
                }
            }
        });
        self.work.change(|queue| match retry_at {
            Some(at) => queue.retry_at(key.clone(), at),
            None => queue.cancel_timer(key),
        });
        let Some(verdict) = pass.verdict else {
            return;
        };
        let is_news = self.is_news(key, parent, &verdict);
        let mut events = Vec::new();
        if is_news || !pass.changes.is_empty() {
            events = pass.response.events;
        }
        if is_news {
            self.announce(key, &verdict, &pass.changes, &mut events);
        }
        let report = Report {
            verdict,
            status: pass.status,
            events,
        };
        if !report.events.is_empty() || self.patch_for(parent, &report).is_some() {
            self.ledger.with(key, |record| record.put_report(report));
            self.work.change(|queue| queue.report(key.clone(), now));
        }
    }

    /// Compared with what will be written if that is known already, else with what the parent says.
    fn is_news(&self, key: &Key, parent: &Object, verdict: &Verdict) -> bool {
        let pending = self.ledger.with(key, |record| record.report.clone());
        match pending {
            Some(report) => report.verdict != *verdict,
            None => Observed::of(verdict, &status_of(parent)) == Observed::Transition,
        }
    }
}
