"""One declaration makes an endpoint."""

from __future__ import annotations

import pytest

from apollo_sandbox.endpoints import ENDPOINTS
from apollo_sandbox.routing import get, get_list


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("things", "things/index"),
        ("things/{id}", "things/show"),
        ("things/search", "things/search"),
        ("things/{id}/parts", "things/parts"),
    ],
)
def test_an_action_is_named_after_its_path(path: str, action: str) -> None:
    endpoint = get(path)(lambda _: {})
    assert (endpoint.verbs, endpoint.path, endpoint.action, endpoint.oauth) == (("GET",), path, action, True)


def test_a_list_tells_its_rows() -> None:
    endpoint = get_list("things", stream="things")(lambda _: [{"id": "1"}])
    assert endpoint.rows.keys() == {"things"}


def test_no_two_endpoints_share_an_action_or_a_stream() -> None:
    actions = [one.action for one in ENDPOINTS]
    streams = [stream for one in ENDPOINTS for stream in one.rows]
    assert len({*actions}) == len(actions)
    assert len({*streams}) == len(streams)
