use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use handler_host_engine::{Component, Runtime};
use handler_host_registry::{ComponentInfo, PushOptions, Pushed};
use serde_json::json;

use crate::arguments::{PushArguments, PushOutput};
use crate::{module, telemetry};

/// Pushes a module that is a handler, and prints the reference and digests that name it.
pub(crate) fn push(arguments: &PushArguments) -> Result<ExitCode> {
    let annotations = annotations(&arguments.annotations)?;
    let runtime = Runtime::new(1, None)?;
    let read = handler_host_registry::read_file(&arguments.module)?;
    let component = module::compile_bytes(&runtime, &arguments.module, &read.bytes)?;
    let options = PushOptions {
        is_plain_http: arguments.plain_http,
        annotations,
        component: info(&component),
        ..PushOptions::default()
    };
    let threads = tokio::runtime::Runtime::new().context("the async runtime does not start")?;
    let pushing = handler_host_registry::push(read.bytes, &arguments.reference, &options);
    let pushed = threads.block_on(pushing)?;
    telemetry::print(&match arguments.output {
        PushOutput::Text => format!("image:  {}\nmodule: {}", pushed.pinned, pushed.module),
        PushOutput::Json => serde_json::to_string_pretty(&json_of(&pushed, &component))?,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn info(component: &Component) -> ComponentInfo {
    let world = component.world();
    ComponentInfo {
        exports: world.exports().iter().map(ToString::to_string).collect(),
        imports: component.imports().to_vec(),
        target: Some(world.target().to_owned()),
    }
}

fn json_of(pushed: &Pushed, component: &Component) -> serde_json::Value {
    json!({
        "image": pushed.pinned,
        "tag": pushed.tagged,
        "manifest": pushed.manifest.to_string(),
        "module": pushed.module.to_string(),
        "size": component.size(),
    })
}

fn annotations(fields: &[String]) -> Result<BTreeMap<String, String>> {
    let mut annotations = BTreeMap::new();
    for field in fields {
        let Some((key, value)) = field.split_once('=') else {
            bail!("--annotation {field:?} has no `=`; write it as key=value");
        };
        if annotations
            .insert(key.to_owned(), value.to_owned())
            .is_some()
        {
            bail!("--annotation {key} is given twice; give each once");
        }
    }
    Ok(annotations)
}
