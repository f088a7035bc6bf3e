//! Arguments whose value is one of a fixed list, or has a form of its own.

use clap::ValueEnum;
use handler_host_core::{OnParentDelete, Timestamp};
use k8s_openapi::jiff;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PushOutput {
    /// Text for people
    Text,
    /// One JSON object with image, tag, manifest, module and size
    Json,
}
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// Text for people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RenderOutput {
    /// The children, as YAML documents
    Yaml,
    /// One JSON object per parent, with children, status, readiness, events and requeue
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum InspectOutput {
    /// Text for people
    Text,
    /// One JSON object
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DiffOutput {
    /// Unified diffs of the children as YAML
    Text,
    /// One JSON object with changes, failures and summary
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CrdOutput {
    /// YAML, as manifests are usually written
    Yaml,
    /// One JSON object
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// In colours on a terminal, without colours elsewhere
    Auto,
    /// In colours everywhere
    Always,
    /// Without colours everywhere
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ParentDelete {
    /// Kubernetes deletes the children too, by their owner reference
    Delete,
    /// The children stay
    Orphan,
}

impl From<ParentDelete> for OnParentDelete {
    fn from(what: ParentDelete) -> Self {
        match what {
            ParentDelete::Delete => Self::Delete,
            ParentDelete::Orphan => Self::Orphan,
        }
    }
}

/// A time of day in RFC 3339.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    let millis = time.and_then(|it| u64::try_from(it.as_millisecond()).ok());
    millis.map(Timestamp).ok_or_else(|| {
        "it is no time since 1970 in RFC 3339; write it as 2026-01-31T12:00:00Z".to_owned()
    })
}
