//! A guest for the suites that attacks its host, in the way that the spec of its parent names: `spec.attack`, and
//! `spec.size` for how much of it. It uses no SDK, since an SDK keeps handlers from most of this.

#![allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated"
)]

use std::hint::black_box;

wit_bindgen::generate!({ path: "../../../wit/handler.wit", world: "handler" });

use handler_host::handler::log;
use handler_host::handler::types::{
    Condition, ConditionStatus, Event, Kind, Operator, Place, Readiness, Requeue, Requirement,
    Retry, Selection, Severity,
};

struct Hostile;

export!(Hostile);

impl Guest for Hostile {
    fn describe(config: String) -> Result<Description, String> {
        let kind = |kind: &str| Kind {
            api_version: "tests.handler-host.dev/v1".to_owned(),
            kind: kind.to_owned(),
        };
        let mut children = vec![Kind {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
        }];
        match text_of(&config, "describe") {
            "kinds" => {
                let many = (0..number_of(&config, "size")).map(|it| kind(&format!("Kind{it}")));
                children.extend(many);
            }
            "spin" => spin(),
            _ => {}
        }
        Ok(Description {
            parent: kind("Puppet"),
            children,
            related: match text_of(&config, "related") {
                "" => Vec::new(),
                related => vec![Kind {
                    api_version: "v1".to_owned(),
                    kind: related.to_owned(),
                }],
            },
            finalizer: false,
            clock_ms: None,
        })
    }

    fn related(parent: String, _config: String) -> Result<Vec<Query>, Failure> {
        let size = number_of(&parent, "size");
        let all = || Query {
            kind: Kind {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
            },
            place: Place::ParentNamespace,
            selection: Selection::All,
        };
        Ok(match text_of(&parent, "attack") {
            // So many queries.
            "queries" => (0..size).map(|_| all()).collect(),
            // One query with so many values.
            "query-values" => {
                let values = (0..size).map(|it| format!("v{it}")).collect();
                let requirement = Requirement {
                    key: "key".to_owned(),
                    operator: Operator::IsIn,
                    values,
                };
                vec![Query {
                    selection: Selection::Labels(vec![requirement]),
                    ..all()
                }]
            }
            "query-name" => vec![Query {
                selection: Selection::Name("x".repeat(size)),
                ..all()
            }],
            "query-spin" => spin(),
            _ => Vec::new(),
        })
    }

    #[allow(clippy::too_many_lines, reason = "each attack is an arm of one match")]
    fn reconcile(request: Request) -> Result<Response, Failure> {
        let size = number_of(&request.parent, "size");
        let name = text_of(&request.parent, "name");
        let config_map = |index: usize, data: &str| {
            let kind = r#""apiVersion":"v1","kind":"ConfigMap""#;
            format!(r#"{{{kind},"metadata":{{"name":"{name}-{index}"}},"data":{{"a":"{data}"}}}}"#)
        };
        let mut response = Response {
            children: Vec::new(),
            keep: Vec::new(),
            status: None,
            conditions: Vec::new(),
            readiness: Readiness::Ready,
            events: Vec::new(),
            requeue: None,
        };
        match text_of(&request.parent, "attack") {
            // One text of so many bytes.
            "status" => response.status = Some(format!(r#"{{"a":"{}"}}"#, "x".repeat(size))),
            // Each call adds a field of so many bytes, so that the status grows without end.
            "grow" => {
                let version = text_of(&request.parent, "resourceVersion");
                let values = small_values(size);
                response.status = Some(format!(r#"{{"k{version}":[{values}0]}}"#));
                response.requeue = Some(Requeue::AfterMs(1));
            }
            // So many bytes of small values, which take a hundred times as much once they are parsed.
            "values" => response.status = Some(format!(r#"{{"a":[{}0]}}"#, small_values(size))),
            "values-in-children" => {
                let values = small_values(size);
                let kind = r#""apiVersion":"v1","kind":"ConfigMap""#;
                let child = |it| {
                    format!(r#"{{{kind},"metadata":{{"name":"{name}-{it}"}},"data":[{values}0]}}"#)
                };
                response.children = (0..16).map(child).collect();
            }
            "deep" => {
                response.status = Some(format!(
                    r#"{{"a":{}{}}}"#,
                    "[".repeat(size),
                    "]".repeat(size)
                ));
            }
            // A hundred children of so many bytes each.
            "children" => {
                let data = "x".repeat(size);
                response.children = (0..100).map(|it| config_map(it, &data)).collect();
            }
            // So many children.
            "many" => response.children = (0..size).map(|it| config_map(it, "x")).collect(),
            // Children that differ at every call, so that each is written.
            "rewrite" => {
                let seed = request.children.iter().map(String::len).sum::<usize>()
                    + number_of(&request.parent, "generation");
                let data = format!("{seed}{}", "x".repeat(size));
                response.children = (0..50).map(|it| config_map(it, &data)).collect();
                response.requeue = Some(Requeue::AfterMs(1));
            }
            "events" => {
                let event = || Event {
                    severity: Severity::Warning,
                    reason: "x".repeat(size),
                    message: "x".repeat(size),
                };
                response.events = (0..8).map(|_| event()).collect();
            }
            "waiting" => response.readiness = Readiness::Waiting("x".repeat(size)),
            "permanent" => return Err(failure("x".repeat(size), Retry::Never)),
            "temporary" => return Err(failure("x".repeat(size), Retry::AfterMs(1))),
            // A failure with a status of so many bytes, in one text or in small values.
            "failure-status" => {
                return Err(Failure {
                    status: Some(format!(r#"{{"a":"{}"}}"#, "x".repeat(size))),
                    ..failure(String::new(), Retry::AfterMs(1))
                });
            }
            "failure-values" => {
                return Err(Failure {
                    status: Some(format!(r#"{{"a":[{}0]}}"#, small_values(size))),
                    ..failure(String::new(), Retry::AfterMs(1))
                });
            }
            // So many conditions, or one of so many bytes.
            "conditions" => {
                response.conditions = (0..size).map(|it| condition(&format!("C{it}"))).collect();
            }
            "condition" => response.conditions = vec![condition(&"x".repeat(size))],
            "trap" => panic!("{}", "x".repeat(size)),
            // Control characters become longer when they are escaped.
            "log" => log::write(log::Level::Info, &"\u{1b}".repeat(size)),
            "logs" => {
                for _ in 0..size {
                    log::write(log::Level::Info, "x");
                }
            }
            "print" => print!("{}", "x".repeat(size)),
            // Computes without end, with so much memory in use.
            "hold" => {
                black_box(vec![1_u8; size]);
                spin();
            }
            // Touches so much memory, and gives it back.
            "touch" => {
                black_box(vec![1_u8; size]);
            }
            "spin" => spin(),
            _ => response.children = vec![config_map(0, "x")],
        }
        Ok(response)
    }
}

fn failure(message: String, retry: Retry) -> Failure {
    Failure {
        message,
        retry,
        status: None,
        conditions: Vec::new(),
    }
}

fn condition(text: &str) -> Condition {
    Condition {
        type_: text.chars().take(50).collect(),
        status: ConditionStatus::IsTrue,
        reason: "X".to_owned(),
        message: text.to_owned(),
    }
}

fn small_values(bytes: usize) -> String {
    const VALUE: &str = r#"{"":0},"#;
    VALUE.repeat(bytes / VALUE.len())
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// The text at a field, wherever it stands first.
fn text_of<'a>(json: &'a str, field: &str) -> &'a str {
    let value = value_of(json, field).and_then(|value| value.strip_prefix('"'));
    let text = value.and_then(|value| value.split_once('"'));
    text.map_or("", |(text, _)| text)
}

/// The number at a field, wherever it stands first; 0 if there is none.
fn number_of(json: &str, field: &str) -> usize {
    let value = value_of(json, field).unwrap_or_default();
    let end = value.find(|it: char| !it.is_ascii_digit());
    value[..end.unwrap_or(value.len())].parse().unwrap_or(0)
}

fn value_of<'a>(json: &'a str, field: &str) -> Option<&'a str> {
    let (_, value) = json.split_once(&format!("\"{field}\":"))?;
    Some(value.trim_start())
}
