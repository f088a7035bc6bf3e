use crate::error::ModuleError;

/// Looks at the first eight bytes: the magic number, then the version and layer that tell a component
/// (`0d 00 01 00`) from a core module (`01 00 00 00`).
///
/// # Errors
///
/// When they are not those of a component.
pub fn check_header(bytes: &[u8]) -> Result<(), ModuleError> {
    if bytes.is_empty() {
        return Err(ModuleError::Empty);
    }
    if !b"\0asm"
        .iter()
        .zip(bytes)
        .all(|(expected, found)| expected == found)
    {
        return Err(ModuleError::NotWasm);
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

/// The custom section in which a component, or a core module in it, suggests a name for its handler.
const NAME_SECTION: &str = "handler-host:name";

/// The name that a component suggests for its handler; None if it suggests none that a handler may have.
pub(crate) fn suggested_name(bytes: &[u8]) -> Option<String> {
    let sections = wasmparser::Parser::new(0).parse_all(bytes);
    let names = sections.map_while(Result::ok).filter_map(|payload| {
        if let wasmparser::Payload::CustomSection(section) = payload
            && section.name() == NAME_SECTION
        {
            str::from_utf8(section.data()).ok()
        } else {
            None
        }
    });
    let mut names = names.filter(|name| handler_host_core::is_handler_name(name));
    names.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::limits::{CORE_INSTANCES, MEMORIES, MODULE_TABLES, TABLES};
    use crate::{ModuleError, Runtime};

    fn load(bytes: &[u8]) -> ModuleError {
        let runtime = Runtime::new(1, None).unwrap();
        match runtime.load(bytes) {
            Ok(_) => panic!("loaded"),
            Err(error) => error,
        }
    }

    #[test]
    fn what_is_not_webassembly_is_named_so() {
        assert_eq!(load(b""), ModuleError::Empty);
        assert_eq!(load(b"apiVersion: v1"), ModuleError::NotWasm);
        assert!(!load(b"secret").to_string().contains("secret"));
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

    /// A component that instantiates a core module so many times.
    fn of_core_instances(count: u32, module: &str) -> Vec<u8> {
        let instances = "(core instance (instantiate $m))".repeat(count as usize);
        wat::parse_str(format!("(component (core module $m {module}) {instances})")).unwrap()
    }

    #[rstest]
    #[case::many_modules(CORE_INSTANCES, "", "does not export `describe`")]
    #[case::too_many_modules(CORE_INSTANCES + 1, "", "contains 65 core module instances, which exceeds the configured maximum of 64")]
    #[case::too_many_memories(
        MEMORIES + 1,
        "(memory 1)",
        "contains 5 Wasm linear memories, which exceeds the configured maximum of 4"
    )]
    #[case::too_many_tables(
        TABLES / MODULE_TABLES + 1,
        &"(table 1 funcref)".repeat(MODULE_TABLES as usize),
        "contains 20 tables, which exceeds the configured maximum of 16"
    )]
    #[case::too_many_tables_of_a_module(
        1,
        &"(table 1 funcref)".repeat(MODULE_TABLES as usize + 1),
        "tables count of 5 exceeds the per-instance limit of 4"
    )]
    #[case::a_large_memory(1, "(memory 20000)", "exceeds the limit of 0x40000000 bytes")]
    #[case::a_large_table(1, "(table 100001 funcref)", "exceeds the limit of 100000")]
    fn a_component_over_a_limit_is_told_which(
        #[case] count: u32,
        #[case] module: &str,
        #[case] message: &str,
    ) {
        let error = load(&of_core_instances(count, module));
        assert_eq!(
            matches!(error, ModuleError::TooLarge(_)),
            message.contains("exceeds"),
            "{error}"
        );
        assert!(error.to_string().contains(message), "{error}");
    }

    #[test]
    fn a_module_cut_anywhere_is_broken_or_empty() {
        let whole = wat::parse_str(r#"(component (core module (func (export "f"))))"#).unwrap();
        for length in 0..whole.len() {
            let error = load(&whole[..length]);
            let is_told = matches!(
                error,
                ModuleError::Empty | ModuleError::Broken(_) | ModuleError::World { .. }
            );
            assert!(is_told, "{length} bytes: {error}");
        }
    }
}
