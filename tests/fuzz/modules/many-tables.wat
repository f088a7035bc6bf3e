(component (core module $m (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)) (core instance (instantiate $m)))
