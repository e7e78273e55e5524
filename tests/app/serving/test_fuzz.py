"""The API against requests made up from its own description: nothing may be answered by a 500, nor unlike described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from .conftest import QUICK, Running, picture, running

schemathesis = pytest.importorskip("schemathesis", reason="pip install 'retouch[dev]'")

from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

from retouch.app.serving.description import describe  # noqa: E402

_SCHEMA = schemathesis.openapi.from_dict(describe())
_LEFT_OUT = ("/metrics", "/api/v1/jobs/{id}/events")  # text, and a stream


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(QUICK) as server:
        with server.client() as client:
            client.post("/api/v1/files", content=picture())
        yield server


@_SCHEMA.exclude(path=list(_LEFT_OUT)).parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_breaks(case: schemathesis.Case, server: Running) -> None:
    # that a description is heeded is no promise of success: options exclude each other, and bytes are no pictures
    case.call_and_validate(base_url=server.url, timeout=60, excluded_checks=[positive_data_acceptance])
