use wasmtime::component::Component;

use crate::error::ModuleError;

/// What a version of the world is called, and what a component of it looks like from outside.
pub(crate) struct Contract {
    /// The name of this version, as its text declares it.
    pub(crate) name: &'static str,
    /// The full name of the world within its package.
    pub(crate) target: &'static str,
    /// The interfaces that it imports beside those of WASI.
    pub(crate) interfaces: &'static [&'static str],
    /// The functions that a component of this world exports.
    pub(crate) exports: &'static [&'static str],
}

/// The beginning of each name that may be imported from WASI, and the beginning of its version.
const WASI: [(&str, &str); 6] = [
    ("wasi:cli/", "0.2."),
    ("wasi:clocks/", "0.2."),
    ("wasi:filesystem/", "0.2."),
    ("wasi:io/", "0.2."),
    ("wasi:random/", "0.2."),
    ("wasi:sockets/", "0.2."),
];

impl Contract {
    /// Checks the names of what a component imports and exports.
    pub(crate) fn check(&self, component: &Component) -> Result<(), ModuleError> {
        let (world, engine) = (component.component_type(), component.engine());
        for (import, _) in world.imports(engine) {
            self.check_import(import)?;
        }
        for export in self.exports {
            if !world.exports(engine).any(|(name, _)| name == *export) {
                return Err(self.another_world(format!("it does not export `{export}`")));
            }
        }
        Ok(())
    }

    fn check_import(&self, import: &str) -> Result<(), ModuleError> {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let is_wasi = WASI
            .into_iter()
            .any(|(name, granted)| interface.starts_with(name) && version.starts_with(granted));
        if is_wasi || self.interfaces.contains(&import) {
            Ok(())
        } else {
            Err(ModuleError::Import(import.to_owned()))
        }
    }

    /// The error of a component that does not fit.
    pub(crate) fn another_world(&self, reason: String) -> ModuleError {
        ModuleError::World {
            reason,
            expected: self.name,
            exports: self.exports,
        }
    }
}
