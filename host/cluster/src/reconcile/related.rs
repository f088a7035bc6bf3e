use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use handler_host_core::{
    Effort, Failure, GrantedQuery, Object, RelatedCall, Undecided, check_queries, check_related,
};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::decide::host_failure;
use super::running_module::RunningModule;
use crate::metrics::{CallOutcome, HandlerMetrics, LabelValue as _, TRACES};
use crate::watching::{NoAnswer, RelatedKinds};

/// The related objects of a parent: one list for each query.
pub(crate) type RelatedObjects = Vec<Vec<Arc<Object>>>;

/// What came of asking a module for its queries.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// It has these.
    Queries(Arc<[GrantedQuery]>),
    /// It gave none that may be answered.
    Failed,
}

/// What came of asking a module for its queries for a parent, and what it saw of the parent then.
#[derive(Clone, Debug)]
pub(super) struct RememberedQueries {
    module: u64,
    parent: u64,
    status: u64,
    asked: Asked,
}

impl RememberedQueries {
    pub(super) fn new(module: u64, parent: &Object, asked: Asked) -> Self {
        Self {
            module,
            parent: parent.content_hash(),
            status: parent.status_hash(),
            asked,
        }
    }

    /// What the module says of a parent, if it would say the same again.
    pub(super) fn of(&self, module: u64, parent: &Object) -> Option<Asked> {
        let is_same = self.module == module
            && self.parent == parent.content_hash()
            && self.status == parent.status_hash();
        is_same.then(|| self.asked.clone())
    }

    /// Notes that the host wrote the status of the parent that it had seen as `before`.
    pub(super) fn wrote_status(&mut self, before: &Object, after: &Object) {
        if self.status == before.status_hash() {
            self.status = after.status_hash();
        }
    }
}

/// Asks a module which other objects its answer for a parent depends on.
pub(crate) async fn ask(
    running: &Arc<RunningModule>,
    parent: &Arc<Object>,
    metrics: &HandlerMetrics,
) -> Result<Arc<[GrantedQuery]>, Undecided> {
    if running.grant.related.is_empty() {
        return Ok(Arc::default());
    }
    let span = tracing::info_span!(
        target: TRACES, "related", digest = %running.digest().short(), outcome = Empty,
    );
    let (module, of_parent) = (running.clone(), parent.clone());
    let asking = tokio::task::spawn_blocking(move || {
        module.invoke.related_measured(&RelatedCall {
            object: &of_parent.key().to_string(),
            parent: of_parent.text(),
            config: &module.config,
        })
    });
    let (answer, effort) = asking
        .instrument(span.clone())
        .await
        .unwrap_or_else(|error| (Err(host_failure(&error)), Effort::Nothing));
    let answer = answer.map_err(|failure| Undecided::of_failure(failure, &running.grant));
    let queries = answer.and_then(|queries| {
        check_queries(queries, parent, &running.grant).map_err(Undecided::Denied)
    });
    let outcome = CallOutcome::of(&queries);
    span.record("outcome", outcome.as_str());
    metrics.called(outcome, effort);
    queries.map(Into::into)
}

/// Answers the queries of a module for a parent from what is watched.
pub(crate) fn answer(
    running: &RunningModule,
    parent: &Object,
    queries: &[GrantedQuery],
    kinds: &RelatedKinds,
) -> Result<RelatedObjects, Undecided> {
    let grant = &running.grant;
    let mut answers = Vec::with_capacity(queries.len());
    for query in queries {
        answers.push(kinds.answer(query, parent, grant).map_err(unserved)?);
    }
    check_related(&answers, grant).map_err(Undecided::Denied)?;
    Ok(answers)
}

/// It may be served soon, and until then an empty answer would be a wrong one.
fn unserved(NoAnswer(kind): NoAnswer) -> Undecided {
    let message = format!(
        "the API server does not serve {kind}, which the handler asks for; apply its CustomResourceDefinition"
    );
    Undecided::Failed(Failure::temporary(message))
}

/// A hash of what a handler sees of related objects. All that cannot be answered is one.
pub(super) fn related_hash(answers: Option<&RelatedObjects>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for answer in answers.into_iter().flatten() {
        answer.len().hash(&mut hasher);
        for object in answer {
            (object.content_hash(), object.status_hash()).hash(&mut hasher);
        }
    }
    answers.is_some().hash(&mut hasher);
    hasher.finish()
}
