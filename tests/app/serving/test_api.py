"""The API as its callers use it: files, jobs, events, results, and small pictures there and back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import PIL.Image
import pytest

from retouch.tasks import TASKS

from .conftest import Running, httpx, picture

_LATER = {"task": "denoise"}


def _send(client: httpx.Client, data: bytes | None = None, name: str = "photo.png") -> dict[str, Any]:
    answer = client.post("/api/v1/files", content=picture() if data is None else data, headers={"X-File-Name": name})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _events(client: httpx.Client, id: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    with client.stream("GET", f"/api/v1/jobs/{id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = number = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                number = value
            elif name == "data":
                yield kind, json.loads(value), number


# -- files


def test_a_file_is_told_upright_and_by_its_name(client: httpx.Client) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    data = picture(40, 20, "JPEG", exif=exif)
    told = _send(client, data, "My%20cat%20%E7%8C%AB.jpg")
    assert told.pop("id") != told.pop("expires")
    assert told == {
        "name": "My cat 猫.jpg",
        "width": 20,
        "height": 40,
        "format": "JPEG",
        "bytes": len(data),
        "has_alpha": False,
    }


def test_a_file_by_a_form(client: httpx.Client) -> None:
    told = client.post("/api/v1/files", files={"file": ("a.png", picture(5, 7), "image/png")}).json()
    assert (told["name"], told["width"], told["height"]) == ("a.png", 5, 7)


@pytest.mark.parametrize(
    ("size", "expected"), [(None, (1600, 800)), (100, (100, 50)), (5, (16, 8)), (9000, (2000, 1000))]
)
def test_previews_of_every_size(client: httpx.Client, size: int | None, expected: tuple[int, int]) -> None:
    told = _send(client, picture(2000, 1000, "JPEG"))
    query = {} if size is None else {"size": size}
    answer = client.get(f"/api/v1/files/{told['id']}/preview", params=query)
    assert answer.headers["content-type"] == "image/jpeg"
    assert PIL.Image.open(io.BytesIO(answer.content)).size == expected


def test_a_preview_keeps_the_alpha(client: httpx.Client) -> None:
    file = io.BytesIO()
    PIL.Image.new("LA", (9, 9), (200, 100)).save(file, "PNG")
    told = _send(client, file.getvalue())
    assert told["has_alpha"]
    answer = client.get(f"/api/v1/files/{told['id']}/preview")
    assert answer.headers["content-type"] == "image/png"
    assert PIL.Image.open(io.BytesIO(answer.content)).getpixel((0, 0)) == (200, 200, 200, 100)


@pytest.mark.parametrize("size", ["0", "-1", "many", "1e3", "99999999", "٣"])
def test_a_size_that_is_none(client: httpx.Client, size: str) -> None:
    told = _send(client)
    answer = client.get(f"/api/v1/files/{told['id']}/preview", params={"size": size})
    assert (answer.status_code, answer.json()["option"]) == (422, "size")


def test_a_deleted_file_is_gone(client: httpx.Client, shared: Running) -> None:
    taken, before = shared.server.store.taken, set(shared.server.store.folder.iterdir())
    told = _send(client)
    assert shared.server.store.taken > taken
    assert client.delete(f"/api/v1/files/{told['id']}").status_code == 204
    assert client.get(f"/api/v1/files/{told['id']}/preview").status_code == 404
    assert client.delete(f"/api/v1/files/{told['id']}").status_code == 404
    assert (shared.server.store.taken, set(shared.server.store.folder.iterdir())) == (taken, before)


# -- jobs


def test_a_job_from_file_to_result(client: httpx.Client, shared: Running) -> None:
    data = picture(kind="JPEG")
    file = _send(client, data, "holiday.jpeg")
    job = shared.job(client, task="denoise", file=file["id"], options={"sigma": 20, "effort": "quick"}, format="jpeg")
    assert (job["task"], job["file"], job["result"], job["problem"]) == ("denoise", file["id"], None, None)
    ended = shared.ended(client, job["id"])
    assert ended["state"] == "done"
    assert ended["notes"] == ["worked by the stand-in"]
    assert ended["previews"] == 3
    assert ended["progress"] == {"index": 3, "total": 3, "seconds_left": 0, "note": None}
    assert ended["result"] == {
        "width": 8, "height": 6, "format": "JPEG", "bytes": len(data), "name": "holiday-denoise.jpeg"
    }  # fmt: skip
    answer = client.get(f"/api/v1/jobs/{job['id']}/result")
    assert answer.content == data
    assert answer.headers["content-type"] == "image/jpeg"
    assert 'attachment; filename="holiday-denoise.jpeg"' in answer.headers["content-disposition"]
    assert answer.headers["x-retouch-notes"] == "worked by the stand-in"
    small = client.get(f"/api/v1/jobs/{job['id']}/result", params={"size": 16})
    assert PIL.Image.open(io.BytesIO(small.content)).size == (8, 6)
    assert "content-disposition" not in small.headers


def test_a_job_by_a_form(client: httpx.Client, shared: Running) -> None:
    files = {"file": ("a.png", picture(), "image/png"), "mask": ("m.png", picture(), "image/png")}
    form = {"task": "inpaint", "options": '{"method": "telea"}'}
    job = client.post("/api/v1/jobs", data=form, files=files).json()
    assert shared.ended(client, job["id"])["result"]["name"] == "a-inpaint.png"


def test_events_tell_all_until_the_end_and_a_browser_need_not_come_again(client: httpx.Client, shared: Running) -> None:
    job = shared.job(client, **_LATER, file=_send(client)["id"], options={"seed": 90001})
    seen: list[tuple[str, dict[str, Any], str]] = []
    asked = False
    for event in _events(client, job["id"]):
        seen.append(event)
        if event[1]["previews"] == 3 and not asked:  # once only: of a job that has ended it would be forgotten
            asked = client.delete(f"/api/v1/jobs/{job['id']}").status_code == 202
    kinds = [kind for kind, _, _ in seen]
    assert kinds[0] == "state"
    assert "preview" in kinds
    assert [told["state"] for _, told, _ in seen][-1] == "cancelled"
    assert [int(number) for _, _, number in seen] == sorted(int(number) for _, _, number in seen)
    assert [told["previews"] for _, told, _ in seen] == sorted(told["previews"] for _, told, _ in seen)
    again = list(_events(client, job["id"]))
    assert [(kind, told["state"]) for kind, told, _ in again] == [("state", "cancelled"), ("preview", "cancelled")]
    last = client.get(f"/api/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": seen[-1][2]})
    assert last.status_code == 204


def test_the_best_so_far_stays_when_an_iterative_job_is_cancelled(client: httpx.Client, shared: Running) -> None:
    data = picture()
    job = shared.job(client, **_LATER, file=_send(client, data)["id"], options={"seed": 90001})
    assert client.get(f"/api/v1/jobs/{job['id']}/result").status_code == 409
    shared.until(lambda: client.get(f"/api/v1/jobs/{job['id']}").json()["previews"])
    shown = client.get(f"/api/v1/jobs/{job['id']}/preview")
    assert (shown.content, shown.headers["content-type"]) == (data, "image/png")
    assert client.delete(f"/api/v1/jobs/{job['id']}").status_code == 202
    ended = shared.ended(client, job["id"])
    assert (ended["state"], ended["result"]["bytes"]) == ("cancelled", len(data))
    assert client.get(f"/api/v1/jobs/{job['id']}/result").content == data
    assert client.delete(f"/api/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/v1/jobs/{job['id']}").status_code == 404


def test_what_waits_has_its_place_and_can_be_cancelled(client: httpx.Client, shared: Running) -> None:
    file = _send(client)["id"]
    jobs = [shared.job(client, **_LATER, file=file, options={"seed": 90001}) for _ in range(3)]
    shared.until(lambda: client.get(f"/api/v1/jobs/{jobs[0]['id']}").json()["state"] == "running")
    assert client.get(f"/api/v1/jobs/{jobs[2]['id']}").json()["position"] == 2
    assert client.delete(f"/api/v1/files/{file}").status_code == 409
    assert client.delete(f"/api/v1/jobs/{jobs[1]['id']}").json()["state"] == "cancelled"
    assert client.get(f"/api/v1/jobs/{jobs[2]['id']}").json()["position"] == 1
    assert client.get(f"/api/v1/jobs/{jobs[1]['id']}/result").status_code == 404
    assert client.get(f"/api/v1/jobs/{jobs[1]['id']}/preview").status_code == 404
    for job in (jobs[0], jobs[2]):
        client.delete(f"/api/v1/jobs/{job['id']}")
        assert shared.ended(client, job["id"])["state"] == "cancelled"


def test_a_job_that_fails_says_why(client: httpx.Client, shared: Running) -> None:
    job = shared.job(client, **_LATER, file=_send(client)["id"], options={"seed": 90005})
    problem = shared.ended(client, job["id"])["problem"]
    assert (problem["status"], problem["detail"], problem["option"]) == (422, "strength is too strong", "strength")
    answer = client.get(f"/api/v1/jobs/{job['id']}/result")
    assert (answer.status_code, "strength is too strong" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("body", "status", "option"),
    [
        ({"task": "denoize"}, 404, None),
        ({"task": ["denoise"]}, 404, None),
        ({"task": "denoise", "file": "x" * 22}, 404, None),
        ({"task": "denoise", "file": 7}, 422, "file"),
        ({"task": "denoise", "colour": 1}, 422, "colour"),
        ({"task": "denoise", "options": {"sigma": 300}}, 422, "sigma"),
        ({"task": "denoise", "options": {"sigma": "strong"}}, 422, "sigma"),
        ({"task": "denoise", "options": {"sigma": True}}, 422, "sigma"),
        ({"task": "denoise", "options": {"seed": 1.5}}, 422, "seed"),
        ({"task": "denoise", "options": {"seed": None}}, 422, "seed"),
        ({"task": "denoise", "options": {"sigma": 10**400}}, 422, "sigma"),
        ({"task": "denoise", "options": {"sgima": 3}}, 422, "sgima"),
        ({"task": "denoise", "options": {"method": "nml"}}, 422, "method"),
        ({"task": "denoise", "options": {"tile": "3"}}, 422, "tile"),
        ({"task": "denoise", "options": {"effort": "much"}}, 422, "effort"),
        ({"task": "denoise", "options": ["sigma"]}, 422, None),
        ({"task": "denoise", "format": "exe"}, 422, "format"),
        ({"task": "inpaint"}, 422, "mask"),
        ({"task": "relight"}, 422, "flash"),
        ({"task": "relight", "options": {"flash": 3}}, 422, "flash"),
        ({"task": "relight", "options": {"flash": "/etc/passwd"}}, 404, None),
        ({"task": "degrade"}, 422, "recipe"),
        ({"task": "deblur", "options": {"kernel": "gaussian:0"}}, 422, "kernel"),
        ({"task": "dream", "options": {"network": "vgg99"}}, 422, "network"),
        ({"task": "denoise", "options": {"state": "/tmp/state"}}, 422, "state"),
        ({"task": "denoise", "options": {"device": "cuda"}}, 422, "device"),
        ({"task": "upscale", "options": {"model": "/etc/passwd"}}, 422, "model"),
        ({"task": "upscale", "options": {"model": "../models/weights/unet-restore.safetensors"}}, 422, "model"),
        ({"task": "degrade", "options": {"recipe": "/etc/passwd"}}, 422, "recipe"),
    ],
)  # fmt: skip
def test_what_a_job_may_not_be(client: httpx.Client, body: dict[str, Any], status: int, option: str | None) -> None:
    answer = client.post("/api/v1/jobs", json={"file": _send(client)["id"], **body})
    problem = answer.json()
    assert (answer.status_code, problem.get("option")) == (status, option), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert "--" not in problem["detail"]
    assert "Traceback" not in answer.text


def test_a_mask_must_fit_and_be_wanted(client: httpx.Client) -> None:
    file, mask = _send(client)["id"], _send(client, picture(9, 9))["id"]
    for task, words in (("inpaint", "one size"), ("denoise", "one size")):
        answer = client.post("/api/v1/jobs", json={"task": task, "file": file, "mask": mask})
        assert (answer.status_code, answer.json()["option"]) == (422, "mask")
        assert words in answer.json()["detail"]
    answer = client.post("/api/v1/jobs", json={"task": "denoise", "file": file, "mask": file})
    assert (answer.status_code, answer.json()["detail"]) == (422, "denoise takes no mask")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"nul", b'{"task": NaN}', b"\xff\xfe", b"[" * 50_000, b" " * 70_000]
)
def test_json_that_is_none(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 404, 413, 422)
    assert answer.json()["detail"]


def test_jobs_and_files_expire(serve: Callable[..., Running]) -> None:
    running = serve(keep=0.4)
    with running.client() as client:
        file = _send(client)["id"]
        job = running.ended(client, running.job(client, **_LATER, file=file)["id"])
        running.until(lambda: not running.server.store.files and not running.server.store.taken)
        assert client.get(f"/api/v1/jobs/{job['id']}").status_code == 404
        assert client.get(f"/api/v1/files/{file}/preview").status_code == 404
        assert list(running.server.store.folder.iterdir()) == []


# -- there and back


def test_a_small_picture_there_and_back(client: httpx.Client, shared: Running) -> None:
    before = (len(shared.server.store.files), len(shared.server.jobs._jobs))
    data = picture()
    answer = client.post("/api/v1/denoise", content=data, params={"sigma": 12.5, "note": "false"})
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-retouch-notes"] == "worked by the stand-in"
    assert "picture-denoise.png" in answer.headers["content-disposition"]
    assert (len(shared.server.store.files), len(shared.server.jobs._jobs)) == before


def test_there_and_back_with_a_mask(client: httpx.Client) -> None:
    files = {"file": ("a.png", picture(), "image/png"), "mask": ("m.png", picture(), "image/png")}
    assert client.post("/api/v1/inpaint?method=telea", files=files).status_code == 200
    problem = client.post("/api/v1/inpaint", content=picture()).json()
    assert (problem["status"], problem["option"]) == (422, "mask")


def test_a_large_picture_is_sent_to_the_jobs(serve: Callable[..., Running]) -> None:
    running = serve(direct_pixels=40)
    with running.client() as client:
        answer = client.post("/api/v1/denoise", content=picture())
        assert answer.status_code == 413
        assert "/api/v1/jobs" in answer.json()["detail"]
        assert not running.server.store.files


@pytest.mark.parametrize(
    ("query", "status", "option"),
    [("sigma=300", 422, "sigma"), ("sigma=much", 422, "sigma"), ("note=maybe", 422, "note"), ("hello=1", 422, "hello"),
     ("format=exe", 422, "format"), ("seed=90005", 422, "strength")],
)  # fmt: skip
def test_there_and_not_back(client: httpx.Client, query: str, status: int, option: str) -> None:
    answer = client.post(f"/api/v1/denoise?{query}", content=picture())
    assert (answer.status_code, answer.json()["option"]) == (status, option)


def test_unknown_addresses(client: httpx.Client) -> None:
    answer = client.post("/api/v1/denoize", content=b"")
    assert (answer.status_code, "'denoise'" in answer.json()["detail"]) == (404, True)
    for method, path, status in (("GET", "/nothing", 404), ("PUT", "/api/v1/files", 405), ("GET", "/page/../x", 404)):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


# -- the tables


def test_every_task_is_told(client: httpx.Client) -> None:
    told = client.get("/api/v1/tasks").json()
    assert [task["name"] for task in told["tasks"]] == list(TASKS)
    assert told["limits"] == {"upload_bytes": 64 << 20, "pixels": 10**8, "direct_pixels": 2 * 10**6, "queue": 32}
    assert told["device"] in ("cpu", "cuda", "mps")


def test_service(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post("/api/v1/denoise", content=picture())
    lines = client.get("/metrics").text.splitlines()
    assert any(line.startswith("retouch_jobs_total{") and 'task="denoise"' in line for line in lines)
    assert 'retouch_request_seconds_bucket{route="/healthz",le="+Inf"} ' in "\n".join(lines)
    assert "retouch_jobs_waiting 0" in lines
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["retouch_memory_bytes"]) > 1e6


def test_logs_are_json_and_hold_no_query(client: httpx.Client, shared: Running) -> None:
    client.get("/healthz?token=secret", headers={"X-Request-Id": "my-id.1"})
    line = shared.until(lambda: [line for line in shared.log if line.get("request") == "my-id.1"])[0]
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", "/healthz", 200)
    assert "secret" not in shared.written.getvalue()
    answer = client.get("/healthz", headers={"X-Request-Id": "bad id {}"})
    assert answer.headers["x-request-id"] != "bad id {}"
    file = _send(client)["id"]
    answer = client.post("/api/v1/jobs", json={"task": "denoise", "file": file})
    ended = shared.until(lambda: [line for line in shared.log if line.get("job") == answer.json()["id"]][1:])
    assert ended[0]["request"] == answer.headers["x-request-id"]


def test_headers_of_every_answer(client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/nothing", "/api/v1/tasks"):
        headers = client.get(path).headers
        assert "default-src 'self'; img-src 'self' blob: data:" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control-")]
        assert "server" not in headers


def test_the_page_and_its_files(serve: Callable[..., Running], tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text("<title>Retouch</title>")
    (tmp_path / "app.js").write_text("export {}")
    with serve(page=tmp_path).client() as client:
        page, script = client.get("/"), client.get("/page/app.js")
        assert page.headers["content-type"].startswith("text/html")
        assert script.headers["content-type"].startswith("text/javascript")
        assert page.headers["cache-control"] == script.headers["cache-control"] == "no-cache"
        assert client.get("/page/%2e%2e/%2e%2e/pyproject.toml").status_code == 404
