//! What attacks a host: parents of the guest `hostile`, modules that cost much, and the files of their Handlers.

use std::path::Path;

use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::objects::kinds::HANDLER;
use crate::objects::puppet;

/// A component of very many functions: about a megabyte, which takes hundreds of megabytes to compile.
pub fn compile_bomb() -> Vec<u8> {
    let function = "(func (param i32) (result i32) local.get 0 i32.const 7 i32.mul)";
    let functions = function.repeat(100_000);
    let component = wat::parse_str(format!("(component (core module {functions}))"));
    component.unwrap_or_else(|error| panic!("the bomb is no component: {error}"))
}

/// Applies so many parents that name an attack and its size. Returns their names.
pub async fn attack(
    namespace: &Namespace,
    parents: usize,
    attack: &str,
    size: usize,
) -> Vec<String> {
    let names: Vec<String> = (0..parents).map(|index| format!("p-{index}")).collect();
    for name in &names {
        let spec = json!({"attack": attack, "size": size});
        let applied = namespace.apply(&puppet(name, spec)).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    names
}

/// Writes the file of a Handler into a directory of Handlers.
pub fn write_handler(directory: &Path, name: &str, spec: &Value) {
    let handler = json!({
        "apiVersion": HANDLER.0, "kind": HANDLER.1, "metadata": {"name": name}, "spec": spec,
    });
    let path = directory.join(format!("{name}.yaml"));
    std::fs::write(&path, handler.to_string())
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
