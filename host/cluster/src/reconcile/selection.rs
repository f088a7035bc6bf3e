use handler_host_core::{
    Decision, Key, Object, OnParentUnmatch, PassOutcome, PassReport, Verdict, has_condition,
};

use super::controller::Controller;
use super::observe::observe;
use super::parent_states::Report;
use super::running_module::RunningModule;
use crate::api::answered;
use crate::metrics::PassResult;

impl Controller {
    /// Whether the Handler selects a parent.
    pub(super) fn selects(&self, parent: &Object) -> bool {
        let namespace = self.namespaces.as_ref().and_then(|namespaces| {
            let name = parent.meta.namespace.as_deref()?;
            namespaces.get(&Key::new(None, name))
        });
        let labels = namespace.as_ref().map(|namespace| &namespace.meta.labels);
        let grant = &self.grant;
        grant.selection.selects(&grant.parent, parent, labels)
    }

    /// Takes an answer about a parent into the cache, if the watch goes on to tell of it.
    pub(super) fn remember_parent(&self, parent: Object) {
        let labels = self.grant.selection.watched_labels();
        if labels.matches(&parent.meta.labels) {
            self.parents.cache.insert(parent.into());
        }
    }

    /// Leaves a parent that is not selected. It is told so if it was served before.
    pub(super) async fn leave(
        &self,
        running: &RunningModule,
        key: &Key,
        parent: &Object,
    ) -> PassResult {
        self.states.with(parent, |state| {
            state.fingerprint = None;
            state.queries = None;
        });
        self.contested.retain(key, &[]);
        self.related.forget(key);
        let on_unmatch = self.grant.selection.on_unmatch;
        let observed = observe(&self.children, parent, &self.grant);
        let mut outcome = PassOutcome::not_selected(on_unmatch);
        let is_emptied = match on_unmatch {
            OnParentUnmatch::Keep => true,
            OnParentUnmatch::Delete if observed.is_empty() => true,
            OnParentUnmatch::Delete => {
                outcome = self
                    .apply(key, parent, &observed, &Decision::nothing())
                    .await;
                if let Some(verdict) = &mut outcome.verdict
                    && !verdict.reason.is_failure()
                {
                    *verdict = Verdict::not_selected(on_unmatch);
                }
                false
            }
        };
        let result = outcome.requeue.into();
        let is_held = parent.meta.finalizers.contains(&self.grant.finalizer());
        if is_emptied && is_held {
            // Its answer is a change of the parent, which leads here again.
            self.set_finalizer(parent, false).await;
        }
        let is_known = self.has_condition(parent);
        if is_known || outcome.has_written() || outcome.has_failed() {
            self.conclude(running, key, parent, outcome.into());
        } else {
            self.queue.change(|queue| queue.cancel_timer(key));
        }
        result
    }

    /// Looks after a parent that is not in the watch any more: it was deleted, or lost its labels. One that lost them is told so,
    /// and keeps no finalizer.
    pub(super) async fn look_after(&self, running: &RunningModule, key: &Key) {
        let labels = self.grant.selection.watched_labels();
        if labels.is_empty() || !self.states.knows(key) {
            return;
        }
        let Some(mut parent) = self.unselected(key).await else {
            return;
        };
        if parent.meta.finalizers.contains(&self.grant.finalizer()) {
            self.set_finalizer(&parent, false).await;
            // That made another version of it.
            match self.unselected(key).await {
                Some(found) => parent = found,
                None => return,
            }
        }
        if self.keeps_conditions() && self.has_condition(&parent) {
            let report = Report {
                told: PassReport {
                    verdict: Verdict::not_selected(self.grant.selection.on_unmatch),
                    status: None,
                    events: Vec::new(),
                },
                digest: running.digest(),
                generation: parent.meta.generation,
            };
            // It is told at best effort: nothing leads here again.
            let _ = self.write_status(&parent, &report).await;
        }
    }

    fn has_condition(&self, parent: &Object) -> bool {
        let known = self.with_status(parent, |status| {
            has_condition(status, &self.grant.condition)
        });
        known.unwrap_or_default()
    }

    /// Reads a parent that lost its labels; None if it has them, is gone, or the API server does not answer: then it is as if the
    /// host had not run when the label went.
    async fn unselected(&self, key: &Key) -> Option<Object> {
        let served = &self.parents.served;
        let api = served.api(&self.client, key.namespace.as_deref());
        let found = answered(api.get_opt(&key.name)).await.ok()??;
        let parent = found.into_object(&served.kind)?;
        let labels = self.grant.selection.watched_labels();
        (!labels.matches(&parent.meta.labels)).then_some(parent)
    }
}
