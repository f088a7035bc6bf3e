//! Arguments that are one of a few words.

use clap::ValueEnum;
use handler_host_core::OnParentDelete;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PushOutput {
    /// For people
    Text,
    /// One JSON object: image, tag, manifest, module, size
    Json,
}
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RenderOutput {
    /// The children, as YAML documents
    Yaml,
    /// One JSON object a parent: children, status, readiness, events, requeue
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum InspectOutput {
    /// For people
    Text,
    /// One JSON object
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DiffOutput {
    /// Unified diffs of children as YAML
    Text,
    /// One JSON object: changes, failures, summary
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CrdOutput {
    /// As manifests are written
    Yaml,
    /// One JSON object
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// Wherever it is printed
    Always,
    /// Nowhere
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ParentDelete {
    /// They go too, by owner reference
    Delete,
    /// They stay
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
