(component (component $c (core module $m (func (export "f"))) (core instance (instantiate $m))) (instance (instantiate $c)) (instance (instantiate $c)))
