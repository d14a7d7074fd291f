"""Small pictures in the storages that cameras and editors write, for the readers' tests. Needs Pillow.

Usage: python tools/make-image-goldens.py DIRECTORY
"""

import os
import sys

from PIL import Image, ImageCms

target = sys.argv[1]
width, height = 24, 17
rgb = Image.new("RGB", (width, height))
rgb.putdata([(x * 10, y * 14, (x * y) % 256) for y in range(height) for x in range(width)])
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save(image, name, **options):
    image.save(os.path.join(target, name), **options)


save(rgb.quantize(16), "palette.png")
palette = rgb.quantize(16)
save(palette, "palette-transparent.png", transparency=3)
save(rgb.convert("1"), "one-bit.png")
save(rgb.convert("L"), "grey.jpg", quality=90)
save(rgb, "progressive.jpg", quality=90, progressive=True, icc_profile=profile)
save(rgb, "subsampled.jpg", quality=85, subsampling=2)
save(rgb.convert("CMYK"), "cmyk.jpg", quality=95)
save(rgb, "profile.png", icc_profile=profile, dpi=(300, 300))
