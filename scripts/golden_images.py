#!/usr/bin/env python3
"""Makes tests/golden/images.safetensors: picture files as bytes, and what Pillow decodes and resizes them to.

Needs Pillow, NumPy and safetensors. Keys: "NAME.file" u8 bytes of a PNG or JPEG file; "NAME.rgb" u8
(height, width, 3) and "NAME.grey" u8 (height, width); "resize/NAME.from" u8 (height, width, channels),
".box" f64 (y, x, height, width), ".exact" f32 by Pillow's mode F, ".bytes" u8 by its mode of bytes.
"""
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

random = np.random.default_rng(7)
out = {}


def picture(height, width):
    """Smooth with an edge, so that JPEG and resizing both have something to do."""
    y, x = np.mgrid[0:height, 0:width]
    r = 127 + 120 * np.sin(x / 3.0 + y / 7.0)
    g = 255 * y / max(1, height - 1)
    b = np.where(x > y, 220, 30) + random.integers(-20, 20, (height, width))
    return np.clip(np.stack([r, g, b], -1), 0, 255).astype(np.uint8)


def as_bytes(image, kind, **options):
    to = io.BytesIO()
    image.save(to, kind, **options)
    return to.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(pixels, bits, colour, interlaced=False):
    """For what Pillow does not write. pixels: (height, width, channels) of whole numbers."""
    height, width = pixels.shape[:2]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for y, x, step_y, step_x in passes:
        for row in pixels[y::step_y, x::step_x]:
            if row.size:
                rows += b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def add(name, data, rgb=None):
    image = Image.open(io.BytesIO(data))
    out[name + ".file"] = np.frombuffer(data, np.uint8)
    image = image.convert("RGB") if rgb is None else Image.fromarray(rgb)
    out[name + ".rgb"] = np.asarray(image)
    out[name + ".grey"] = np.asarray(image.convert("L"))


colours = picture(9, 13)
image = Image.fromarray(colours)
alpha = Image.fromarray(random.integers(0, 256, (9, 13), dtype=np.uint8))
clear = image.copy()
clear.putalpha(alpha)
add("png/rgb", as_bytes(image, "PNG"))
add("png/grey", as_bytes(image.convert("L"), "PNG"))
add("png/bit", as_bytes(image.convert("1"), "PNG"))
add("png/palette", as_bytes(image.quantize(11), "PNG"))
add("png/palette_clear", as_bytes(image.quantize(5), "PNG", transparency=2))
add("png/rgba", as_bytes(clear, "PNG"))
add("png/grey_alpha", as_bytes(clear.convert("LA"), "PNG"))
add("png/interlaced", png(colours, 8, 2, True))
wide = random.integers(0, 65536, (5, 4, 3))
add("png/rgb16", png(wide, 16, 2), np.round(wide / 257).astype(np.uint8))
grey16 = np.repeat(wide[..., :1], 3, -1)
add("png/grey16", png(wide[..., :1], 16, 0), np.round(grey16 / 257).astype(np.uint8))
large = Image.fromarray(picture(37, 50))
add("jpeg/colours", as_bytes(large, "JPEG", quality=80))
add("jpeg/full", as_bytes(large, "JPEG", quality=90, subsampling=0))
add("jpeg/progressive", as_bytes(large, "JPEG", quality=70, progressive=True))
add("jpeg/grey", as_bytes(large.convert("L"), "JPEG"))
add("jpeg/ink", as_bytes(large.convert("CMYK"), "JPEG", quality=90))


def resize(name, pixels, box, height, width):
    y, x, box_height, box_width = box
    corners = (x, y, x + box_width, y + box_height)
    exact = [
        np.asarray(Image.fromarray(pixels[..., c].astype(np.float32)).resize((width, height), Image.BILINEAR, corners))
        for c in range(pixels.shape[-1])
    ]
    squeezed = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    rounded = np.asarray(Image.fromarray(squeezed).resize((width, height), Image.BILINEAR, corners))
    out[f"resize/{name}.from"] = pixels
    out[f"resize/{name}.box"] = np.array(box, np.float64)
    out[f"resize/{name}.exact"] = np.stack(exact, -1)
    out[f"resize/{name}.bytes"] = rounded.reshape(height, width, -1)


source = picture(41, 53)
resize("same", source, (0, 0, 41, 53), 41, 53)
resize("smaller", source, (0, 0, 41, 53), 11, 16)
resize("much_smaller", source, (0, 0, 41, 53), 3, 2)
resize("larger", source[:7, :6], (0, 0, 7, 6), 20, 31)
resize("mixed", source, (0, 0, 41, 53), 60, 20)
resize("part", source, (3, 5, 30, 40), 13, 17)
resize("odd_part", source, (0.5, 6.25, 40, 40.5), 24, 24)
resize("one", source[:1, :1], (0, 0, 1, 1), 4, 3)
resize("to_one", source[..., :1], (0, 0, 41, 53), 1, 1)
resize("grey", source[..., 1:2], (0, 0, 41, 53), 15, 15)

target = pathlib.Path(__file__).parent.parent / "tests/golden/images.safetensors"
save_file({name: np.ascontiguousarray(value) for name, value in sorted(out.items())}, target)
