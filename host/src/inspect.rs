use std::process::ExitCode;

use anyhow::Result;
use handler_host_core::{Description, Kind};
use handler_host_engine::{Component, Runtime, WORLD_VERSION};
use serde_json::json;

use crate::arguments::{InspectArguments, InspectOutput};
use crate::module;

/// Prints what a module is. What it cannot say about itself is an error, after the rest was printed.
pub(crate) fn inspect(arguments: &InspectArguments) -> Result<ExitCode> {
    let config = module::config(&arguments.config)?;
    let runtime = Runtime::new(1)?;
    let (_, component) = module::compile(&runtime, &arguments.module)?;
    let description = module::describe(&component, &arguments.module, &config);
    match arguments.output {
        InspectOutput::Text => print_text(&component, description.as_ref().ok()),
        InspectOutput::Json => print_json(&component, description.as_ref().ok())?,
    }
    description.map(|_| ExitCode::SUCCESS)
}

fn print_text(component: &Component, description: Option<&Description>) {
    let line = |name: &str, value: &str| println!("{name:<11}{value}");
    let lines = |name: &str, values: &[String]| {
        let values = if values.is_empty() {
            &["none".to_owned()]
        } else {
            values
        };
        for (index, value) in values.iter().enumerate() {
            line(if index == 0 { name } else { "" }, value);
        }
    };
    line("digest:", &component.digest().to_string());
    line("size:", &format!("{} bytes", component.size()));
    line("world:", &format!("handler-host:handler@{WORLD_VERSION}"));
    lines("imports:", component.imports());
    if let Some(description) = description {
        line("parent:", &description.parent.to_string());
        let children: Vec<_> = description.children.iter().map(Kind::to_string).collect();
        lines("children:", &children);
        line(
            "finalizer",
            if description.has_finalizer {
                "yes"
            } else {
                "no"
            },
        );
    }
}

fn print_json(component: &Component, description: Option<&Description>) -> Result<()> {
    let described = description.map(|description| {
        json!({
            "parent": description.parent,
            "children": description.children,
            "finalizer": description.has_finalizer,
        })
    });
    let whole = json!({
        "digest": component.digest().to_string(),
        "size": component.size(),
        "world": format!("handler-host:handler@{WORLD_VERSION}"),
        "imports": component.imports(),
        "describes": described,
    });
    println!("{}", serde_json::to_string_pretty(&whole)?);
    Ok(())
}
