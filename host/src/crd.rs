use std::process::ExitCode;

use anyhow::Result;
use handler_host_cluster::resource::Handler;
use kube::CustomResourceExt as _;

use crate::arguments::{CrdArguments, CrdOutput};
use crate::telemetry;

/// Prints the CustomResourceDefinition of Handlers, for `kubectl apply`.
pub(crate) fn crd(arguments: &CrdArguments) -> Result<ExitCode> {
    let crd = Handler::crd();
    let text = match arguments.output {
        CrdOutput::Yaml => serde_saphyr::to_string(&crd)?,
        CrdOutput::Json => serde_json::to_string_pretty(&crd)?,
    };
    telemetry::print(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
