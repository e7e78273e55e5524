"""What goes wrong, as HTTP tells it: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"
_FLAG = re.compile(r"--([a-z][a-z0-9-]*)")


class Problem(Exception):
    """A request that gets no result: HTTP ``status``, one line of ``detail``, and the ``option`` that was wrong.

    ``headers``: of the answer, such as Retry-After. ``title`` is the status in words where it is not given.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        option: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.option = status, detail, option
        self.title = title or HTTPStatus(status).phrase
        self.headers = dict(headers or {})
        self.more = more

    def as_json(self) -> dict[str, Any]:
        """The members of the problem document."""
        told: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        told["detail"] = self.detail
        if self.option is not None:
            told["option"] = self.option
        return told | self.more


def in_http_words(text: str) -> str:
    """A message made for the command line: its flags become options, '--style-weight' is 'style_weight'."""
    return _FLAG.sub(lambda flag: flag[1].replace("-", "_"), text)


def option_in(text: str, known: Mapping[str, object]) -> str | None:
    """The option that a message of the command line is about: the first flag in it that is one of ``known``."""
    for flag in _FLAG.finditer(text):
        name = flag[1].replace("-", "_")
        if name in known:
            return name
    return None
