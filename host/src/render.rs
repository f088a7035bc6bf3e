use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use handler_host_cluster::now;
use handler_host_core::{
    Call, Decision, Description, Failure, Fault, Grant, GrantRequest, Invoke, KeptChild, Kind,
    Object, OnParentDelete, ParentCondition, Readiness, RelatedCall, RelatedPlaces, RequeueRequest,
    Response, Severity, Timestamp, Undecided, Verdict, answers_among, check_queries, check_related,
};
use handler_host_engine::{ComponentHandler, Runtime};
use handler_host_registry::read_text;
use k8s_openapi::jiff;
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
    let mut children = read_others(arguments.children.as_deref())?;
    children.sort_by_cached_key(|(kind, child)| (kind.clone(), child.key()));
    let renderer = Renderer {
        grant: showing_everything(request).grant()?,
        handler: loaded.component.into_handler(&name, loaded.limits),
        config: loaded.config,
        children,
        related: read_others(arguments.related.as_deref())?,
        now: told_time(loaded.description.clock, arguments.now),
        output: arguments.output,
    };
    let mut first_failure = None;
    for parent in &parents {
        if let Err(code) = renderer.render(parent)? {
            first_failure.get_or_insert(code);
        }
    }
    Ok(first_failure.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// The request, of whose related kinds all objects may be seen: the user says which there are.
fn showing_everything(mut request: GrantRequest) -> GrantRequest {
    for policy in &mut request.related {
        policy.places = RelatedPlaces::Everywhere;
    }
    request
}

/// The time of day that a handler with this clock is told. A user has to know it to get the same output again.
fn told_time(clock: Option<Duration>, given: Option<Timestamp>) -> Option<Timestamp> {
    let told = given.unwrap_or_else(now).rounded_down(clock?);
    let time = i64::try_from(told.0).ok();
    let time = time.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    if let Some(time) = time {
        telemetry::note(&format!("the handler is told the time {time}"));
    }
    Some(told)
}

/// Calls a handler for one parent after the other.
struct Renderer {
    handler: ComponentHandler,
    grant: Grant,
    config: String,
    /// The children that the parents have.
    children: Vec<(Kind, Arc<Object>)>,
    /// The objects that may answer queries.
    related: Vec<(Kind, Arc<Object>)>,
    now: Option<Timestamp>,
    output: RenderOutput,
}

impl Renderer {
    /// Prints the children of one parent, or the reason why there are none. The inner error is the exit code.
    fn render(&self, parent: &Object) -> Result<Result<(), u8>> {
        let object = parent.key().to_string();
        let decided = self.call(&object, parent).and_then(|response| {
            Decision::of(
                Ok(response.clone()),
                parent,
                &self.children,
                &self.grant,
                usize::MAX,
            )?;
            Ok(response)
        });
        match decided {
            Ok(response) => {
                match self.output {
                    RenderOutput::Yaml => print_yaml(&object, &response)?,
                    RenderOutput::Json => {
                        let whole = whole(&object, &response)?;
                        telemetry::print(&serde_json::to_string_pretty(&whole)?)?;
                    }
                }
                Ok(Ok(()))
            }
            Err(undecided) => {
                let Verdict { reason, message } = undecided.verdict();
                telemetry::complain(&format!("{object}: {}: {message}", reason.as_str()));
                Ok(Err(exit_code(&undecided)))
            }
        }
    }

    fn call(&self, object: &str, parent: &Object) -> Result<Response, Undecided> {
        let queries = if self.grant.related.is_empty() {
            Vec::new()
        } else {
            let (queries, _) = self.handler.related_measured(&RelatedCall {
                object,
                parent: parent.text(),
                config: &self.config,
            });
            queries.map_err(|failure| Undecided::of_failure(failure, &self.grant))?
        };
        let queries = check_queries(queries, parent, &self.grant).map_err(Undecided::Denied)?;
        let related = answers_among(&self.related, &queries, parent, &self.grant);
        check_related(&related, &self.grant).map_err(Undecided::Denied)?;
        let related: Vec<Vec<&str>> = related
            .iter()
            .map(|answer| answer.iter().map(|object| object.text()).collect())
            .collect();
        let children: Vec<_> = self
            .children
            .iter()
            .map(|(_, child)| child.text())
            .collect();
        let answer = self.handler.invoke(&Call {
            object,
            parent: parent.text(),
            children: &children,
            related: &related,
            config: &self.config,
            now: self.now,
            room: usize::MAX,
        });
        answer.map_err(|failure| Undecided::of_failure(failure, &self.grant))
    }
}

fn exit_code(undecided: &Undecided) -> u8 {
    match undecided {
        Undecided::Failed(Failure::Permanent { .. }) => 3,
        Undecided::Failed(Failure::Temporary { .. }) => 4,
        Undecided::Denied(_)
        | Undecided::Failed(Failure::Fault(Fault::Response(_) | Fault::Queries(_))) => 6,
        Undecided::Failed(Failure::Fault(
            Fault::Trap(_)
            | Fault::Deadline(_)
            | Fault::Memory(_)
            | Fault::HostMemory(_)
            | Fault::Answer(_)
            | Fault::NoRoom { .. },
        )) => 5,
    }
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
        "keep": response.kept.iter().map(kept).collect::<Vec<_>>(),
        "status": response.status.patch.as_ref().map(read).transpose()?,
        "conditions": response.status.conditions.iter().map(condition).collect::<Vec<_>>(),
        "waiting": match &response.readiness {
            Readiness::Ready => None,
            Readiness::Waiting(message) => Some(message),
        },
        "events": events.collect::<Vec<_>>(),
        "requeueAfterSeconds": match response.requeue {
            Some(RequeueRequest::After(delay)) => Some(delay.as_secs_f64()),
            Some(RequeueRequest::At(_)) | None => None,
        },
        "requeueAtMilliseconds": match response.requeue {
            Some(RequeueRequest::At(time)) => Some(time.0),
            Some(RequeueRequest::After(_)) | None => None,
        },
    }))
}

fn kept(kept: &KeptChild) -> Value {
    json!({
        "apiVersion": kept.api_version,
        "kind": kept.kind,
        "namespace": kept.namespace,
        "name": kept.name,
    })
}

fn condition(condition: &ParentCondition) -> Value {
    json!({
        "type": condition.type_,
        "status": condition.status.as_str(),
        "reason": condition.reason,
        "message": condition.message,
    })
}

fn read_parents(path: &Path, description: &Description) -> Result<Vec<Object>> {
    let (place, documents) = read_documents(path)?;
    if documents.is_empty() {
        bail!("{place} holds no object; write one {}", description.parent);
    }
    let parent = |document: &Value| parent_of(document, description);
    let parents: Result<Vec<_>> = documents.iter().map(parent).collect();
    parents.context(place)
}

/// The objects of a file, of whatever kinds; none if there is no file.
fn read_others(path: Option<&Path>) -> Result<Vec<(Kind, Arc<Object>)>> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let (place, documents) = read_documents(path)?;
    let object = |document: &Value| {
        let (kind, object) = object_of(document)?;
        anyhow::Ok((kind, Arc::new(object)))
    };
    let objects: Result<Vec<_>> = documents.iter().map(object).collect();
    objects.context(place)
}

/// The documents of a file of YAML or JSON, and the file's name for people.
fn read_documents(path: &Path) -> Result<(String, Vec<Value>)> {
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
    let documents = documents.into_iter().filter(|document| !document.is_null());
    Ok((place, documents.collect()))
}

fn parent_of(document: &Value, description: &Description) -> Result<Object> {
    let (kind, object) = object_of(document)?;
    if kind != description.parent {
        bail!(
            "holds a {kind}; this handler is called for {}",
            description.parent
        );
    }
    Ok(object)
}

fn object_of(document: &Value) -> Result<(Kind, Object)> {
    let field = |name: &str| document.get(name).and_then(Value::as_str);
    let (Some(api_version), Some(kind)) = (field("apiVersion"), field("kind")) else {
        bail!(
            "{} is not a Kubernetes object; write apiVersion, kind, metadata.name and spec",
            cut(&document.to_string())
        );
    };
    let kind = Kind::new(api_version, kind)?;
    if !document["metadata"]["name"].is_string() {
        bail!("the {} has no metadata.name; give it one", kind.kind);
    }
    // The error's text holds its cause already.
    let object = Object::parse(&kind, &document.to_string()).map_err(|error| anyhow!("{error}"))?;
    Ok((kind, object))
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
