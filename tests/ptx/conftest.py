"""The PTX device, for the tests that need it."""

import pytest
from ptx.session import PtxSession
from ptx.stand_in import PtxDevice


@pytest.fixture
def session(pytestconfig: pytest.Config) -> PtxSession:
    """The session of ``pytest --ptx``."""
    found = pytestconfig.pluginmanager.get_plugin("ptx")
    if found is None:
        pytest.skip("needs the PTX device: pytest --ptx")
    assert isinstance(found, PtxSession)
    return found


@pytest.fixture
def ptx_device(session: PtxSession) -> PtxDevice:
    """The device in place."""
    assert session.device is not None
    return session.device
