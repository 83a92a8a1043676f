"""`offload-fuzz conformance DEVICE`: whether a device keeps what its adapter declares, promise by promise."""
