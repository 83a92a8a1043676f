"""Adapters: the code that makes a backend a device. `resolve` turns a name such as `torch:cpu` into one."""
