use std::sync::Arc;

use handler_host_cluster::resource::PreviewCounts;
use handler_host_cluster::{Active, Candidate, Wanted, preview};
use handler_host_core::Settings;
use kube::Client;

use super::Host;
use crate::summary::Counts;

/// What a module would do to the parents there are, in numbers; an error says why that is not known.
pub(crate) async fn counts(
    client: &Client,
    host: &Arc<Host>,
    settings: &Settings,
    active: Active,
) -> Result<PreviewCounts, String> {
    let candidate = Candidate {
        wanted: Wanted::from(settings),
        active,
        namespaces: host.options.namespaces.clone(),
    };
    let outcome = preview(client, &candidate, |_| {}).await;
    let outcome = outcome.map_err(|error| error.to_string())?;
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = Counts::of(&outcome);
    Ok(PreviewCounts {
        parents: number(outcome.parents),
        create: number(counts.created),
        change: number(counts.changed),
        delete: number(counts.deleted),
        failing: number(outcome.failures.len()),
    })
}
