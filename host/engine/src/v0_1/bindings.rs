//! The types and the two calls of the world, generated from its contract.

#![allow(missing_docs, unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({ path: "../../wit/0.1/handler.wit", world: "handler", exports: { default: async } });
