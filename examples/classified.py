"""What ``retouch.classify`` says of photographs: the five likeliest of ImageNet's thousand classes, as bars.

The photographs come with scikit-image: chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel Michetti, CC0),
camera (Lav Varshney, CC0), rocket (SpaceX, CC0) and astronaut (NASA). The middle square is what the network sees, and
what is drawn. Needs matplotlib.

    python examples/classified.py docs/classified.jpg
"""

from __future__ import annotations

import skimage.data
from matplotlib.figure import Figure
from sheets import make_parser, write_figure

from retouch.image.image import Image
from retouch.models.classifier import Classifier

PHOTOS = ("chelsea", "coffee", "camera", "rocket", "astronaut")


def photo(name: str) -> Image:
    """The middle square of a photograph of scikit-image."""
    pixels = getattr(skimage.data, name)()
    side = min(pixels.shape[:2])
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    return Image.from_array(pixels[top : top + side, left : left + side])


def main() -> None:
    arguments = make_parser(__doc__).parse_args()
    classifier = Classifier()
    inches = arguments.cell / 100
    figure = Figure(figsize=(len(PHOTOS) * inches, 1.72 * inches), dpi=100, layout="constrained")
    axes = figure.subplots(2, len(PHOTOS), height_ratios=(1, 0.62))
    for (above, below), name in zip(axes.T, PHOTOS, strict=True):
        image = photo(name)
        above.imshow(image.to_array(8), cmap="gray")
        above.axis("off")
        labels, shares = zip(*classifier.labels(image), strict=True)
        places = range(len(labels))
        below.barh(places, shares, height=0.82, color=["#8db4e8", *["#d5e2f3"] * (len(labels) - 1)])
        for place, label, share in zip(places, labels, shares, strict=True):
            words = f"{label}  {share:.0%}" if share >= 0.01 else f"{label}  < 1%"
            below.text(0.02, place, words, va="center", fontsize=10, color="#18181b")
        below.set(xlim=(0, 1), ylim=(len(labels) - 0.5, -0.5))
        below.axis("off")
    write_figure(figure, arguments.output)


if __name__ == "__main__":
    main()
