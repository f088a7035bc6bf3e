//! The guests of the suites: variants of `chameleon`, specs for `puppet`, and a module that takes much to compile.

pub mod puppets;
pub mod variants;

/// A component of very many functions: about a megabyte, which takes hundreds of megabytes to compile.
pub fn compile_bomb() -> Vec<u8> {
    let function = "(func (param i32) (result i32) local.get 0 i32.const 7 i32.mul)";
    let functions = function.repeat(100_000);
    let component = wat::parse_str(format!("(component (core module {functions}))"));
    component.unwrap_or_else(|error| panic!("the bomb is no component: {error}"))
}
