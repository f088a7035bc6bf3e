use std::sync::Arc;

use futures::{Stream, StreamExt};
use handler_host_core::Kind;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Api, Client, Resource as _, ResourceExt};

use crate::api::{ProblemLog, Received, watch_across_restorations, watch_problem};
use crate::resource::Handler;

/// How much memory a Handler may take once it is parsed, in bytes, about. A config of a megabyte may take a hundred.
const LARGEST: usize = 4 << 20;

/// A change of the Handlers in a cluster.
#[derive(Debug)]
pub enum HandlerNews {
    /// All Handlers, the oldest first, and the names of those that cannot be read.
    All(Vec<Handler>, Vec<String>),
    /// A Handler was created or changed.
    Applied(Box<Handler>),
    /// The Handler of this name was deleted.
    Gone(String),
}

/// Watches the Handlers of a cluster that a label selector matches, for ever. An empty selector matches all.
///
/// A Handler that cannot be read, since it is too large or the CRD is that of another version, is logged and skipped.
pub fn watch_handlers(client: Client, selector: &str) -> impl Stream<Item = HandlerNews> + Send {
    let api: Api<Received> = Api::all_with(client, &ApiResource::erase::<Handler>(&()));
    let config = watcher::Config::default().labels(selector);
    let stream = watch_across_restorations(api, config, DefaultBackoff::default, Arc::default());
    let problems = ProblemLog::of("watching Handlers");
    let mut listed = Listed::default();
    stream.filter_map(move |event| {
        let news = take(event, &problems, &mut listed);
        std::future::ready(news)
    })
}

/// The Handlers of a list that is not complete yet.
#[derive(Default)]
struct Listed {
    handlers: Vec<Handler>,
    unreadable: Vec<String>,
}

fn take(
    event: Result<Event<Received>, watcher::Error>,
    problems: &ProblemLog,
    listed: &mut Listed,
) -> Option<HandlerNews> {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            problems.report(&problem(&error));
            return None;
        }
    };
    if !matches!(event, Event::Init) {
        problems.resolve();
    }
    match event {
        Event::Init => {
            *listed = Listed::default();
            None
        }
        Event::InitApply(guard) => {
            let name = guard.name_any();
            match read(guard) {
                Some(handler) => listed.handlers.push(handler),
                None => listed.unreadable.push(name),
            }
            None
        }
        Event::InitDone => {
            let Listed {
                mut handlers,
                unreadable,
            } = std::mem::take(listed);
            handlers.sort_by_key(|handler| (handler.creation_timestamp(), handler.name_any()));
            Some(HandlerNews::All(handlers, unreadable))
        }
        Event::Apply(guard) => read(guard).map(|handler| HandlerNews::Applied(Box::new(handler))),
        Event::Delete(guard) => Some(HandlerNews::Gone(guard.name_any())),
    }
}

fn read(received: Received) -> Option<Handler> {
    let name = received.name_any();
    let kind = Kind {
        api_version: Handler::api_version(&()).into_owned(),
        kind: Handler::kind(&()).into_owned(),
    };
    let object = received.into_object(&kind)?;
    if object.parsed_memory(LARGEST).is_none() {
        tracing::error!(handler = %name, "the Handler takes more than {} MiB of memory once it is read, such as a config of very many small values; make its config smaller", LARGEST >> 20);
        return None;
    }
    match serde_json::from_str(object.text()) {
        Ok(handler) => Some(handler),
        Err(error) => {
            tracing::error!(handler = %name, "the Handler cannot be read: {error}; apply the CRD of this host's version: handler-host crd | kubectl apply -f -");
            None
        }
    }
}

/// The problem, with a remedy if the CRD is missing.
fn problem(error: &watcher::Error) -> String {
    let problem = watch_problem(error);
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            format!("{problem} (apply the CRD: handler-host crd | kubectl apply -f -)")
        }
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => problem,
    }
}
