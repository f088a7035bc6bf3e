use handler_host_core::{Fault, KindError};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of the world `handler-host:handler` that this host speaks.
pub const WORLD_VERSION: &str = "0.1.0";

/// Every interface a handler may import, and the prefix of its version.
const GRANTED: [(&str, &str); 4] = [
    ("handler-host:handler/log", WORLD_VERSION),
    ("handler-host:handler/types", WORLD_VERSION),
    ("wasi:cli/", "0.2."),
    ("wasi:io/", "0.2."),
];
const GRANTED_WASI: [&str; 4] = [
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Why bytes are not a handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// No bytes at all.
    #[error("is empty; build it again")]
    Empty,
    /// Not WebAssembly.
    #[error("is not WebAssembly: it begins with {0:?}, not with \"\\0asm\"; name a .wasm file")]
    NotWasm(String),
    /// A core module.
    #[error(
        "is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It does not parse or compile.
    #[error("is broken: {0}; build or copy it again")]
    Broken(String),
    /// It asks for something that handlers do not get.
    #[error(
        "imports `{0}`, which handlers are not granted; a handler may import handler-host:handler/log and wasi:cli/imports@0.2, nothing else"
    )]
    Import(String),
    /// It was built for another version of the world.
    #[error(
        "was built for handler-host:handler@{0}, this host speaks {WORLD_VERSION}; build it against the wit/ of this host"
    )]
    Version(String),
    /// It is a component, but no handler.
    #[error(
        "is a component of another world: {0}; a handler exports `describe` and `reconcile` of handler-host:handler@{WORLD_VERSION}"
    )]
    World(String),
}

/// Why a module does not say what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// It does not take the config.
    #[error("the handler refuses its config: {0}")]
    Refused(String),
    /// It was stopped.
    #[error("describing itself, {0}")]
    Stopped(#[from] Fault),
    /// It names a kind that cannot exist.
    #[error("the handler describes a kind that cannot exist: {0}")]
    Kind(#[from] KindError),
}

/// Looks at the first eight bytes: the magic number, then the version and layer that tell a component
/// (`0d 00 01 00`) from a core module (`01 00 00 00`).
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), ModuleError> {
    if bytes.is_empty() {
        return Err(ModuleError::Empty);
    }
    if !b"\0asm"
        .iter()
        .zip(bytes)
        .all(|(expected, found)| expected == found)
    {
        let first = bytes.get(..bytes.len().min(8)).unwrap_or_default();
        return Err(ModuleError::NotWasm(
            String::from_utf8_lossy(first).into_owned(),
        ));
    }
    match bytes.get(4..8) {
        None => Err(ModuleError::Broken(format!(
            "it ends after {} bytes",
            bytes.len()
        ))),
        Some([1, 0, 0, 0]) => Err(ModuleError::CoreModule),
        Some(_) => Ok(()),
    }
}

/// Refuses imports that are not granted and components without the two exports; returns the imports.
pub(crate) fn check_world(
    component: &Component,
    engine: &Engine,
) -> Result<Vec<String>, ModuleError> {
    let world = component.component_type();
    let imports: Vec<String> = world
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    for import in &imports {
        check_import(import)?;
    }
    for export in ["describe", "reconcile"] {
        if !world.exports(engine).any(|(name, _)| name == export) {
            return Err(ModuleError::World(format!("it does not export `{export}`")));
        }
    }
    Ok(imports)
}

fn check_import(import: &str) -> Result<(), ModuleError> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if interface.starts_with("handler-host:handler/") && version != WORLD_VERSION {
        return Err(ModuleError::Version(version.to_owned()));
    }
    let wasi = GRANTED_WASI.iter().map(|prefix| (*prefix, "0.2."));
    let is_granted = GRANTED
        .into_iter()
        .chain(wasi)
        .any(|(prefix, granted)| interface.starts_with(prefix) && version.starts_with(granted));
    if is_granted {
        Ok(())
    } else {
        Err(ModuleError::Import(import.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::{ModuleError, Runtime};

    fn load(bytes: &[u8]) -> ModuleError {
        let runtime = Runtime::new(1).unwrap();
        match runtime.load(bytes) {
            Ok(_) => panic!("loaded"),
            Err(error) => error,
        }
    }

    #[test]
    fn what_is_not_webassembly_is_named_so() {
        assert_eq!(load(b""), ModuleError::Empty);
        assert_eq!(
            load(b"apiVersion: v1"),
            ModuleError::NotWasm("apiVersi".to_owned())
        );
    }

    #[rstest]
    #[case::core_module("(module)", "is a core module")]
    #[case::no_exports("(component)", "does not export `describe`")]
    #[case::http(
        r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#,
        "imports `wasi:http/outgoing-handler@0.2.0`"
    )]
    #[case::newer_wasi(
        r#"(component (import "wasi:cli/stdout@0.3.0" (instance)))"#,
        "imports `wasi:cli/stdout@0.3.0`"
    )]
    #[case::a_function(r#"(component (import "secrets" (func)))"#, "imports `secrets`")]
    #[case::another_version(
        r#"(component (import "handler-host:handler/log@0.9.0" (instance)))"#,
        "was built for handler-host:handler@0.9.0"
    )]
    #[case::other_types(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (export "describe" (func $f)) (export "reconcile" (func $f)))"#,
        "is a component of another world"
    )]
    fn a_component_that_is_no_handler_is_refused(#[case] text: &str, #[case] message: &str) {
        let error = load(&wat::parse_str(text).unwrap()).to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn a_module_cut_anywhere_is_broken_or_empty() {
        let whole = wat::parse_str(r#"(component (core module (func (export "f"))))"#).unwrap();
        for length in 0..whole.len() {
            let error = load(&whole[..length]);
            let is_told = matches!(
                error,
                ModuleError::Empty | ModuleError::Broken(_) | ModuleError::World(_)
            );
            assert!(is_told, "{length} bytes: {error}");
        }
    }
}
