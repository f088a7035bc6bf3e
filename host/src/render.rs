use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use handler_host_core::{
    Call, Decision, Description, Failure, Fault, Grant, GrantRequest, Invoke, Kind, Object,
    OnParentDelete, Readiness, Response, Severity, Verdict,
};
use handler_host_engine::{ComponentHandler, Runtime};
use handler_host_registry::read_text;
use serde_json::{Value, json};

use crate::arguments::{LogFormat, RenderArguments, RenderOutput};
use crate::{module, telemetry};

/// How much of a file is read.
const LARGEST: u64 = 64 << 20;

/// Calls a handler for each object of a file and prints the children that it desires.
pub(crate) fn render(arguments: &RenderArguments) -> Result<ExitCode> {
    telemetry::start(LogFormat::Text, None);
    let runtime = Runtime::new(1, None)?;
    let loaded = module::load(&runtime, &arguments.module)?;
    let parents = read_parents(&arguments.filename, &loaded.description)?;
    let name = loaded.suggested_name;
    let request = GrantRequest::of_description(&name, &loaded.description, OnParentDelete::Delete);
    let grant = request.grant()?;
    let handler = loaded.component.into_handler(&name, loaded.limits);
    let mut first_failure = None;
    for parent in &parents {
        if let Err(code) = render_one(&handler, &grant, parent, &loaded.config, arguments.output)? {
            first_failure.get_or_insert(code);
        }
    }
    Ok(first_failure.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Prints the children of one parent, or the reason why there are none. The inner error is the exit code.
fn render_one(
    handler: &ComponentHandler,
    grant: &Grant,
    parent: &Object,
    config: &str,
    output: RenderOutput,
) -> Result<Result<(), u8>> {
    let object = parent.key().to_string();
    let refuse = |what: &str, message: &str, code: u8| {
        telemetry::complain(&format!("{object}: {what}: {message}"));
        Ok(Err(code))
    };
    let answer = handler.invoke(&Call {
        object: &object,
        parent: parent.text(),
        children: &[],
        config,
        room: usize::MAX,
    });
    let response = match answer {
        Ok(response) => response,
        Err(failure) => {
            let code = match failure {
                Failure::Permanent(_) => 3,
                Failure::Temporary { .. } => 4,
                Failure::Fault(Fault::Response(_)) => 6,
                Failure::Fault(
                    Fault::Trap(_)
                    | Fault::Deadline(_)
                    | Fault::Memory(_)
                    | Fault::HostMemory(_)
                    | Fault::Answer(_),
                ) => 5,
            };
            let verdict = Verdict::of_failure(&failure);
            return refuse(verdict.reason.as_str(), &verdict.message, code);
        }
    };
    if let Err(undecided) = Decision::of(Ok(response.clone()), parent, grant, usize::MAX) {
        return refuse("Denied", &undecided.verdict().message, 6);
    }
    match output {
        RenderOutput::Yaml => print_yaml(&object, &response)?,
        RenderOutput::Json => {
            telemetry::print(&serde_json::to_string_pretty(&whole(&object, &response)?)?)?;
        }
    }
    Ok(Ok(()))
}

fn print_yaml(object: &str, response: &Response) -> Result<()> {
    for child in &response.children {
        let child: Value = serde_json::from_str(child)?;
        telemetry::print(&format!(
            "---\n{}",
            serde_saphyr::to_string(&child)?.trim_end()
        ))?;
    }
    if let Readiness::Waiting(message) = &response.readiness {
        telemetry::complain(&format!("{object}: waiting: {message}"));
    }
    Ok(())
}

fn whole(object: &str, response: &Response) -> Result<Value> {
    let read = |text: &String| serde_json::from_str::<Value>(text);
    let events = response.events.iter().map(|event| {
        let severity = match event.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        json!({"type": severity, "reason": event.reason, "message": event.message})
    });
    Ok(json!({
        "object": object,
        "children": response.children.iter().map(read).collect::<Result<Vec<_>, _>>()?,
        "status": response.status.as_ref().map(read).transpose()?,
        "waiting": match &response.readiness {
            Readiness::Ready => None,
            Readiness::Waiting(message) => Some(message),
        },
        "events": events.collect::<Vec<_>>(),
        "requeueAfterSeconds": response.requeue_after.map(|delay| delay.as_secs_f64()),
    }))
}

fn read_parents(path: &Path, description: &Description) -> Result<Vec<Object>> {
    let is_stdin = path == Path::new("-");
    let place = if is_stdin {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let text = if is_stdin {
        let mut text = String::new();
        let read = std::io::stdin().take(LARGEST).read_to_string(&mut text);
        read.map(|_| text)
    } else {
        read_text(path, LARGEST)
    };
    let text = text.map_err(|error| {
        let reason = handler_host_registry::reason(&error);
        anyhow!("{place} cannot be read: {reason}; name a file of YAML or JSON")
    })?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| {
        anyhow!(
            "{place} is not YAML: {}; mend it there",
            first_line(&error.to_string())
        )
    })?;
    let documents: Vec<Value> = documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect();
    if documents.is_empty() {
        bail!("{place} holds no object; write one {}", description.parent);
    }
    let parent = |document: &Value| parent_of(document, description);
    let parents: Result<Vec<_>> = documents.iter().map(parent).collect();
    parents.context(place)
}

fn parent_of(document: &Value, description: &Description) -> Result<Object> {
    let field = |name: &str| document.get(name).and_then(Value::as_str);
    let (Some(api_version), Some(kind)) = (field("apiVersion"), field("kind")) else {
        bail!(
            "{} is not a Kubernetes object; write apiVersion, kind, metadata.name and spec",
            cut(&document.to_string())
        );
    };
    let kind = Kind::new(api_version, kind)?;
    if kind != description.parent {
        bail!(
            "holds a {kind}; this handler is called for {}",
            description.parent
        );
    }
    if !document["metadata"]["name"].is_string() {
        bail!("the {} has no metadata.name; give it one", kind.kind);
    }
    // The error's text holds its cause already.
    Object::parse(&kind, &document.to_string()).map_err(|error| anyhow!("{error}"))
}

/// The position and the problem. The further lines of a YAML error quote the text around the mistake.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    text.chars().take(60).chain(['…']).collect()
}
