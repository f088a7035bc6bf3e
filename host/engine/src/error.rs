use handler_host_core::{Fault, KindError};

/// Why bytes are not a handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// There are no bytes.
    #[error("is empty; build it again")]
    Empty,
    /// The bytes are not WebAssembly. They are not shown: they may be those of any file.
    #[error(
        "is not WebAssembly: it does not begin with the four bytes \"\\0asm\"; name a .wasm file"
    )]
    NotWasm,
    /// It is a core module.
    #[error(
        "is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It does not parse or compile.
    #[error("is broken: {0}; build or copy it again")]
    Broken(String),
    /// It needs more core modules, memories or tables than a call may have, or larger ones.
    #[error(
        "exceeds a limit of this host: {0}; build it from fewer core modules, with fewer or smaller memories and tables"
    )]
    TooLarge(String),
    /// It takes more to compile than it may.
    #[error("{0} to compile; build it smaller, or give the host more memory")]
    Costly(String),
    /// The host could not compile it.
    #[error("could not be compiled: {0}; this is a fault of the host, so look at its log")]
    Uncompiled(String),
    /// It imports something that handlers are not granted.
    #[error(
        "imports `{0}`, which handlers are not granted; a handler may import handler-host:handler/log and wasi:cli/imports@0.2, nothing else"
    )]
    Import(String),
    /// It was built for a version of the world that this host does not serve.
    #[error(
        "was built for handler-host:handler@{found}, this host speaks {served}; build it against the wit/ of this host"
    )]
    Version {
        /// The version that it imports.
        found: String,
        /// The versions that this host serves.
        served: String,
    },
    /// It is a component, but it does not fit the world.
    #[error(
        "is a component of another world: {reason}; a handler exports {} of {expected}", words(.exports)
    )]
    World {
        /// What does not fit.
        reason: String,
        /// The name of the world.
        expected: &'static str,
        /// What a component of it exports.
        exports: &'static [&'static str],
    },
}

impl ModuleError {
    /// Why the engine does not take the bytes. It has no type for what exceeds the limits of its pool, so that is known
    /// by the words.
    pub(crate) fn of_engine(error: &wasmtime::Error) -> Self {
        let message = format!("{error:#}");
        if message.contains("pooling allocator") || message.contains("exceeds the configured") {
            Self::TooLarge(message)
        } else {
            Self::Broken(message)
        }
    }
}

/// Why a module does not describe itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// The handler does not accept the config.
    #[error("the handler refuses its config: {0}")]
    Refused(String),
    /// The call was stopped.
    #[error("describing itself, {0}")]
    Stopped(#[from] Fault),
    /// The handler describes too many kinds.
    #[error("the handler describes {count} kinds of {what}, its limit is {limit}; describe fewer")]
    Kinds {
        /// What the kinds are of.
        what: &'static str,
        /// How many it describes.
        count: usize,
        /// How many it may describe.
        limit: usize,
    },
    /// The handler names a kind that cannot exist.
    #[error("the handler describes a kind that cannot exist: {0}")]
    Kind(#[from] KindError),
    /// The handler asks for a clock that is too fine.
    #[error(
        "the handler describes a clock with a granularity of {0} ms, the least is 1000; describe a coarser one"
    )]
    Clock(u64),
}

/// `a`, `b` and `c`.
fn words(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.join(", "),
    }
}
