//! The types and the three calls of the world, generated from its contract.

#![allow(missing_docs, unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({ path: "../../wit/handler.wit", world: "handler", exports: { default: async } });
