//! Write handlers for handler-host in Rust.
//!
//! A handler decides which objects (*children*) should exist for one object (the *parent*). It is a
//! pure function from the parent, the observed children and a config to the desired children; the
//! host does the rest. Implement [`Handler`], hand the type to [`export!`], and build the crate as a
//! `cdylib`: what comes out is the component that the host loads.
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//! ```
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2
//! ```
//!
//! # Example
//!
//! A `Greeting` gets a `ConfigMap` of the same name:
//!
//! ```
//! use handler_sdk::{Description, Failure, Handler, Kind, Metadata, Request, Response};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! struct Greeter;
//!
//! #[derive(Deserialize)]
//! struct Greeting {
//!     metadata: Metadata,
//!     spec: Spec,
//! }
//!
//! #[derive(Deserialize)]
//! struct Spec {
//!     name: String,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     #[serde(default = "hello")]
//!     word: String,
//! }
//!
//! fn hello() -> String {
//!     "Hello".to_owned()
//! }
//!
//! impl Handler for Greeter {
//!     type Parent = Greeting;
//!     type Config = Config;
//!
//!     fn describe(_config: &Config) -> Description {
//!         Description::new(Kind::new("example.com/v1", "Greeting"))
//!             .child(Kind::new("v1", "ConfigMap"))
//!     }
//!
//!     fn reconcile(request: Request<Greeting, Config>) -> Result<Response, Failure> {
//!         let Greeting { metadata, spec } = request.parent;
//!         if spec.name.is_empty() {
//!             return Err(Failure::permanent("Name must be set, such as Ada. Got \"\"."));
//!         }
//!         Ok(Response::ready([json!({
//!             "apiVersion": "v1",
//!             "kind": "ConfigMap",
//!             "metadata": {"name": metadata.name},
//!             "data": {"text": format!("{}, {}!", request.config.word, spec.name)},
//!         })]))
//!     }
//! }
//!
//! handler_sdk::export!(Greeter);
//!
//! // A handler is plain Rust: `cargo test` needs no WebAssembly.
//! use handler_sdk::testing::Call;
//!
//! let greeting = json!({"metadata": {"name": "ada"}, "spec": {"name": "Ada"}});
//! let response = Call::<Greeter>::new(&greeting).reconcile().unwrap();
//! assert_eq!(response.children()[0]["data"]["text"], "Hello, Ada!");
//! ```
//!
//! # What a handler cannot do
//!
//! The host starts a fresh instance for every call, so globals do not survive. There is no network,
//! no file system, no environment, no arguments. Clocks stand still, a sleep returns at once, and
//! random numbers are seeded from the input: the same input gives the same output. What a handler
//! prints, and a panic's message, become lines of the host's log; so do those of [`log`].

mod call;
mod component;
mod description;
pub mod log;
mod request;
mod response;
pub mod testing;

pub use description::{Description, Kind, NoConfig};
pub use request::{Children, Metadata, Request};
pub use response::{Event, Failure, Readiness, Response, Severity};

#[doc(hidden)]
pub use component::{Component, bindings};

use serde::de::DeserializeOwned;

/// A handler: which objects should exist for one object.
///
/// See the [crate's example](crate#example).
pub trait Handler {
    /// What the handler reads of its parent, usually `{metadata: Metadata, spec: Spec}`. A parent
    /// that does not parse is a permanent failure that says which field is wrong, so fields for
    /// which the handler has better words are best read leniently, as a [`serde_json::Value`].
    type Parent: DeserializeOwned;

    /// The handler's config; [`NoConfig`] if it takes none. Let it refuse unknown fields
    /// (`#[serde(deny_unknown_fields)]`) and check its values while it parses
    /// (`#[serde(deserialize_with = "…")]`, `#[serde(try_from = "…")]`): a config that does not parse
    /// keeps the module from being activated.
    type Config: DeserializeOwned;

    /// Says what this handler is. Called when the module is loaded or its config changes.
    fn describe(config: &Self::Config) -> Description;

    /// Decides what should exist for one parent.
    ///
    /// # Errors
    ///
    /// When no desired children can be given; those that exist stay as they are.
    fn reconcile(request: Request<Self::Parent, Self::Config>) -> Result<Response, Failure>;
}

/// Makes a [`Handler`] the component's handler. Once in a crate, at its root.
///
/// Off WebAssembly it only checks that the type is a handler, so that tests build.
#[macro_export]
macro_rules! export {
    ($handler:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::Component<$handler>;
    $crate::bindings::__export_component!(Exported with_types_in $crate::bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: $crate::Component<$handler> = $crate::Component::new();
    };
}
