"""What all tests share: the options that turn a skip into a failure, and a real device where there is one."""

from __future__ import annotations

from typing import Any

import pytest

from offload_fuzz.errors import MissingDevice


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-browser",
        action="store_true",
        help="a headless browser that is missing fails its tests, not skips them",
    )
    parser.addoption(
        "--require-backends", action="store_true", help="a real backend that is missing fails its tests, not skips them"
    )


@pytest.fixture(scope="session")
def torch_device(pytestconfig: pytest.Config) -> Any:
    """`torch:cpu`, or a skip where PyTorch is missing; with `--require-backends` a failure."""
    from offload_fuzz.adapters.torch import TorchDevice

    try:
        return TorchDevice("torch:cpu")
    except MissingDevice as error:
        if pytestconfig.getoption("--require-backends"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def jax_device(pytestconfig: pytest.Config) -> Any:
    """`jax:cpu:1`, or a skip where JAX is missing; with `--require-backends` a failure."""
    from offload_fuzz.adapters.jax import JaxDevice

    try:
        return JaxDevice("jax:cpu:1")
    except MissingDevice as error:
        if pytestconfig.getoption("--require-backends"):
            pytest.fail(str(error))
        pytest.skip(str(error))
