"""What hostile or clumsy callers get: a clear problem, and the server goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from retouch.app.jobs import guess_device, placed
from retouch.app.serving import protocol
from retouch.app.serving.guard import allowed_names, host_name, is_loopback, session_of
from retouch.app.serving.settings import Settings

from .conftest import Running, httpx, picture

_TOKEN = "a-word-of-some-length"


def _problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    assert "\n" not in told["detail"]
    return told


def _raw(port: int, data: bytes, seconds: float = 30) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are; the status and the JSON of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        line.sendall(data)
        heard = b""
        while b"\r\n\r\n" not in heard or len(heard.partition(b"\r\n\r\n")[2]) < _length(heard):
            piece = line.recv(65536)
            if not piece:
                break
            heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def _length(heard: bytes) -> int:
    for line in heard.partition(b"\r\n\r\n")[0].lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


# -- who may ask


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:{port}", "evil@127.0.0.1", "",
             "192.168.1.9", "127.0.0.1:port", "[::1", "127.0.0.1/x"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/tasks"])
def test_a_foreign_host(client: httpx.Client, shared: Running, host: str, path: str) -> None:
    _problem(client.get(path, headers={"Host": host.format(port=shared.port)}), 421)


def test_no_host_or_two(shared: Running) -> None:
    assert _raw(shared.port, b"GET /healthz HTTP/1.0\r\n\r\n")[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_our_own_names(client: httpx.Client, shared: Running, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host.format(port=shared.port)}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:{port}", "file://", "http://", "x"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/v1/files"), ("GET", "/api/v1/tasks"), ("DELETE", "/api/v1/jobs/x")]
)
def test_a_foreign_origin(client: httpx.Client, shared: Running, origin: str, method: str, path: str) -> None:
    headers = {"Origin": origin.format(port=shared.port)}
    _problem(client.request(method, path, headers=headers), 403)


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
])  # fmt: skip
def test_a_foreign_page_without_origin(client: httpx.Client, headers: dict[str, str]) -> None:
    _problem(client.get("/api/v1/tasks", headers=headers), 403)


def test_our_own_page_and_a_link_to_it(client: httpx.Client, shared: Running) -> None:
    own = {"Origin": shared.url, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/v1/tasks", headers=own).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code != 403


def test_no_cors(client: httpx.Client, shared: Running) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/api/v1/files", headers=asked)
    _problem(answer, 403)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    from dataclasses import replace

    from .conftest import QUICK, running

    with running(replace(QUICK, token=_TOKEN)) as server:
        yield server


@pytest.mark.parametrize(
    "path", ["/", "/page/x", "/metrics", "/api/v1/tasks", "/nothing", "/?token=wrong", "/api/v1/tasks?token=" + _TOKEN]
)
@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {_TOKEN}"}, {"Authorization": "Bearer"},
    {"Cookie": "retouch-{port}=" + _TOKEN}, {"Cookie": "retouch-{port}="}, {"Authorization": "Bearer \xfc"},
    {"Cookie": '"=;\x01'},
])  # fmt: skip
def test_a_missing_token(guarded: Running, path: str, headers: dict[str, str]) -> None:
    headers = {name: value.format(port=guarded.port) for name, value in headers.items()}
    with guarded.client() as client:
        answer = client.get(path, headers=httpx.Headers(headers, encoding="latin-1"))
        _problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "set-cookie" not in answer.headers


def test_the_right_token(guarded: Running) -> None:
    with guarded.client() as client:
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        assert client.get("/api/v1/tasks", headers={"Authorization": f"Bearer {_TOKEN}"}).status_code == 200
        answer = client.get(f"/?token={_TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert _TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.get("/api/v1/tasks").status_code == 200  # the client kept the cookie
        _problem(client.get("/api/v1/tasks", headers={"Host": "evil.example"}), 421)
        _problem(client.get("/api/v1/tasks", headers={"Origin": "http://evil.example"}), 403)
    assert _TOKEN not in guarded.written.getvalue()


def test_names_and_addresses() -> None:
    assert host_name("Example.org:80") == "example.org"
    assert host_name("[fe80::1]:80") == "fe80::1"
    assert host_name("a:99999") is None
    assert is_loopback("127.8.9.1")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.org")
    assert "photos.lan" in allowed_names(Settings(host="0.0.0.0", hosts=("Photos.lan",), token=_TOKEN))
    assert session_of("a") != session_of("b")


# -- pictures that are none, or too much


def _bomb() -> bytes:
    """A PNG of 50,000 x 50,000 white pixels in a few kilobytes (its last rows are missing, but who would look)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\xff" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("path", ["/api/v1/files", "/api/v1/denoise"])
def test_a_decompression_bomb(client: httpx.Client, path: str) -> None:
    told = _problem(client.post(path, content=_bomb()), 422)
    assert "2500.0 million" in told["detail"]
    assert "limit of 100 million" in told["detail"]


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a", picture(64, 64, "JPEG")[:-200], picture(64, 64)[:200], b"%PDF-1.4",
             b"\xff\xd8\xff" * 9, b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", b"http://127.0.0.1/secret.png"],
    ids=["empty", "text", "gif", "truncated jpeg", "truncated png", "pdf", "bad jpeg", "svg", "url"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/v1/files", "/api/v1/denoise"])
def test_what_is_no_picture(client: httpx.Client, shared: Running, path: str, data: bytes) -> None:
    store = shared.server.store
    before = (store.taken, set(store.folder.iterdir()))
    told = _problem(client.post(path, content=data, headers={"X-File-Name": "holiday.jpg"}), 422 if data else 400)
    assert str(store.folder) not in json.dumps(told)
    assert (store.taken, set(store.folder.iterdir())) == before


def test_a_body_of_70_mb(client: httpx.Client, shared: Running) -> None:
    data, before = b"\0" * (70 << 20), shared.server.store.taken
    assert "64 MB" in _problem(client.post("/api/v1/files", content=data), 413)["detail"]
    assert shared.server.store.taken - before < 1 << 20, "they are not counted; results of earlier jobs may be"


def test_a_body_without_length(client: httpx.Client, shared: Running) -> None:
    def pieces(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b"\0" * (1 << 20)

    before = set(shared.server.store.folder.iterdir())
    _problem(client.post("/api/v1/files", content=pieces(70)), 413)
    _problem(client.post("/api/v1/denoise", content=pieces(70)), 413)
    assert set(shared.server.store.folder.iterdir()) == before
    answer = client.post("/api/v1/files", content=iter([picture()[:20], picture()[20:]]))
    assert answer.status_code == 201


def test_a_length_that_is_a_lie(shared: Running) -> None:
    head = b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"
    assert _raw(shared.port, head)[0] == 413
    status, told = _raw(shared.port, head.replace(b"999\r", b"999999999\r"))
    assert (status, told["status"]) == (400, 400)


def test_what_is_no_http(shared: Running) -> None:
    status, told = _raw(shared.port, b"\x16\x03\x01 hello\r\n\r\n")
    assert (status, told["detail"]) == (400, "this is not an HTTP request")


def test_a_body_that_never_comes(serve: Callable[..., Running]) -> None:
    running = serve(stall_seconds=0.3)
    head = b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nab"
    status, told = _raw(running.port, head)
    assert (status, told["status"]) == (408, 408)
    assert list(running.server.store.folder.iterdir()) == []


def test_a_body_that_drips(serve: Callable[..., Running]) -> None:
    running = serve(stall_seconds=5, body_seconds=0.5)
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as line:
        line.sendall(b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        running.until(lambda: _dripped(line))
        assert b" 408 " in line.recv(65536)


def _dripped(line: socket.socket) -> bool:
    """Send one more byte; whether an answer has come."""
    try:
        line.sendall(b"x")
    except OSError:
        return True
    line.setblocking(False)
    try:
        return bool(line.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        line.setblocking(True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("..%5C..%5Cboot.ini", "boot.ini"),
        ("%2Fetc%2Fshadow.png", "shadow.png"),
        ("..", "picture"),
        ("a%00b%0D%0ASet-Cookie:%20x.png", "ab_Set-Cookie_ x.png".replace("ab_", "ab")),
        (".hidden.png", "hidden.png"),
        ("x" * 500 + ".jpeg", "x" * 115 + ".jpeg"),
        ("%E2%80%AEgnp.exe", "gnp.exe"),
        ("%FF%FE", "\ufffd\ufffd"),
        ('a"b;c.png', "a_b;c.png"),
    ],
)
def test_a_path_in_the_file_name(client: httpx.Client, shared: Running, name: str, expected: str) -> None:
    told = client.post("/api/v1/files", content=picture(), headers={"X-File-Name": name}).json()
    assert told["name"] == expected
    job = shared.ended(client, shared.job(client, task="denoise", file=told["id"])["id"])
    answer = client.get(f"/api/v1/jobs/{job['id']}/result")
    assert answer.status_code == 200
    assert "\n" not in answer.headers["content-disposition"]
    assert "set-cookie" not in answer.headers
    for path in shared.server.store.folder.iterdir():
        assert expected.partition(".")[0] not in path.name


@pytest.mark.parametrize("id", ["..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a" * 5000, "%00", "x/../../y", "é"])
def test_ids_that_are_none(client: httpx.Client, id: str) -> None:
    for path in (
        f"/api/v1/files/{id}/preview",
        f"/api/v1/jobs/{id}",
        f"/api/v1/jobs/{id}/events",
        f"/api/v1/jobs/{id}/result",
    ):
        answer = client.get(path)
        assert answer.status_code in (400, 404, 405)
        assert answer.json()["detail"]


def test_forms_that_are_none(client: httpx.Client) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"--x\r\n",
        b"--y--",
        b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nno file\r\n--x--\r\n",
    ):
        for path in ("/api/v1/files", "/api/v1/denoise", "/api/v1/jobs"):
            assert client.post(path, content=body, headers=kind).status_code in (400, 404, 422)
    answer = client.post("/api/v1/files", content=picture(), headers={"Content-Type": "multipart/form-data"})
    _problem(answer, 400)
    files = [("file", (f"{number}.png", picture(), "image/png")) for number in range(5)]
    _problem(client.post("/api/v1/files", files=files), 400)


def test_a_full_store(serve: Callable[..., Running]) -> None:
    running = serve(store_bytes=len(picture()) * 2)
    with running.client() as client:
        for _ in range(2):
            assert client.post("/api/v1/files", content=picture()).status_code == 201
        answer = client.post("/api/v1/files", content=picture())
        _problem(answer, 507)
        assert answer.headers["retry-after"]
        assert running.server.store.taken == running.server.store.limit


# -- what hangs, what dies


def test_a_hanging_decoder(serve: Callable[..., Running]) -> None:
    running = serve(read_seconds=1.0)
    with running.client() as client, ThreadPoolExecutor() as pool:
        assert client.post("/api/v1/files", content=picture()).status_code == 201
        hanging = pool.submit(client.post, "/api/v1/files", content=picture(), headers={"X-File-Name": "hang.png"})
        assert client.get("/healthz").elapsed.total_seconds() < 1
        assert "more than 1 s" in _problem(hanging.result(), 422)["detail"]
        assert client.post("/api/v1/files", content=picture()).status_code == 201
        assert "retouch_readers_lost_total 1" in client.get("/metrics").text


def test_a_crashing_decoder(serve: Callable[..., Running]) -> None:
    running = serve()
    with running.client() as client:
        answer = client.post("/api/v1/files", content=picture(), headers={"X-File-Name": "crash.png"})
        assert "broke down" in _problem(answer, 422)["detail"]
        assert client.post("/api/v1/files", content=picture()).status_code == 201


@pytest.mark.parametrize(("seed", "words"), [(90002, "SIGKILL"), (90006, "stopped answering")])
def test_a_worker_that_dies_fails_its_job_and_no_other(serve: Callable[..., Running], seed: int, words: str) -> None:
    running = serve()
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        lost = running.job(client, task="denoise", file=file, options={"seed": seed})
        following = running.job(client, task="denoise", file=file)
        ended = running.ended(client, lost["id"])
        assert (ended["state"], ended["problem"]["status"]) == ("failed", 500)
        assert words in ended["problem"]["detail"]
        assert running.ended(client, following["id"])["state"] == "done"
        assert "retouch_workers_lost_total 1" in client.get("/metrics").text


def test_a_worker_killed_from_outside_in_mid_job(serve: Callable[..., Running]) -> None:
    running = serve()
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        lost = running.job(client, task="denoise", file=file, options={"seed": 90001})
        running.until(lambda: client.get(f"/api/v1/jobs/{lost['id']}").json()["previews"])
        worker = running.server.jobs.workers[0].child
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        assert running.ended(client, lost["id"])["state"] == "failed"
        again = running.job(client, task="denoise", file=file)
        assert running.ended(client, again["id"])["state"] == "done"


def test_a_worker_that_hangs_while_it_opens(serve: Callable[..., Running]) -> None:
    running = serve(read_seconds=1.5)
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        ended = running.ended(client, running.job(client, task="denoise", file=file, options={"seed": 90003})["id"])
        assert "decoding took more than 1.5 s" in ended["problem"]["detail"]
        assert running.ended(client, running.job(client, task="denoise", file=file)["id"])["state"] == "done"


def test_a_worker_that_heeds_no_cancel_is_ended(serve: Callable[..., Running]) -> None:
    running = serve()
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        job = running.job(client, task="denoise", file=file, options={"seed": 90004})
        running.until(lambda: client.get(f"/api/v1/jobs/{job['id']}").json()["notes"])
        client.delete(f"/api/v1/jobs/{job['id']}")
        ended = running.ended(client, job["id"])
        assert (ended["state"], ended["result"]) == ("cancelled", None)
        assert running.ended(client, running.job(client, task="denoise", file=file)["id"])["state"] == "done"


@pytest.mark.parametrize(("seed", "state"), [(90001, "done"), (90004, "failed")])
def test_a_job_that_takes_too_long(serve: Callable[..., Running], seed: int, state: str) -> None:
    """Of what iterates the best until then is kept; what heeds nothing is ended."""
    running = serve(job_seconds=0.5)
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        running.ended(client, running.job(client, task="denoise", file=file)["id"])  # the worker is up
        ended = running.ended(client, running.job(client, task="denoise", file=file, options={"seed": seed})["id"])
        assert ended["state"] == state
        told = " ".join(ended["notes"]) if seed == 90001 else ended["problem"]["detail"]
        assert "0.5 s" in told


def test_a_worker_that_does_not_start(serve: Callable[..., Running]) -> None:
    import sys

    running = serve(worker=(sys.executable, "-c", "raise SystemExit(3)"))
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        ended = running.ended(client, running.job(client, task="denoise", file=file)["id"])
        assert "it did not start: exit code 3" in ended["problem"]["detail"]
        assert client.get("/healthz").status_code == 200


def test_a_caller_who_leaves_takes_the_job_along(serve: Callable[..., Running]) -> None:
    running = serve()
    data = picture()
    head = (
        f"POST /api/v1/denoise?seed=90001 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    )
    with socket.create_connection(("127.0.0.1", running.port)) as line:
        line.sendall(head + data)
        running.until(lambda: running.server.jobs.running)
    running.until(lambda: not running.server.jobs.busy)
    running.until(lambda: not running.server.store.files and not running.server.store.taken)


def test_workers_and_decoders_that_idle_are_ended(serve: Callable[..., Running]) -> None:
    running = serve(idle_seconds=0.3)
    with running.client() as client:
        for _ in range(2):
            assert client.post("/api/v1/denoise", content=picture()).status_code == 200
            running.until(
                lambda: running.server.jobs.workers[0].child is None and running.server.decoder._child is None
            )


def test_two_devices_work_side_by_side(serve: Callable[..., Running]) -> None:
    running = serve(devices=("auto", "cpu"))
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        jobs = [running.job(client, task="denoise", file=file, options={"seed": 90001}) for _ in range(2)]
        running.until(lambda: all(client.get(f"/api/v1/jobs/{job['id']}").json()["previews"] for job in jobs))
        assert len(running.server.jobs.running) == 2
        for job in jobs:
            client.delete(f"/api/v1/jobs/{job['id']}")
            assert running.ended(client, job["id"])["state"] == "cancelled"


def test_the_environment_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert placed("cpu") == ("cpu", {})
    assert placed("cuda") == ("cuda", {})
    assert placed("cuda:1") == ("cuda", {"CUDA_VISIBLE_DEVICES": "1"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert placed("cuda:1") == ("cuda", {"CUDA_VISIBLE_DEVICES": "7"})
    assert [guess_device(name) for name in ("cpu", "cuda:3", "mps")] == ["cpu", "cuda", "mps"]
    assert guess_device("auto") in ("cpu", "cuda", "mps")


def test_who_says_nothing_is_left(serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.2)
    running = serve()
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert line.recv(10) == b""


# -- many at once


def test_a_full_queue(serve: Callable[..., Running]) -> None:
    running = serve(queue=2)
    with running.client() as client:
        file = client.post("/api/v1/files", content=picture()).json()["id"]
        first = running.job(client, task="denoise", file=file, options={"seed": 90001})
        running.until(lambda: client.get(f"/api/v1/jobs/{first['id']}").json()["state"] == "running")
        jobs = [running.job(client, task="denoise", file=file) for _ in range(2)]
        for answer in (
            client.post("/api/v1/jobs", json={"task": "denoise", "file": file}),
            client.post("/api/v1/denoise", content=picture()),
        ):
            _problem(answer, 429)
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        client.delete(f"/api/v1/jobs/{first['id']}")
        assert [running.ended(client, job["id"])["state"] for job in jobs] == ["done", "done"]


def test_fifty_clients_at_once(serve: Callable[..., Running]) -> None:
    """Every one gets a result or is told when to come back, and does; none is lost."""
    running = serve(queue=20)

    def work(number: int) -> tuple[int, int]:
        data, refused = picture(8 + number, 6), 0
        with running.client() as client:
            file = client.post("/api/v1/files", content=data).json()["id"]
            while True:
                answer = client.post("/api/v1/jobs", json={"task": "denoise", "file": file})
                if answer.status_code == 202:
                    break
                _problem(answer, 429)
                refused += 1
                running.until(lambda: len(running.server.jobs._waiting) < 15)
            ended = running.ended(client, answer.json()["id"], 120)
            assert ended["state"] == "done", ended
            assert client.get(f"/api/v1/jobs/{ended['id']}/result").content == data
        return number, refused

    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(work, range(50)))
    assert [number for number, _ in done] == list(range(50))
    assert not [line for line in running.log if line["event"] == "fault"]


def test_events_of_a_client_that_leaves(client: httpx.Client, shared: Running) -> None:
    file = client.post("/api/v1/files", content=picture()).json()["id"]
    job = shared.job(client, task="denoise", file=file, options={"seed": 90001})
    for _ in range(3):
        with client.stream("GET", f"/api/v1/jobs/{job['id']}/events") as answer:
            next(answer.iter_lines())
    client.delete(f"/api/v1/jobs/{job['id']}")
    assert shared.ended(client, job["id"])["state"] == "cancelled"
