use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};

use super::label_value::LabelValue;
use super::labels::{HandlerName, OfWrite};
use super::outcomes::{Write, WriteOutcome};

/// Removes the series of a handler.
#[derive(Default)]
pub(super) struct Series(Vec<Box<dyn Fn() + Send + Sync>>);

impl Series {
    /// The series of a family that has these labels, made if there is none.
    pub(super) fn of<S, M, C>(&mut self, family: &Family<S, M, C>, labels: S) -> M
    where
        S: Clone + std::hash::Hash + Eq + EncodeLabelSet + Send + Sync + 'static,
        M: Clone + Send + Sync + 'static,
        C: MetricConstructor<M> + Clone + Send + Sync + 'static,
    {
        let child = family.get_or_create_owned(&labels);
        let family = family.clone();
        self.0.push(Box::new(move || {
            family.remove(&labels);
        }));
        child
    }

    /// A series for each value of a label.
    pub(super) fn each<L: LabelValue, S>(
        &mut self,
        family: &Family<S, Counter>,
        labels: impl Fn(&'static str) -> S,
    ) -> Vec<(L, Counter)>
    where
        S: Clone + std::hash::Hash + Eq + EncodeLabelSet + Send + Sync + 'static,
    {
        let all = L::ALL.iter();
        all.map(|label| (*label, self.of(family, labels(label.as_str()))))
            .collect()
    }

    /// Removes all of them.
    pub(super) fn remove(&self) {
        for remove in &self.0 {
            remove();
        }
    }
}

/// A series for each kind of write and each outcome.
pub(super) fn writes(
    series: &mut Series,
    family: &Family<OfWrite, Counter>,
    handler: &HandlerName,
) -> Vec<((Write, WriteOutcome), Counter)> {
    let mut writes = Vec::new();
    for write in Write::ALL {
        for outcome in WriteOutcome::ALL {
            let labels = OfWrite {
                handler: handler.clone(),
                write: write.as_str(),
                outcome: outcome.as_str(),
            };
            writes.push(((*write, *outcome), series.of(family, labels)));
        }
    }
    writes
}

/// Adds one to the series of a label.
pub(super) fn count<L: Copy + PartialEq>(counters: &[(L, Counter)], label: L) {
    if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == label) {
        counter.inc();
    }
}

/// A count as a gauge takes it.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
