use std::process::ExitCode;

use anyhow::Result;
use handler_host_core::{Description, Kind};
use handler_host_engine::{Component, Runtime};
use serde_json::json;

use crate::arguments::{InspectArguments, InspectOutput};
use crate::{module, telemetry};

/// Prints what a module is. If the module's `describe` fails, the rest is printed first, and the failure is the
/// command's error.
pub(crate) fn inspect(arguments: &InspectArguments) -> Result<ExitCode> {
    let config = module::config(&arguments.config)?;
    let runtime = Runtime::new(1, None)?;
    let component = module::compile(&runtime, &arguments.module)?;
    let limits = (&arguments.limits).into();
    let description = module::describe(&component, &arguments.module, &config, limits);
    match arguments.output {
        InspectOutput::Text => telemetry::print(&text(&component, description.as_ref().ok()))?,
        InspectOutput::Json => telemetry::print(&json(&component, description.as_ref().ok())?)?,
    }
    description.map(|_| ExitCode::SUCCESS)
}

fn text(component: &Component, description: Option<&Description>) -> String {
    let mut rows = vec![
        ("digest:", component.digest().to_string()),
        ("size:", format!("{} bytes", component.size())),
        ("world:", component.world().name().to_owned()),
    ];
    list(&mut rows, "imports:", component.imports());
    if let Some(description) = description {
        rows.push(("parent:", description.parent.to_string()));
        let words = |kinds: &[Kind]| kinds.iter().map(Kind::to_string).collect::<Vec<_>>();
        list(&mut rows, "children:", &words(&description.children));
        list(&mut rows, "related:", &words(&description.related));
        let finalizer = if description.has_finalizer {
            "yes"
        } else {
            "no"
        };
        rows.push(("finalizer:", finalizer.to_owned()));
        let clock = description.clock.map(|it| format!("{it:?}"));
        rows.push(("clock:", clock.unwrap_or_else(|| "none".to_owned())));
    }
    let lines = rows
        .iter()
        .map(|(name, value)| format!("{name:<11}{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn list(rows: &mut Vec<(&'static str, String)>, name: &'static str, values: &[String]) {
    if values.is_empty() {
        rows.push((name, "none".to_owned()));
    }
    for (index, value) in values.iter().enumerate() {
        rows.push((if index == 0 { name } else { "" }, value.clone()));
    }
}

fn json(component: &Component, description: Option<&Description>) -> Result<String> {
    let described = description.map(|description| {
        json!({
            "parent": description.parent,
            "children": description.children,
            "related": description.related,
            "finalizer": description.has_finalizer,
            "clockMilliseconds": description.clock.map(|it| it.as_millis()),
        })
    });
    let whole = json!({
        "digest": component.digest().to_string(),
        "size": component.size(),
        "world": component.world().name(),
        "imports": component.imports(),
        "describes": described,
    });
    Ok(serde_json::to_string_pretty(&whole)?)
}
