//! Calls of a handler as the host makes them, for tests in plain Rust.

use std::marker::PhantomData;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};

use crate::call::{self, RawRequest};
use crate::{Description, Failure, Handler, Query, Response};

/// One call of a handler. Parent, children, related objects and config pass through JSON text, as they do in the host.
///
/// ```
/// # use handler_sdk::{Description, Failure, Handler, Kind, NoConfig, Request, Response};
/// # use handler_sdk::testing::TestCall;
/// # use serde_json::{Value, json};
/// # struct Counter;
/// # impl Handler for Counter {
/// #     type Parent = Value;
/// #     type Config = NoConfig;
/// #     fn describe(_: &NoConfig) -> Description { Description::new(Kind::new("a/v1", "A")) }
/// #     fn reconcile(request: Request<Value, NoConfig>) -> Result<Response, Failure> {
/// #         Ok(Response::no_children().status(json!({"count": request.children.len()})))
/// #     }
/// # }
/// let response = TestCall::<Counter>::new(json!({"metadata": {"name": "a"}}))
///     .child(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}))
///     .reconcile()
///     .unwrap();
/// assert_eq!(response.status_patch(), Some(json!({"count": 1})));
/// ```
#[derive(Debug)]
#[must_use]
pub struct TestCall<H> {
    parent: Value,
    children: Vec<String>,
    related: Vec<Vec<String>>,
    config: Value,
    now: Option<SystemTime>,
    handler: PhantomData<H>,
}

impl<H: Handler> TestCall<H> {
    /// A call for this parent, with no children yet and the config `{}`.
    ///
    /// # Panics
    ///
    /// When the parent does not serialise to JSON.
    pub fn new(parent: impl Serialize) -> Self {
        Self {
            parent: to_json(parent),
            children: Vec::new(),
            related: Vec::new(),
            config: json!({}),
            now: None,
            handler: PhantomData,
        }
    }

    /// Sets the config.
    ///
    /// # Panics
    ///
    /// When the config does not serialise to JSON.
    pub fn config(mut self, config: impl Serialize) -> Self {
        self.config = to_json(config);
        self
    }

    /// Adds an observed child after those that were added before.
    ///
    /// # Panics
    ///
    /// When the child does not serialise to JSON.
    pub fn child(mut self, child: impl Serialize) -> Self {
        self.children.push(to_json(child).to_string());
        self
    }

    /// Adds the answer to the next query. The first one answers the first query.
    ///
    /// # Panics
    ///
    /// When an object does not serialise to JSON.
    pub fn related(mut self, answer: impl IntoIterator<Item = impl Serialize>) -> Self {
        let texts = answer.into_iter().map(|object| to_json(object).to_string());
        self.related.push(texts.collect());
        self
    }

    /// Sets the time of day.
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }

    /// Calls [`Handler::related`].
    ///
    /// # Errors
    ///
    /// The handler's failure, or a permanent failure if parent or config do not parse.
    pub fn queries(&self) -> Result<Vec<Query>, Failure> {
        call::related::<H>(&self.parent.to_string(), &self.config.to_string())
    }

    /// Calls [`Handler::reconcile`].
    ///
    /// # Errors
    ///
    /// The handler's failure, or a permanent failure if parent or config do not parse.
    pub fn reconcile(self) -> Result<Response, Failure> {
        call::reconcile::<H>(RawRequest {
            parent: self.parent.to_string(),
            children: self.children,
            related: self.related,
            config: self.config.to_string(),
            now: self.now,
        })
    }
}

/// Calls [`Handler::describe`] with this config.
///
/// # Errors
///
/// Says what is wrong with the config.
///
/// # Panics
///
/// When the config does not serialise to JSON.
pub fn describe<H: Handler>(config: impl Serialize) -> Result<Description, String> {
    call::describe::<H>(&to_json(config).to_string())
}

fn to_json(value: impl Serialize) -> Value {
    serde_json::to_value(value)
        .unwrap_or_else(|error| panic!("a test's object cannot be written as JSON: {error}"))
}
