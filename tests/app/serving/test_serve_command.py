"""``retouch serve`` as people start it: a process of its own, a true worker, the examples of the documentation."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from retouch.app import serve_command
from retouch.app.cli import main
from retouch.app.serve_command import ServeOptions, address_of, prepare
from retouch.image.errors import OptionError

from .conftest import Running, httpx, picture

REPOSITORY = Path(__file__).resolve().parents[3]
_DOCUMENT = REPOSITORY / "docs" / "http-api.md"


class _Served(Running):
    """A server process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.log_file = folder / "log"
        environment = os.environ | {"TMPDIR": str(folder), "RETOUCH_TOKEN": ""}
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "retouch", "serve", "--port", "0", *words],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.match(r"Retouch: (http://127\.0\.0\.1:\d+)/", line)
        assert found, line + self.log_file.read_text()
        self.url = found[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Served]:
    served = _Served(tmp_path_factory.mktemp("served"), "--device", "cpu")
    yield served
    served.process.kill()
    served.process.wait()


@pytest.fixture
def calling(served: _Served) -> Iterator[httpx.Client]:
    with served.client() as client:
        served.until(lambda: _answers(client))
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _photo(width: int = 96, height: int = 64, kind: str = "PNG") -> tuple[bytes, np.ndarray[Any, Any]]:
    """A picture that lies on its side: EXIF orientation 6, a camera's name; and its pixels, upright."""
    rng = np.random.default_rng(5)
    ramp = np.linspace(30, 220, width)[None, :, None] * np.ones((height, 1, 3))
    stored = np.clip(ramp + rng.normal(0, 10, ramp.shape), 0, 255).astype(np.uint8)
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "Camera"
    file = io.BytesIO()
    PIL.Image.fromarray(stored).save(file, kind, exif=exif)
    return file.getvalue(), np.rot90(stored, -1)


def _mask(shape: tuple[int, ...]) -> tuple[bytes, np.ndarray[Any, Any]]:
    hole = np.zeros(shape[:2], bool)
    hole[20:40, 10:30] = True
    file = io.BytesIO()
    PIL.Image.fromarray(hole.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue(), hole


# -- a process without torch, and what it does


def test_the_server_is_small_before_the_first_job(calling: httpx.Client, served: _Served) -> None:
    file = calling.post("/api/v1/files", content=picture(), headers={"X-File-Name": "a.png"})
    assert file.status_code == 201
    assert calling.get("/api/v1/tasks").status_code == 200
    maps = Path(f"/proc/{served.process.pid}/maps")
    if not maps.exists():
        pytest.skip("no /proc here")
    if "torch" in Path(f"/proc/{served.process.pid}/maps").read_text():
        pytest.fail("the server has loaded torch")
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in [str(served.process.pid), *children])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 150e6  # of the server and its decoder together


def test_inpaint_differs_under_the_mask_only_and_keeps_the_metadata(calling: httpx.Client, served: _Served) -> None:
    data, upright = _photo()
    marked, hole = _mask(upright.shape)
    file = calling.post("/api/v1/files", content=data, headers={"X-File-Name": "scan.png"}).json()
    assert (file["width"], file["height"]) == (64, 96)
    mask = calling.post("/api/v1/files", content=marked).json()
    job = served.job(calling, task="inpaint", file=file["id"], mask=mask["id"], options={"method": "telea"})
    ended = served.ended(calling, job["id"], 300)
    assert ended["state"] == "done", ended
    assert ended["method"] == "telea"
    assert re.match(r"inpaint by telea: .* s", ended["notes"][-1])
    result = PIL.Image.open(io.BytesIO(calling.get(f"/api/v1/jobs/{job['id']}/result").content))
    assert result.format == "PNG"
    assert result.getexif()[271] == "Camera"
    assert result.getexif().get(274, 1) == 1
    pixels = np.asarray(result)
    assert (pixels[~hole] == upright[~hole]).all()
    assert (pixels[hole] != upright[hole]).mean() > 0.5


def test_the_picture_as_it_forms_is_shown_in_its_place(calling: httpx.Client, served: _Served) -> None:
    data, upright = _photo(320, 240)
    marked, hole = _mask(upright.shape)
    files = {"file": ("scan.png", data, "image/png"), "mask": ("m.png", marked, "image/png")}
    options = '{"method": "deep-prior", "effort": "quick"}'
    job = calling.post("/api/v1/jobs", data={"task": "inpaint", "options": options}, files=files).json()
    served.until(lambda: calling.get(f"/api/v1/jobs/{job['id']}").json()["previews"], 300)
    preview = calling.get(f"/api/v1/jobs/{job['id']}/preview")
    assert preview.headers["content-type"] == "image/jpeg"
    shown = np.asarray(PIL.Image.open(io.BytesIO(preview.content)), float)
    assert shown.shape == upright.shape
    assert np.abs(shown - upright)[~hole].mean() < 8  # JPEG
    calling.delete(f"/api/v1/jobs/{job['id']}")
    ended = served.ended(calling, job["id"], 300)
    assert ended["state"] == "cancelled"
    assert ended["progress"]["total"] > ended["progress"]["index"] >= 1
    assert "stopped early" in ended["notes"][-1]
    pixels = np.asarray(PIL.Image.open(io.BytesIO(calling.get(f"/api/v1/jobs/{job['id']}/result").content)))
    assert (pixels[~hole] == upright[~hole]).all()


def test_what_a_task_refuses_is_told(calling: httpx.Client, served: _Served) -> None:
    data, _ = _photo()
    everything = io.BytesIO()
    PIL.Image.new("L", (64, 96), 255).save(everything, "PNG")
    files = {"file": ("scan.png", data, "image/png"), "mask": ("m.png", everything.getvalue(), "image/png")}
    answer = calling.post("/api/v1/inpaint?method=telea", files=files)
    assert (answer.status_code, "marks the whole picture" in answer.json()["detail"]) == (422, True)
    answer = calling.post("/api/v1/stylize", content=data)
    assert (answer.status_code, "needs style" in answer.json()["detail"]) == (422, True)
    assert "served" not in answer.text  # no path of the server's


def test_sixteen_bits_and_other_formats(calling: httpx.Client) -> None:
    import imagecodecs

    deep = np.random.default_rng(1).integers(0, 65536, (12, 9, 3), dtype=np.uint16)
    answer = calling.post("/api/v1/denoise?method=bilateral&sigma=0", content=imagecodecs.png_encode(deep))
    assert imagecodecs.png_decode(answer.content).dtype == np.uint16
    answer = calling.post(
        "/api/v1/upscale?method=bicubic&format=webp", content=picture(), headers={"X-File-Name": "a.png"}
    )
    assert answer.headers["content-type"] == "image/webp"
    assert "a-upscale.webp" in answer.headers["content-disposition"]
    assert PIL.Image.open(io.BytesIO(answer.content)).size == (16, 12)


def _examples(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", _DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("kind", ["sh", "python"])
def test_the_examples_of_the_documentation(calling: httpx.Client, served: _Served, tmp_path: Path, kind: str) -> None:
    if kind == "sh" and (shutil.which("curl") is None or shutil.which("bash") is None):
        pytest.skip("no curl or no bash here")
    data, upright = _photo(kind="JPEG")
    (tmp_path / "photo.jpg").write_bytes(data)
    (tmp_path / "mask.png").write_bytes(_mask(upright.shape)[0])
    examples = _examples(kind)
    assert examples
    for example in examples:
        text = example.replace("http://127.0.0.1:8765", served.url)
        words = ["bash", "-euo", "pipefail", "-c", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    expected = {"sh": ("clean.jpg", "mended.jpg", "large.jpg"), "python": ("photo-inpaint.png",)}[kind]
    for name in expected:
        made = PIL.Image.open(tmp_path / name)
        assert made.size == ((128, 192) if name == "large.jpg" else (64, 96))
        assert made.getexif()[271] == "Camera"


def test_sigterm_lets_the_job_under_way_end(served: _Served) -> None:
    """The last test of this process."""
    with served.client() as client:
        file = client.post("/api/v1/files", content=_photo(320, 240)[0]).json()["id"]
        options = {"method": "deep-prior", "effort": "quick"}
        job = served.job(client, task="denoise", file=file, options=options)
        served.until(lambda: client.get(f"/api/v1/jobs/{job['id']}").json()["previews"], 300)
        folders = list(served.log_file.parent.glob("retouch-serve-*"))
        assert len(folders) == 1
        served.process.send_signal(signal.SIGTERM)
        served.until(lambda: client.get("/readyz").status_code == 503)
        answer = client.post("/api/v1/jobs", json={"task": "denoise", "file": file})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        client.delete(f"/api/v1/jobs/{job['id']}")
        assert served.ended(client, job["id"], 300)["state"] == "cancelled"
        assert client.get(f"/api/v1/jobs/{job['id']}/result").status_code == 200
    assert served.process.wait(120) == 0
    assert not folders[0].exists()
    assert '"event": "stopped"' in served.log_file.read_text()


# -- the call itself


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "0.0.0.0"], "needs --token"),
        (["--host", "::"], "needs --token"),
        (["--host", "0.0.0.0", "--token", "short"], "--token: 8 to 200"),
        (["--token", "with a blank in it"], "--token: 8 to 200"),
        (["--device", "gpu"], "not 'gpu'"),
        (["--device", "cpu", "cpu"], "each device once"),
        (["--host", "no.such.host.invalid", "--token", "new"], "--host no.such.host.invalid"),
        (["--port", "70000"], "--port must be in 0..65535"),
        (["photo.jpg"], "takes no files"),
    ],
)
def test_wrong_calls(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETOUCH_TOKEN", raising=False)
    assert main(["serve", *words]) == 2
    assert reason in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    assert "--allow-host" in capsys.readouterr().out


def test_the_address_holds_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCH_TOKEN", "from-the-environment")
    settings, listening = prepare(ServeOptions(host="0.0.0.0", port=0))
    listening.close()
    assert address_of(settings) == f"http://127.0.0.1:{settings.port}/?token=from-the-environment"
    first, listening = prepare(ServeOptions(port=0, token="new"))
    listening.close()
    second, listening = prepare(ServeOptions(port=0, token="new"))
    listening.close()
    assert first.token != second.token


def test_a_port_in_use_and_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, listening = prepare(ServeOptions(port=0))
    with listening, pytest.raises(OptionError, match=f"--port {settings.port}"):
        prepare(ServeOptions(port=settings.port))
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(serve_command.RetouchError, match=r"retouch\[app\]"):
        prepare(ServeOptions(port=0))
