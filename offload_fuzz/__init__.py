"""offload-fuzz: a plan must never change the answer."""

__version__ = "0.1.0"
