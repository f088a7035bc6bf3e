//! Write handlers for handler-host in Rust.
//!
//! A handler decides which objects (*children*) should exist for one object (the *parent*). It is a
//! pure function from the parent, the observed children, related objects and a config to the desired children; the
//! host does the rest. Implement [`Handler`], pass the type to [`export!`], and build the crate as a
//! `cdylib`. The result is the component that the host loads.
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
//! struct GreeterConfig {
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
//!     type Config = GreeterConfig;
//!
//!     fn describe(_config: &GreeterConfig) -> Description {
//!         Description::new(Kind::new("example.com/v1", "Greeting"))
//!             .child(Kind::new("v1", "ConfigMap"))
//!     }
//!
//!     fn reconcile(request: Request<Greeting, GreeterConfig>) -> Result<Response, Failure> {
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
//! use handler_sdk::testing::TestCall;
//!
//! let greeting = json!({"metadata": {"name": "ada"}, "spec": {"name": "Ada"}});
//! let response = TestCall::<Greeter>::new(&greeting).reconcile().unwrap();
//! assert_eq!(response.children()[0]["data"]["text"], "Hello, Ada!");
//! ```
//!
//! # What a handler cannot do
//!
//! The host starts a fresh instance for every call, so globals do not survive. There is no network,
//! no file system, no environment, no arguments. The wall clock stands still, at the time of the request if the handler
//! [describes a clock](Description::clock); a sleep returns at once, and random numbers are seeded from the input: the same input gives the same output. What a handler
//! prints, a panic's message and the lines of [`log`] become lines of the host's log.

mod call;
mod component;
mod description;
mod handler;
pub mod log;
pub mod quantity;
mod query;
mod readiness;
mod request;
mod response;
pub mod testing;

pub use description::{Description, Kind, NoConfig};
pub use handler::Handler;
pub use quantity::Quantity;
pub use query::{Operator, Place, Query, Requirement, Selection};
pub use readiness::{readiness, readiness_of_all};
pub use request::{Metadata, ObservedObjects, RelatedObjects, Request};
pub use response::{
    ChildName, Condition, ConditionStatus, Event, Failure, Readiness, Requeue, Response, Retry,
    Severity,
};

#[doc(hidden)]
pub use component::{ExportedHandler, bindings};

/// The bytes of a text of this length, for a static.
#[doc(hidden)]
#[must_use]
pub const fn bytes_of<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        bytes[index] = text.as_bytes()[index];
        index += 1;
    }
    bytes
}

/// Makes a [`Handler`] the component's handler. Use it once in a crate, at its root.
///
/// With a name, `export!(EvcHandler, "evc")`, the component suggests it for its handler, a DNS label of at most 48
/// characters. `handler-host run --module` goes by it, since no Handler names that one. Without a name it goes by the
/// kind of the parents.
///
/// Where the target is not WebAssembly, it only checks that the type is a handler, so that tests build.
#[macro_export]
macro_rules! export {
    ($handler:ty, $name:literal) => {
        $crate::export!($handler);
        #[cfg(target_family = "wasm")]
        const _: () = {
            const TEXT: &str = $name;
            #[used]
            #[unsafe(link_section = "handler-host:name")]
            static NAME: [u8; TEXT.len()] = $crate::bytes_of(TEXT);
        };
    };
    ($handler:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::ExportedHandler<$handler>;
    $crate::bindings::__export_component!(Exported with_types_in $crate::bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: $crate::ExportedHandler<$handler> = $crate::ExportedHandler::new();
    };
}
