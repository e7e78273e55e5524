"""What trained networks see, on four sheets: dreams, guided dreams, what channels and classes look for, inversions.

The photographs come with scikit-image: astronaut (NASA), chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel
Michetti, CC0) and rocket (SpaceX, CC0). The networks are VGG16, AlexNet and EfficientNet-Lite0; 'retouch models fetch
NAME' fetches the weights of one.

    python examples/dreams.py docs/dreams.jpg --show dreams
    python examples/dreams.py docs/guided.jpg --show guided
    python examples/dreams.py docs/visualized.jpg --show visualized
    python examples/dreams.py docs/inverted.jpg --show inverted
"""

from __future__ import annotations

import skimage.data
from sheets import make_parser, write

import retouch
from retouch.image.image import Image
from retouch.image.sheet import sheet
from retouch.tasks.visualize import VisualizeOptions, visualizations

PHOTOS = {"astronaut": (0, 70), "chelsea": (0, 60), "coffee": (16, 110), "rocket": (40, 130)}
"""The photographs, and the upper left corner of the part of each."""
LAYERS = (("vgg16", "relu3_3"), ("vgg16", "relu4_3"), ("vgg16", "relu5_3"), ("efficientnet-lite0", "block11"))
GUIDED = (("coffee", "chelsea"), ("rocket", "chelsea"), ("chelsea", "coffee"))
"""The photograph, and the one that guides its dream."""
CHANNELS = (("vgg16", "relu4_3", "0,2,3,11,90", 80), ("efficientnet-lite0", "block11", "0,2,3,26,60", 160))
"""Network, layer, channels, steps."""
CLASSES = ("goldfish;flamingo;daisy;espresso;jellyfish", "tarantula;peacock;castle;strawberry;monarch")
INVERTED = ("relu1", "relu3", "relu5")
"""Layers of AlexNet."""


def part_of(name: str, side: int) -> Image:
    """A square part of a photograph."""
    pixels = getattr(skimage.data, name)()
    top, left = PHOTOS[name]
    side = min(side, pixels.shape[0], pixels.shape[1])
    top, left = min(top, pixels.shape[0] - side), min(left, pixels.shape[1] - side)
    return Image.from_array(pixels[top : top + side, left : left + side])


def dreams(side: int, cell: int) -> Image:
    """Each photograph dreamt into by each layer."""
    photos = [part_of(name, side) for name in PHOTOS]
    rows = [photos]
    for network, layer in LAYERS:
        rows.append([retouch.dream(photo, network=network, layer=layer) for photo in photos])
    titles = ["original", *(f"{network} {layer}" for network, layer in LAYERS)]
    return sheet(rows, row_titles=titles, cell=cell, gap=6)


def guided(side: int, cell: int) -> Image:
    """Photographs, their guides, and the dreams without and with them."""
    columns = []
    for name, other in GUIDED:
        photo, guide = part_of(name, side), part_of(other, side)
        free = retouch.dream(photo, layer="relu4_1", network="vgg16")
        led = retouch.dream(photo, layer="relu4_1", network="vgg16", guide=guide, steps=20)
        columns.append([photo, guide, free, led])
    rows = [list(row) for row in zip(*columns, strict=True)]
    return sheet(rows, row_titles=["original", "guide", "dream", "guided dream"], cell=cell, gap=6)


def visualized(side: int, cell: int) -> Image:
    """What channels of three layers look for, and ten classes of ImageNet."""
    rows, captions, titles = [], [], []
    for network, layer, channels, steps in CHANNELS:
        options = VisualizeOptions(layer=layer, channel=channels, side=side, steps=steps)
        pictures, words = visualizations(network, options)
        rows.append(pictures)
        captions.append([word.partition(":")[2] for word in words])
        titles.append(f"{network} {layer}")
    for classes in CLASSES:
        pictures, words = visualizations("efficientnet-lite0", VisualizeOptions(class_=classes, side=side, steps=256))
        rows.append(pictures)
        captions.append(words)
        titles.append("classes")
    return sheet(rows, row_titles=titles, captions=captions, cell=cell, gap=6)


def inverted(side: int, cell: int) -> Image:
    """One photograph from what successive layers keep of it, by both methods."""
    photo = Image.from_array(skimage.data.chelsea()[20 : 20 + side, 80 : 80 + side])
    rows: list[list[Image | None]] = []
    for method in ("tv", "deep-prior"):
        made = [retouch.invert(photo, network="alexnet", layer=layer, method=method, steps=200) for layer in INVERTED]
        rows.append([photo, *made])
    return sheet(rows, column_titles=["original", *INVERTED], row_titles=["tv", "deep-prior"], cell=cell, gap=6)


SHEETS = {
    "dreams": (dreams, 288),
    "guided": (guided, 288),
    "visualized": (visualized, 176),
    "inverted": (inverted, 256),
}
"""What makes each sheet, and the side of its pictures."""


def main() -> None:
    parser = make_parser(__doc__, side=0)
    parser.add_argument("--show", choices=list(SHEETS), default="dreams", help="which sheet")
    arguments = parser.parse_args()
    make, side = SHEETS[arguments.show]
    write(make(arguments.side or side, arguments.cell), arguments.output)


if __name__ == "__main__":
    main()
