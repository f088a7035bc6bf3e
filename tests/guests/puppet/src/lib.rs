//! A guest that does what its parent object says, good or hostile; for the suites.

mod config;
mod hostile;
mod probe;
mod spec;

use std::time::Duration;

use handler_sdk::{Description, Event, Failure, Handler, Metadata, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use config::{Config, Misbehaviour};
use spec::{Apply, Command, News, Spec};

struct Puppet;

handler_sdk::export!(Puppet);

#[derive(Deserialize)]
struct Parent {
    metadata: Metadata,
    spec: Spec,
}

impl Handler for Puppet {
    type Parent = Parent;
    type Config = Config;

    fn describe(config: &Config) -> Description {
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
        if config.finalizer {
            description.finalizer()
        } else {
            description
        }
    }

    fn reconcile(request: Request<Parent, Config>) -> Result<Response, Failure> {
        let Parent { metadata, spec } = &request.parent;
        if metadata.is_being_deleted() {
            return Ok(Response::ready(&spec.on_delete));
        }
        let name = metadata.name.as_str();
        Ok(match &spec.command {
            Command::Apply(apply) => applied(apply),
            Command::Permanent { message } => return Err(Failure::permanent(message)),
            Command::Temporary { message, delay_ms } => {
                return Err(temporary(message, *delay_ms));
            }
            Command::Trap { message } => panic!("{message}"),
            Command::Spin => hostile::spin(),
            Command::Hog => hostile::hog(),
            Command::Recurse => Response::no_children().waiting(hostile::recurse(0).to_string()),
            Command::Handles => hostile::keep_handles(),
            Command::Draw { bytes } => {
                hostile::draw(*bytes);
                Response::no_children()
            }
            Command::Say { text } => {
                hostile::say(text);
                Response::no_children()
            }
            Command::Chatter { lines } => {
                hostile::chatter(*lines);
                Response::no_children()
            }
            Command::Garbage { text } => Response::no_children().child_text(text),
            Command::Flood { count } => Response::ready(
                (0..*count).map(|index| config_map(&format!("{name}-{index}"), &json!({}))),
            ),
            Command::Huge { bytes } => {
                Response::ready([config_map(name, &json!({"text": "x".repeat(*bytes)}))])
            }
            Command::Entropy => Response::ready([config_map(name, &probe::entropy())]),
            Command::Environment => Response::ready([config_map(name, &probe::environment())]),
            Command::Echo => Response::ready([config_map(name, &probe::echo(&request))]),
        })
    }
}

fn applied(apply: &Apply) -> Response {
    let Apply {
        children,
        status,
        waiting,
        events,
        requeue_after_ms,
    } = apply;
    let mut response = Response::ready(children);
    if let Some(status) = status {
        response = response.status(status);
    }
    if let Some(message) = waiting {
        response = response.waiting(message);
    }
    if let Some(delay) = requeue_after_ms {
        response = response.requeue_after(Duration::from_millis(*delay));
    }
    events.iter().map(event).fold(response, Response::event)
}

fn event(news: &News) -> Event {
    match news {
        News::Normal { reason, message } => Event::normal(reason, message),
        News::Warning { reason, message } => Event::warning(reason, message),
    }
}

fn temporary(message: &str, delay_ms: Option<u64>) -> Failure {
    let failure = Failure::temporary(message);
    match delay_ms {
        Some(delay) => failure.after(Duration::from_millis(delay)),
        None => failure,
    }
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
