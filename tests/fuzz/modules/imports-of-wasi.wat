(component (import "wasi:cli/environment@0.2.3" (instance (export "get-arguments" (func (result (list string)))))))
