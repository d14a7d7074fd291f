#!/usr/bin/env python3
"""Photos with faces in strange surroundings, to judge protections on whole photos. Needs numpy, Pillow, scikit-image 0.26.0.

Usage: python tools/make-composites.py FACES DIRECTORY

FACES is a labelled folder (list_attr.txt, images/). Writes 20 PNG of 1280x960 to DIRECTORY: two held-out faces each (the 61st
to the 100th of the last 480), 140, 200, 280 or 400 pixels a side, pasted with soft edges at random places (seed 1) into four of
scikit-image's photos by turns.
"""

import os
import random
import sys

import numpy
import skimage
from PIL import Image, ImageFilter

COUNT, WIDTH, HEIGHT = 20, 1280, 960
SIZES = (140, 200, 280, 400)
PHOTOS = ("coffee.png", "chelsea.png", "rocket.jpg", "hubble_deep_field.jpg")


def covering(name):
    """The middle of a photo, brought to the size of all."""
    photo = Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", name)).convert("RGB")
    scale = max(WIDTH / photo.width, HEIGHT / photo.height)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.LANCZOS)
    left, top = (photo.width - WIDTH) // 2, (photo.height - HEIGHT) // 2
    return photo.crop((left, top, left + WIDTH, top + HEIGHT))


def soft_square(side):
    """A mask that falls off over a twelfth of the side."""
    margin = side // 12
    mask = numpy.zeros((side, side), numpy.uint8)
    mask[margin:-margin, margin:-margin] = 255
    return Image.fromarray(mask).filter(ImageFilter.GaussianBlur(margin / 2))


def apart(a, b):
    """Whether two squares (x, y, side) keep at least 20 pixels between them."""
    return any(p[i] + p[2] + 20 <= q[i] for p, q in ((a, b), (b, a)) for i in (0, 1))


def main():
    faces, target = sys.argv[1:]
    with open(os.path.join(faces, "list_attr.txt")) as file:
        names = [line.split()[0] for line in file.read().splitlines()[2:] if line.strip()]
    names = names[-480:][60 : 60 + 2 * COUNT]
    os.makedirs(target, exist_ok=True)
    choice = random.Random(1)
    for number in range(COUNT):
        picture = covering(PHOTOS[number % len(PHOTOS)])
        placed = []
        for name in names[2 * number : 2 * number + 2]:
            while True:
                side = choice.choice(SIZES)
                place = (choice.randrange(WIDTH - side), choice.randrange(HEIGHT - side), side)
                if all(apart(place, other) for other in placed):
                    break
            placed.append(place)
            face = Image.open(os.path.join(faces, "images", name)).convert("RGB").resize((side, side), Image.LANCZOS)
            picture.paste(face, place[:2], soft_square(side))
        picture.save(os.path.join(target, f"{number:02}.png"))


main()
