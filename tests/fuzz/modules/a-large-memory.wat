(component (core module $m (memory 20000)) (core instance (instantiate $m)))
