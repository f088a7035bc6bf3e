(component (import "handler-host:handler/log@0.9.0" (instance)))
