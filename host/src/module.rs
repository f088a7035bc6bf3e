use std::path::Path;

use anyhow::{Result, anyhow, bail};
use handler_host_core::{CallLimits, Description};
use handler_host_engine::{Component, Runtime};
use serde_json::{Map, Value};

use crate::arguments::ModuleArguments;

/// The longest name of a handler. The kind is ASCII.
const LONGEST_NAME: usize = 48;

/// A module that was read and compiled, and its description.
pub(crate) struct DescribedModule {
    pub(crate) suggested_name: String,
    pub(crate) component: Component,
    pub(crate) description: Description,
    pub(crate) config: String,
    pub(crate) limits: CallLimits,
}

/// Reads, compiles and describes a module.
pub(crate) fn load(runtime: &Runtime, arguments: &ModuleArguments) -> Result<DescribedModule> {
    let component = compile(runtime, &arguments.module)?;
    let config = config(&arguments.config)?;
    let limits = (&arguments.limits).into();
    let description = describe(&component, &arguments.module, &config, limits)?;
    Ok(DescribedModule {
        suggested_name: suggested_name(&component, &description),
        component,
        description,
        config,
        limits,
    })
}

/// Reads and compiles a module.
pub(crate) fn compile(runtime: &Runtime, path: &Path) -> Result<Component> {
    let module = handler_host_registry::read_file(path)?;
    compile_bytes(runtime, path, &module.bytes)
}

/// The name of a handler that nobody names: the one that its module suggests, or else the kind of its parents. A file may
/// have any name, and children must not belong to another handler because their module's file was renamed.
pub(crate) fn suggested_name(component: &Component, description: &Description) -> String {
    let of_module = component.suggested_name().map(str::to_owned);
    of_module.unwrap_or_else(|| {
        let mut name = description.parent.kind.to_lowercase();
        name.truncate(LONGEST_NAME);
        name.trim_end_matches('-').to_owned()
    })
}

/// Compiles a module that was read from a file.
pub(crate) fn compile_bytes(runtime: &Runtime, path: &Path, bytes: &[u8]) -> Result<Component> {
    let compiled = runtime.load(bytes);
    compiled.map_err(|error| anyhow!("module {} {error}", path.display()))
}

/// Calls the module's `describe`.
pub(crate) fn describe(
    component: &Component,
    path: &Path,
    config: &str,
    limits: CallLimits,
) -> Result<Description> {
    component
        .describe(config, limits)
        // The error's text holds its cause already; a context would repeat the cause.
        .map_err(|error| anyhow!("module {}: {error}", path.display()))
}

/// The config as JSON text, from `key=value` fields with YAML values.
pub(crate) fn config(fields: &[String]) -> Result<String> {
    let mut config = Map::new();
    for field in fields {
        let Some((key, value)) = field.split_once('=') else {
            bail!(
                "--config {field:?} has no `=`; write it as key=value, such as storageClass=fast"
            );
        };
        let value: Value = serde_saphyr::from_str(value).map_err(|_| {
            anyhow!("--config {key}: {value:?} is not YAML; quote it, such as {key}='\"…\"'")
        })?;
        if config.insert(key.to_owned(), value).is_some() {
            bail!("--config {key} is given twice; give each field once");
        }
    }
    Ok(Value::Object(config).to_string())
}

#[cfg(test)]
mod tests {
    use super::config;

    fn of(fields: &[&str]) -> Result<String, String> {
        let fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        config(&fields).map_err(|error| error.to_string())
    }

    #[test]
    fn config_fields_are_yaml_values() {
        let json = of(&[
            "class=fast",
            "replicas=3",
            "text='3'",
            "on=true",
            "list=[a, 1]",
        ])
        .unwrap();
        assert_eq!(
            json,
            r#"{"class":"fast","list":["a",1],"on":true,"replicas":3,"text":"3"}"#
        );
        assert_eq!(of(&[]).unwrap(), "{}");
    }

    #[test]
    fn a_config_field_that_is_none_is_refused_with_the_remedy() {
        assert!(of(&["class"]).unwrap_err().contains("has no `=`"));
        assert!(of(&["a=1", "a=2"]).unwrap_err().contains("given twice"));
        assert!(of(&["a=[1"]).unwrap_err().contains("is not YAML"));
    }
}
