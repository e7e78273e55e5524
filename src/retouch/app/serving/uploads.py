"""What requests carry: pictures as plain bodies or in multipart forms, and jobs as JSON or forms."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from retouch.app.serving import schemas
from retouch.app.serving.decoder import Decoder
from retouch.app.serving.problems import Problem
from retouch.app.serving.store import Store, StoredFile, safe_name
from retouch.tasks.base import Task

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.datastructures import FormData, UploadFile

FORMATS = ("png", "jpeg", "tiff", "webp", "avif", "bmp")
"""What a result may be written as."""

_CHUNK = 1 << 20
_LARGEST_JSON = 1 << 16


@dataclass
class JobRequest:
    """A job as asked for: its pictures are in the store already. ``own``: those that came with the request itself."""

    task: Task
    file: StoredFile
    mask: StoredFile | None = None
    options: dict[str, Any] = field(default_factory=dict)
    format: str | None = None
    own: list[StoredFile] = field(default_factory=list)

    def discard(self, store: Store) -> None:
        """Delete what came with the request, where no job needs it."""
        for stored in self.own:
            if stored.id in store.files and not stored.users:
                store.remove(stored.id)


async def read_upload(request: Request, store: Store, decoder: Decoder) -> StoredFile:
    """The one picture of a request, checked and kept. Raises ``Problem``."""
    if _is_form(request):
        async with _form(request) as form:
            return await _keep_part(form, "file", store, decoder)
    return await _keep(_pieces(request), _header_name(request), store, decoder)


async def read_picture(request: Request, task: Task, store: Store, decoder: Decoder) -> JobRequest:
    """The request ``POST /api/v1/{task}?option=value``: a plain body, or a form with ``file`` and ``mask``."""
    query = dict(request.query_params)
    wanted = _format(query.pop("format", None))
    options = schemas.values_from_query(task, query)
    own: list[StoredFile] = []
    try:
        if _is_form(request):
            async with _form(request) as form:
                own.append(await _keep_part(form, "file", store, decoder))
                if "mask" in form:
                    own.append(await _keep_part(form, "mask", store, decoder))
        else:
            own.append(await _keep(_pieces(request), _header_name(request), store, decoder))
    except Problem:
        _discard(own, store)
        raise
    return JobRequest(task, own[0], own[1] if len(own) > 1 else None, options, wanted, own)


async def read_job(request: Request, store: Store, decoder: Decoder) -> JobRequest:
    """The request ``POST /api/v1/jobs``: JSON with ids of files, or a form with the files themselves."""
    if not _is_form(request):
        told = await _json(request)
        _only(told, ("task", "file", "mask", "options", "format"))
        task = schemas.find_task(told.get("task"))
        file = store.get(_id(told, "file"))
        mask = store.get(_id(told, "mask")) if told.get("mask") is not None else None
        return JobRequest(task, file, mask, _object(told.get("options")), _format(told.get("format")))
    async with _form(request) as form:
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        _only(dict.fromkeys(form), ("task", "file", "mask", "options", "format"))
        task = schemas.find_task(texts.get("task"))
        options, wanted = _object(_parsed(texts.get("options") or "{}")), _format(texts.get("format") or None)
        own: list[StoredFile] = []
        pictures: dict[str, StoredFile] = {}
        try:
            for name in ("file", "mask"):
                if name in texts:  # the id of one that was sent before
                    pictures[name] = store.get(texts[name])
                elif name in form or name == "file":
                    pictures[name] = await _keep_part(form, name, store, decoder)
                    own.append(pictures[name])
        except Problem:
            _discard(own, store)
            raise
        return JobRequest(task, pictures["file"], pictures.get("mask"), options, wanted, own)


def _discard(own: list[StoredFile], store: Store) -> None:
    for stored in own:
        store.remove(stored.id)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


class _Form:
    """The parsed form of a request, its temporary files gone at the end of the block."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def __aenter__(self) -> FormData:
        from starlette.exceptions import HTTPException

        try:
            self._form = await self._request.form(max_files=2, max_fields=8, max_part_size=_LARGEST_JSON)
        except HTTPException as error:
            raise Problem(400, f"the form cannot be read: {error.detail}") from None
        return self._form

    async def __aexit__(self, *error: object) -> None:
        await self._form.close()


def _form(request: Request) -> _Form:
    return _Form(request)


async def _keep_part(form: FormData, name: str, store: Store, decoder: Decoder) -> StoredFile:
    part = form.get(name)
    if part is None or isinstance(part, str):
        raise Problem(422, f"the form holds no file '{name}'", option=name)
    return await _keep(_parts(part), safe_name(part.filename), store, decoder)


async def _parts(part: UploadFile) -> AsyncIterator[bytes]:
    while piece := await part.read(_CHUNK):
        yield piece


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    from starlette.requests import ClientDisconnect

    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise Problem(400, "the connection ended before the request did") from None


def _header_name(request: Request) -> str:
    return safe_name(unquote(request.headers.get("x-file-name", ""), errors="replace"))


async def _keep(pieces: AsyncIterator[bytes], name: str, store: Store, decoder: Decoder) -> StoredFile:
    """Write a picture to the store, decode it once, and keep it if that works."""
    path, size = store.new_path(), 0
    try:
        with path.open("xb") as file:
            async for piece in pieces:
                store.take(len(piece))
                size += len(piece)
                file.write(piece)
        if not size:
            raise Problem(400, "there is no picture in the request: its body is empty")
        told = await decoder.read(path, name, path.with_suffix(".preview"))
        return store.add(path, name, size, told)
    except OSError as error:
        _drop(path, size, store)
        raise Problem(507, f"cannot keep the file: {os.strerror(error.errno or 5)}") from None
    except BaseException:
        _drop(path, size, store)
        raise


def _drop(path: Path, size: int, store: Store) -> None:
    store.give(size)
    for left in (path, path.with_suffix(".preview")):
        left.unlink(missing_ok=True)


# -- JSON


async def _json(request: Request) -> dict[str, Any]:
    text = b""
    async for piece in _pieces(request):
        text += piece
        if len(text) > _LARGEST_JSON:
            raise Problem(413, "the JSON of a job is larger than 64 kB")
    try:
        return _object(_parsed(text.decode()))
    except UnicodeDecodeError:
        raise Problem(400, "the request is not JSON in UTF-8") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "this is not JSON") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Problem(422, "a JSON object is wanted: {...}")
    return value


def _only(given: dict[str, Any], known: tuple[str, ...]) -> None:
    from retouch.image.errors import unknown

    for name in given:
        if name not in known:
            raise Problem(422, unknown("member", name[:60], known), option=name[:60])


def _id(told: dict[str, Any], name: str) -> str:
    given = told.get(name)
    if not isinstance(given, str):
        raise Problem(422, f"{name} is the id of a file that POST /api/v1/files has given", option=name)
    return given


def _format(name: Any) -> str | None:
    from retouch.image.errors import unknown

    if name is None:
        return None
    if not isinstance(name, str) or name.lower() not in FORMATS:
        raise Problem(422, unknown("format", str(name)[:60], FORMATS), option="format")
    return name.lower()
