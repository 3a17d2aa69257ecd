"""From a photograph to what a published model was trained to see: size, crop, mean and deviation.

The published pipelines differ in details that move every pixel, and each is kept as it is:

- how sizes change: CLIP resizes the shorter side and crops the middle; ViT squashes to a square;
- the filter: Pillow's are wider the more an image shrinks (anti-aliasing); TensorFlow's bilinear,
  which vit_jax uses, reads two pixels by two however large the image is;
- half a pixel: where the border of a crop falls between two pixels, transformers takes the lower
  one and torchvision (OpenAI, OpenCLIP) rounds, halves to even;
- what is transparent: transformers puts it on white, as this book does; OpenAI and OpenCLIP resize
  it with its transparency, and then show the colour that it hides.

Of transformers' processors, which have two backends each, the results are those of Pillow's
(`ViTImageProcessorPil`, `backend="pil"`). Its default since version 5, torchvision's, is up to two
bytes of 255 away, because it rounds elsewhere: `preprocess.by_torchvision()` gives those.
"""

from dataclasses import dataclass, replace

import numpy as np

from minivit.engine.errors import CheckpointError, DataError, OptionError
from minivit.images import pictures
from minivit.published import read_json, resizing, tables

FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers
TWO_BY_TWO = "two by two"
RESIZERS = ("pillow", "torchvision")
MOST = 1 << 12  # pixels of a side of what a file may ask for


@dataclass(frozen=True)
class Preprocess:
    """preprocess("cat.jpg") -> (1, H, W, 3) float32; also for a Pillow image, or an array of bytes
    (H, W, 3).

    size: (H, W) of the result. shortest: resize the shorter side to this, then crop; None: squash,
    to `size`, or to `squashed` = (H, W), and then crop. resample: one of FILTERS, or TWO_BY_TWO.
    rounds: how a crop is placed, True as torchvision. shows_hidden: what is transparent shows its
    colour, resized as OpenCLIP does; else it is put on white. resizer: whose resizing, to the byte:
    "pillow" or "torchvision" (which is here for bilinear and bicubic alone).
    A pixel is then (byte * scale - mean) / std.
    """

    size: tuple
    shortest: int | None = None
    resample: str = "bicubic"
    rounds: bool = False
    scale: float = 1 / 255
    mean: tuple = (0.5, 0.5, 0.5)
    std: tuple = (0.5, 0.5, 0.5)
    squashed: tuple | None = None
    shows_hidden: bool = False
    resizer: str = "pillow"

    def __call__(self, picture):
        values = self.pixels(picture).astype(np.float64) * self.scale
        return ((values - self.mean) / self.std).astype(np.float32)[None]  # (1, H, W, 3)

    def pixels(self, picture):
        """The picture resized and cropped, in bytes (H, W, 3): what a person can look at. (With
        TWO_BY_TWO in fractions of bytes, which TensorFlow does not round.)"""
        with pictures.named(picture):
            return self._pixels(_unpacked(picture))

    def _pixels(self, picture):
        pillow = self.resizer == "pillow" and self.resample != TWO_BY_TWO
        if not self.shows_hidden or picture.mode[0] in "IF" or not pillow:
            picture = pictures.rgb(picture)
        H, W = self._resized(picture.height, picture.width)
        if self.resample == TWO_BY_TWO:
            resized = two_by_two(np.asarray(picture), H, W)
        elif not pillow:
            resized = resizing.resize(np.asarray(picture), H, W, self.resample)
        else:
            resized = picture.resize((W, H), FILTERS.index(self.resample))
            resized.info.pop("transparency", None)  # of which Pillow would warn
            resized = np.asarray(resized.convert("RGB"))
        top, left = (self._offset(n, m) for n, m in zip((H, W), self.size))
        return resized[top : top + self.size[0], left : left + self.size[1]]

    def _resized(self, H, W):
        if self.shortest is None:
            return self.squashed or self.size
        long = int(self.shortest * max(H, W) / min(H, W))
        if long > 8 * MOST:
            raise DataError(f"a picture of {W} x {H} pixels is too narrow to be resized")
        return (self.shortest, long) if H <= W else (long, self.shortest)

    def _offset(self, n, m):
        return round((n - m) / 2) if self.rounds else (n - m) // 2

    def by_torchvision(self):
        """The same as transformers' default processors do it, with torchvision's resizing."""
        if self.resample not in resizing.FILTERS:
            raise OptionError(
                f"by_torchvision: resample is {self.resample!r}; torchvision's resizing is here "
                f"for {' and '.join(resizing.FILTERS)} alone"
            )
        return replace(self, resizer="torchvision", shows_hidden=False)

    def of_folder(self, folder, square):
        """The settings in `folder`'s preprocessor_config.json, and these where it has none. square:
        a size of one number means squash, as in older files of a ViT, else the shorter side, as in
        those of a CLIP."""
        return self if (said := _read(folder)) is None else self.with_settings(said, square)

    def with_settings(self, said, square):
        """This, changed by a dict with the keys of Hugging Face's image processors."""
        _check_keys(said)
        if not said.get("do_resize", True) or said.get("do_pad"):
            wrong = "do_pad is on" if said.get("do_resize", True) else "do_resize is off"
            raise CheckpointError(
                f"preprocessor_config.json: {wrong}; here a picture is resized, and not padded"
            )
        size, shortest, squashed = self.size, self.shortest, None
        if said.get("size") is not None:
            size, shortest = _resizing(said["size"], said.get("default_to_square", square))
        if said.get("do_center_crop", not square):
            crop = self.size
            if said.get("crop_size") is not None:
                crop = said["crop_size"]
                crop = _sides(crop if isinstance(crop, dict) else dict(height=crop, width=crop))
            whole = (shortest, shortest) if shortest else size
            if crop[0] > whole[0] or crop[1] > whole[1]:
                raise CheckpointError(
                    f"preprocessor_config.json: the crop {crop} does not fit {said.get('size')}"
                )
            squashed = size if shortest is None and size != crop else None
            size = crop
        elif shortest is not None:
            raise CheckpointError("preprocessor_config.json: shortest_edge needs do_center_crop")
        code = said.get("resample", FILTERS.index(self.resample))
        if type(code) is not int or not 0 <= code < len(FILTERS):
            raise CheckpointError(
                f"preprocessor_config.json: resample is {code!r}, expected 0 to {len(FILTERS) - 1}"
            )
        scale, mean, std = (
            _numbers(said, key, default)
            for key, default in (
                ("rescale_factor", (self.scale,)), ("image_mean", self.mean),
                ("image_std", self.std),
            )
        )  # fmt: skip
        if not said.get("do_normalize", True):
            mean, std = (0.0,) * 3, (1.0,) * 3
        return replace(
            self, size=size, shortest=shortest, squashed=squashed, resample=FILTERS[code],
            mean=mean, std=std,
            scale=scale[0] if said.get("do_rescale", True) else 1.0,
        )  # fmt: skip


# what OpenAI's CLIPs are shown, whatever the size; mean and deviation are of their training images
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def as_openai(side):
    """OpenAI's own preprocessing: the shorter side, bicubic, and the middle square."""
    return Preprocess((side, side), side, rounds=True, mean=MEAN, std=STD, shows_hidden=True)


def as_clip_processor(side):
    """Hugging Face's for CLIP: the same but for a crop of an odd border, and on white."""
    return replace(as_openai(side), rounds=False, shows_hidden=False)


def as_open_clip(side, said):
    """OpenCLIP's, by the preprocess_cfg of open_clip_config.json."""
    mode, filtered = said.get("resize_mode", "shortest"), said.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash") or filtered not in ("bicubic", "bilinear"):
        raise CheckpointError(
            f"open_clip_config.json: resize_mode is {mode!r} and interpolation {filtered!r}; "
            "expected 'shortest' or 'squash', and 'bicubic' or 'bilinear'"
        )
    if said.get("mode") not in (None, "RGB"):
        raise CheckpointError(f"open_clip_config.json: mode is {said['mode']!r}, expected 'RGB'")
    mean, std = _numbers(said, "mean", MEAN), _numbers(said, "std", STD)
    shortest = side if mode == "shortest" else None
    return replace(as_openai(side), shortest=shortest, resample=filtered, mean=mean, std=std)


def opened(picture):
    """A path, the bytes of a file, a Pillow image or an array (H, W, 3) of bytes as 8-bit RGB."""
    return pictures.rgb(_unpacked(picture))


def _unpacked(picture):
    """The same as a Pillow image of any mode."""
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise DataError(
                f"picture: got an array {picture.shape} of {picture.dtype}, expected bytes (H, W, "
                "3): uint8"
            )
        return pictures.pillow("Image").fromarray(picture)
    return picture if hasattr(picture, "convert") else pictures.picture(picture)


def two_by_two(image, H, W):
    """Bilinear, without anti-aliasing: (h, w, C) -> (H, W, C). The middle of a new pixel lies
    between four old middles, and only those count (tf.image.resize)."""
    rows, columns = (_between(n, N) for n, N in zip(image.shape, (H, W)))
    return np.einsum("Hh,hwc,Ww->HWc", rows, image, columns, optimize=True).astype(np.float32)


def _between(n, N):
    """(N, n): row i holds the weights of n pixels at (i + 1/2) n/N - 1/2, held within the image."""
    at = np.clip((np.arange(N) + 0.5) * n / N - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))


# -- what the files say ----------------------------------------------------------------------------
KNOWN = {  # what `changed` reads
    "do_resize", "size", "default_to_square", "do_center_crop", "crop_size", "resample",
    "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "do_pad",
}  # fmt: skip
WITHOUT_EFFECT = {  # on the pixels of one picture with three colours
    "feature_extractor_type", "processor_class", "do_convert_rgb", "data_format", "auto_map",
    "input_data_format", "return_tensors", "device", "disable_grouping", "pad_size",
    "image_seq_length", "_valid_processor_keys", "_processor_class", "clusters",
    "do_color_quantize",
}  # fmt: skip
PROCESSORS = ("CLIP", "ViT", "DeiT", "Bit", "Siglip", "ImageGPT", "Blip")  # these do no more


def _check_keys(said):
    """Refuse by name what is not done here: it would change the pixels in silence."""
    kind = said.get("image_processor_type") or said.get("feature_extractor_type")  # of old
    known = [f"{x}{end}" for x in PROCESSORS for end in ("ImageProcessor", "ImageProcessorFast",
             "ImageProcessorPil", "FeatureExtractor")]  # fmt: skip
    if kind is not None and kind not in known:
        raise CheckpointError(
            f"preprocessor_config.json: image_processor_type is {kind!r}; those read here are of "
            f"{', '.join(PROCESSORS)}"
        )
    for key in said.keys() - KNOWN - WITHOUT_EFFECT - {"image_processor_type"}:
        if said[key] not in (None, False):
            raise CheckpointError(
                f"preprocessor_config.json: {key} is {said[key]!r}, which is not done here; the "
                "pixels would be others"
            )


def _read(folder):
    """The image processor's configuration in a folder; None where there is none."""
    if (folder / "preprocessor_config.json").is_file():
        return read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        said = read_json(folder / "processor_config.json").get("image_processor")
        return said if isinstance(said, dict) else None


def _resizing(size, square):
    """(size of a squashed picture, None), or (None, its shorter side)."""
    if isinstance(size, int):
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return None, tables.integer(size, "shortest_edge", MOST)
    if isinstance(size, dict) and set(size) == {"height", "width"}:
        return _sides(size), None
    raise CheckpointError(
        f"preprocessor_config.json: size is {size!r}, expected a number, or height and width, or "
        "shortest_edge"
    )


def _sides(size):
    return tuple(tables.integer(size, k, MOST) for k in ("height", "width"))


def _numbers(said, key, default):
    """said[key], one number or one a channel, as a tuple as long as `default`."""
    values = said.get(key, default)
    values = values if isinstance(values, (list, tuple)) else [values] * len(default)
    if len(values) != len(default) or not all(map(_number, values)) or (
        key.endswith("std") and not all(values)
    ):  # fmt: skip
        what = f"{len(default)} numbers" + ", none of them 0" * key.endswith("std")
        raise CheckpointError(f"preprocessing: {key} is {values!r}, expected {what}")
    return tuple(map(float, values))


def _number(value):
    return type(value) in (int, float) and abs(value) < 1e6
