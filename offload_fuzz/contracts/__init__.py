"""Contracts that come with the package, as TOML files; read by `offload_fuzz.contract`."""
