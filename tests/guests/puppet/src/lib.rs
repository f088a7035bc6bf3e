//! A guest for the suites that does what the spec of its parent says, good or hostile.

mod config;
mod hostile;
mod probe;
mod spec;

use std::time::{Duration, SystemTime};

use handler_sdk::{Description, Event, Failure, Handler, Metadata, Query, Request, Response};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Value, json};

use config::{Misbehaviour, PuppetConfig};
use spec::{PuppetCommand, PuppetEvent, PuppetFailure, PuppetResponse, PuppetSpec};

struct Puppet;

handler_sdk::export!(Puppet, "puppet");

/// A parent. Its spec is in an annotation, as JSON, where its kind has another spec or none.
struct PuppetParent {
    metadata: Metadata,
    spec: PuppetSpec,
}

const SPEC_ANNOTATION: &str = "tests.handler-host.dev/spec";

impl<'de> Deserialize<'de> for PuppetParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct ParentFields {
            metadata: Metadata,
            #[serde(default)]
            spec: Value,
        }
        let ParentFields { metadata, spec } = ParentFields::deserialize(deserializer)?;
        let spec = match metadata.annotations.get(SPEC_ANNOTATION) {
            Some(text) => serde_json::from_str(text),
            None => serde_json::from_value(spec),
        };
        match spec {
            Ok(spec) => Ok(Self { metadata, spec }),
            Err(error) => Err(D::Error::custom(format_args!("spec: {error}"))),
        }
    }
}

impl Handler for Puppet {
    type Parent = PuppetParent;
    type Config = PuppetConfig;

    fn describe(config: &PuppetConfig) -> Description {
        match config.describe {
            None => {}
            Some(Misbehaviour::Trap) => panic!("the config says describe: trap"),
            Some(Misbehaviour::Spin) => hostile::spin(),
        }
        let description = config
            .children
            .iter()
            .cloned()
            .fold(Description::new(config.parent.clone()), Description::child);
        let related = config.related.iter().cloned();
        let mut description = related.fold(description, Description::related);
        if let Some(granularity) = config.clock_ms {
            description = description.clock(Duration::from_millis(granularity));
        }
        if config.finalizer {
            description.finalizer()
        } else {
            description
        }
    }

    fn related(parent: &PuppetParent, _config: &PuppetConfig) -> Result<Vec<Query>, Failure> {
        let PuppetSpec {
            command, queries, ..
        } = &parent.spec;
        if let PuppetCommand::AskPermanent { message } = command {
            return Err(Failure::permanent(message));
        }
        assert!(
            !matches!(command, PuppetCommand::AskTrap),
            "the spec says do: askTrap"
        );
        Ok(queries.iter().map(Into::into).collect())
    }

    fn reconcile(request: Request<PuppetParent, PuppetConfig>) -> Result<Response, Failure> {
        let PuppetParent { metadata, spec } = &request.parent;
        if metadata.is_being_deleted() {
            return Ok(Response::ready(&spec.on_delete));
        }
        let name = metadata.name.as_str();
        Ok(match &spec.command {
            PuppetCommand::Apply(response) => apply(response),
            PuppetCommand::Permanent(how) => {
                return Err(failed(Failure::permanent(&how.message), how));
            }
            PuppetCommand::Temporary(how) => {
                return Err(failed(Failure::temporary(&how.message), how));
            }
            PuppetCommand::Trap { message } => panic!("{message}"),
            PuppetCommand::Spin => hostile::spin(),
            PuppetCommand::Hog => hostile::hog(),
            PuppetCommand::Recurse => {
                Response::no_children().waiting(hostile::recurse(0).to_string())
            }
            PuppetCommand::Handles => hostile::keep_handles(),
            PuppetCommand::Draw { bytes } => {
                hostile::draw(*bytes);
                Response::no_children()
            }
            PuppetCommand::Say { text } => {
                hostile::say(text);
                Response::no_children()
            }
            PuppetCommand::Chatter { lines } => {
                hostile::chatter(*lines);
                Response::no_children()
            }
            PuppetCommand::Garbage { text } => Response::no_children().child_text(text),
            PuppetCommand::Flood { count } => Response::ready(
                (0..*count).map(|index| config_map(&format!("{name}-{index}"), &json!({}))),
            ),
            PuppetCommand::Huge { bytes } => {
                Response::ready([config_map(name, &json!({"text": "x".repeat(*bytes)}))])
            }
            PuppetCommand::Chain { count } => chain(name, *count, request.children.iter().count()),
            PuppetCommand::Alternate => alternate(name, request.children.iter().next()),
            PuppetCommand::Blink => match request.children.iter().next() {
                Some(_) => Response::no_children(),
                None => Response::ready([config_map(name, &json!({}))]),
            },
            PuppetCommand::Entropy => Response::ready([config_map(name, &probe::entropy())]),
            PuppetCommand::Environment => {
                Response::ready([config_map(name, &probe::environment())])
            }
            PuppetCommand::Echo => {
                let name = format!("{name}{}", request.config.suffix);
                Response::ready([config_map(&name, &probe::echo(&request))])
            }
            PuppetCommand::Relate { requeue_at_ms } => relate(name, &request, *requeue_at_ms),
            PuppetCommand::AskPermanent { .. } | PuppetCommand::AskTrap => Response::no_children(),
        })
    }
}

fn apply(response: &PuppetResponse) -> Response {
    let PuppetResponse {
        children,
        keep,
        status,
        conditions,
        waiting,
        events,
        requeue_after_ms,
    } = response;
    let mut response = Response::ready(children);
    for name in keep {
        response = response.keep(&config_map(name, &json!({})));
    }
    if let Some(status) = status {
        response = response.status(status);
    }
    response = conditions
        .iter()
        .map(Into::into)
        .fold(response, Response::condition);
    if let Some(message) = waiting {
        response = response.waiting(message);
    }
    if let Some(delay) = requeue_after_ms {
        response = response.requeue_after(Duration::from_millis(*delay));
    }
    events.iter().map(event).fold(response, Response::event)
}

/// One child more than are there, up to a count, and how many are there.
fn chain(name: &str, count: usize, there: usize) -> Response {
    let wanted = (there + 1).min(count);
    let names = (0..wanted).map(|index| format!("{name}-{index}"));
    Response::ready(names.map(|name| config_map(&name, &json!({})))).status(json!({"there": there}))
}

/// A child with another content than it has.
fn alternate(name: &str, child: Option<&Value>) -> Response {
    let has = child.and_then(|child| child["data"]["key"].as_str());
    let wanted = if has == Some("left") { "right" } else { "left" };
    Response::ready([config_map(name, &json!({"key": wanted}))])
}

/// A child that says which objects answer the queries, each as `namespace/name=data.value`, and what time it is.
fn relate(
    name: &str,
    request: &Request<PuppetParent, PuppetConfig>,
    requeue_at_ms: Option<u64>,
) -> Response {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = |object: &Value| {
        let (namespace, name) = (
            &object["metadata"]["namespace"],
            &object["metadata"]["name"],
        );
        let value = &object["data"]["value"];
        format!("{}/{}={}", text(namespace), text(name), text(value))
    };
    let mut entries = json!({});
    for index in 0..request.parent.spec.queries.len() {
        let objects: Vec<_> = request.related.answer(index).iter().map(object).collect();
        entries[format!("answer-{index}")] = json!(objects.join(" "));
    }
    let Some(now) = request.now else {
        return Response::ready([config_map(name, &entries)]);
    };
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    entries["now"] = json!(since.unwrap_or_default().as_millis().to_string());
    entries["wall"] = json!(format!("{:?}", SystemTime::now() == now));
    let response = Response::ready([config_map(name, &entries)]);
    match requeue_at_ms {
        Some(delay) => response.requeue_at(now + Duration::from_millis(delay)),
        None => response,
    }
}

fn event(event: &PuppetEvent) -> Event {
    match event {
        PuppetEvent::Normal { reason, message } => Event::normal(reason, message),
        PuppetEvent::Warning { reason, message } => Event::warning(reason, message),
    }
}

/// The failure with what the spec says besides.
fn failed(failure: Failure, how: &PuppetFailure) -> Failure {
    let PuppetFailure {
        message: _,
        delay_ms,
        status,
        conditions,
    } = how;
    let mut failure = failure;
    if let Some(delay) = delay_ms {
        failure = failure.after(Duration::from_millis(*delay));
    }
    if let Some(status) = status {
        failure = failure.status(status);
    }
    let conditions = conditions.iter().map(Into::into);
    conditions.fold(failure, Failure::condition)
}

fn config_map(name: &str, entries: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": entries,
    })
}

#[cfg(test)]
mod tests;
