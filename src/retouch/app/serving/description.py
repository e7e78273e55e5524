"""The API as OpenAPI tells it, made from the task table like everything else."""

from __future__ import annotations

from typing import Any

import retouch
from retouch.app.serving import schemas
from retouch.app.serving.problems import MEDIA_TYPE
from retouch.app.serving.uploads import FORMATS
from retouch.tasks import TASKS
from retouch.tasks.base import Task

SMALLEST_SIDE, LARGEST_SIDE = 16, 16384
"""What a caller may ask the longer side of a preview to be."""

_ID = {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"}
_BINARY = {"type": "string", "format": "binary"}
_MOMENT = {"type": "string", "format": "date-time"}
_COUNT = {"type": "integer", "minimum": 0}
_REPLIES = {
    400: "the request cannot be read",
    401: "the token is missing or wrong",
    403: "a page of another site asks",
    404: "there is no such thing, or it has expired",
    405: "this address does not take this method",
    408: "the request came too slowly",
    409: "not in this state",
    413: "too large",
    421: "the Host header names another server",
    422: "a wrong option, or not a usable picture",
    429: "the queue is full; see Retry-After",
    500: "the server's own fault, or a lost worker",
    503: "shutting down",
    507: "the server's folder is full",
}
_ALWAYS = (400, 401, 403, 405, 408, 413, 421, 500)


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Retouch",
            "version": retouch.__version__,
            "summary": "Restore, translate and imagine pictures with deep networks.",
            "description": "Send a picture with POST /api/v1/files, start POST /api/v1/jobs, follow its events, fetch "
            "its result; or send a small picture to POST /api/v1/{task} and get the result as the answer. Errors are "
            "problem documents (RFC 9457). A server that listens to other machines wants a token: 'Authorization: "
            "Bearer TOKEN'.",
        },
        "paths": _service_paths() | _file_paths() | _job_paths() | {f"/api/v1/{n}": _task(t) for n, t in TASKS.items()},
        "components": {
            "schemas": _components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _service_paths() -> dict[str, Any]:
    state = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    return {
        "/healthz": {"get": _operation("health", "Whether the server lives", {200: _json(state)})},
        "/readyz": {"get": _operation("ready", "Whether it takes jobs", {200: _json(state)}, 503)},
        "/metrics": {
            "get": _operation("metrics", "Numbers for Prometheus", {200: _content({"text/plain": {"type": "string"}})})
        },
        "/api/v1/tasks": {
            "get": _operation(
                "tasks",
                "The tasks, their methods with the time they take, and their options as JSON Schema",
                {200: _json(_ref("Tasks"))},
            )
        },
        "/api/v1/openapi.json": {
            "get": _operation("openapi", "This document", {200: _json({"type": "object"})}),
        },
    }


def _file_paths() -> dict[str, Any]:
    picture = {
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": _BINARY}, "required": ["file"]},
        },
    }
    created = {**_json(_ref("File")), "headers": {"Location": {"schema": {"type": "string"}}}}
    return {
        "/api/v1/files": {
            "post": {
                **_operation(
                    "send", "Send a picture; it is decoded once, and kept for an hour", {201: created}, 422, 507
                ),
                "parameters": [_name_header()],
                "requestBody": {"required": True, "content": picture},
            }
        },
        "/api/v1/files/{id}/preview": {
            "parameters": [_id()],
            "get": {
                **_operation("preview", "The picture for a screen, upright", {200: _pictures("jpeg", "png")}, 404, 422),
                "parameters": [_size()],
            },
        },
        "/api/v1/files/{id}": {
            "parameters": [_id()],
            "delete": _operation("forget", "Delete a picture", {204: {"description": "gone"}}, 404, 409),
        },
    }


def _job_paths() -> dict[str, Any]:
    tasks = {"type": "string", "enum": list(TASKS)}
    formats = {"type": ["string", "null"], "enum": [*FORMATS, None]}
    by_id = {
        "type": "object",
        "properties": {
            "task": tasks,
            "file": _ID,
            "mask": {"type": ["string", "null"], "pattern": _ID["pattern"]},
            "options": {"type": ["object", "null"], "description": "as GET /api/v1/tasks describes those of the task"},
            "format": {**formats, "description": "of the result; the picture's own by default"},
        },
        "required": ["task", "file"],
        "additionalProperties": False,
    }
    form = {
        "type": "object",
        "properties": {
            "task": tasks,
            "options": {"type": "string", "description": "JSON"},
            "format": {"type": "string", "enum": list(FORMATS)},
            "file": {**_BINARY, "description": "the picture, or as text the id of one sent before"},
            "mask": {**_BINARY, "description": "likewise"},
        },
        "required": ["task", "file"],
        "additionalProperties": False,
    }
    job = _json(_ref("Job"))
    accepted = {**job, "headers": {"Location": {"schema": {"type": "string"}}}}
    content = {"application/json": {"schema": by_id}, "multipart/form-data": {"schema": form}}
    return {
        "/api/v1/jobs": {
            "post": {
                **_operation("start", "Start a job", {202: accepted}, 404, 422, 429, 503, 507),
                "requestBody": {"required": True, "content": content},
            }
        },
        "/api/v1/jobs/{id}": {
            "parameters": [_id()],
            "get": _operation("job", "How a job stands", {200: job}, 404),
            "delete": _operation(
                "cancel",
                "Cancel a job (what an iterative method has by then stays as its result), or delete one that has ended",
                {202: job, 204: {"description": "deleted"}},
                404,
            ),
        },
        "/api/v1/jobs/{id}/events": {
            "parameters": [_id()],
            "get": _operation(
                "events",
                "Server-sent events until the job ends: state, progress and preview, each with the job as its data",
                {
                    200: _content({"text/event-stream": {"type": "string"}}),
                    204: {"description": "it has ended, and the Last-Event-ID says that this is known"},
                },
                404,
            ),
        },
        "/api/v1/jobs/{id}/preview": {
            "parameters": [_id()],
            "get": {
                **_operation("work", "The work as it stands", {200: _pictures("jpeg", "png")}, 404, 422),
                "parameters": [_size()],
            },
        },
        "/api/v1/jobs/{id}/result": {
            "parameters": [_id()],
            "get": {
                **_operation(
                    "result",
                    "The result, in the picture's own format with its metadata; with a size, a preview of it",
                    {200: _pictures(*FORMATS)},
                    404,
                    409,
                    422,
                ),
                "parameters": [_size()],
            },
        },
    }


def _task(task: Task) -> dict[str, Any]:
    """``POST /api/v1/{task}``: a small picture there and back. Second pictures are named by the ids of files."""
    schema = schemas.options_schema(task)
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": name in schema["required"],
            "description": option["description"],
            "schema": _for_query(option),
        }
        for name, option in schema["properties"].items()
    ]
    parameters.append({"name": "format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS)}})
    mask = schemas.mask_of(task)
    parts = {"file": _BINARY} | ({} if mask == "none" else {"mask": _BINARY})
    required = ["file", "mask"] if mask == "required" else ["file"]
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": {"type": "object", "properties": parts, "required": required}}
    }
    if mask != "required":
        content = {"application/octet-stream": {"schema": _BINARY}} | content
    replies = {200: {**_pictures(*FORMATS), "headers": {"X-Retouch-Notes": {"schema": {"type": "string"}}}}}
    return {
        "post": {
            **_operation(task.name, task.help.capitalize(), replies, 404, 422, 429, 503, 507),
            "parameters": [*parameters, _name_header()],
            "requestBody": {"required": True, "content": content},
        }
    }


def _for_query(option: dict[str, Any]) -> dict[str, Any]:
    """The schema of an option in a query, where there is no null: it is left out instead."""
    wanted = ("type", "enum", "minimum", "maximum", "default", "format")
    kept: dict[str, Any] = {key: option[key] for key in wanted if key in option}
    if isinstance(kept["type"], list):
        kept["type"] = kept["type"][0]
        kept.pop("default", None)
    if "enum" in kept:
        kept["enum"] = [word for word in kept["enum"] if word is not None]
    return kept


# -- parts


def _operation(name: str, summary: str, replies: dict[int, Any], *problems: int) -> dict[str, Any]:
    told = {str(status): {"description": "", **reply} for status, reply in replies.items()}
    for status in sorted({*problems, *_ALWAYS}):
        told[str(status)] = {"description": _REPLIES[status], "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}
    return {"operationId": name, "summary": summary, "responses": told}


def _content(types: dict[str, Any]) -> dict[str, Any]:
    return {"description": "", "content": {name: {"schema": schema} for name, schema in types.items()}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return _content({"application/json": schema})


def _pictures(*formats: str) -> dict[str, Any]:
    return _content({f"image/{name}": _BINARY for name in formats})


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _id() -> dict[str, Any]:
    return {"name": "id", "in": "path", "required": True, "schema": _ID}


def _size() -> dict[str, Any]:
    schema = {"type": "integer", "minimum": SMALLEST_SIDE, "maximum": LARGEST_SIDE}
    return {"name": "size", "in": "query", "description": "the longer side, at most", "schema": schema}


def _name_header() -> dict[str, Any]:
    about = "the picture's name, percent-encoded; of a plain body"
    return {"name": "X-File-Name", "in": "header", "description": about, "schema": {"type": "string"}}


def _components() -> dict[str, Any]:
    text, number, flag = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
    maybe_text, maybe_number = {"type": ["string", "null"]}, {"type": ["number", "null"]}
    progress = _closed({"index": _COUNT, "total": _COUNT, "seconds_left": maybe_number, "note": maybe_text})
    result = _closed({"width": _COUNT, "height": _COUNT, "format": text, "bytes": _COUNT, "name": text})
    method = _closed(
        {
            "name": text,
            "summary": text,
            "cost": text,
            "prefer": text,
            "seconds_per_megapixel": number,
            "spare_seconds": number,
            "iterative": flag,
            "default": flag,
            "unavailable": maybe_text,
        }
    )
    task = _closed(
        {
            "name": text,
            "title": text,
            "summary": text,
            "mask": {"type": "string", "enum": ["none", "optional", "required"]},
            "methods": {"type": "array", "items": method},
            "schema": {"type": "object"},
        }
    )
    problem = {"type": text, "title": text, "status": {"type": "integer"}, "detail": text}
    return {
        "Problem": {
            "type": "object",
            "properties": {**problem, "option": text},
            "required": list(problem),
        },
        "File": _closed(
            {
                "id": _ID,
                "name": text,
                "width": _COUNT,
                "height": _COUNT,
                "format": text,
                "bytes": _COUNT,
                "has_alpha": flag,
                "expires": _MOMENT,
            }
        ),
        "Job": _closed(
            {
                "id": _ID,
                "task": {"type": "string", "enum": list(TASKS)},
                "file": _ID,
                "method": maybe_text,
                "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]},
                "position": {"type": ["integer", "null"]},
                "progress": {"anyOf": [progress, {"type": "null"}]},
                "previews": _COUNT,
                "notes": {"type": "array", "items": text},
                "result": {"anyOf": [result, {"type": "null"}]},
                "problem": {"anyOf": [_ref("Problem"), {"type": "null"}]},
                "created": _MOMENT,
                "expires": {**_MOMENT, "type": ["string", "null"]},
            }
        ),
        "Tasks": _closed(
            {
                "version": text,
                "device": text,
                "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
                "tasks": {"type": "array", "items": task},
            }
        ),
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object of exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
