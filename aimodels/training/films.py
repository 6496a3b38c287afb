"""Writes films: a GIF by Pillow, an MP4 by ffmpeg where it is there."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from aimodels.errors import UserError
from aimodels.files import write_atomically

FORMATS = (".gif", ".mp4")
COLOURS = 128  # of a GIF, for all frames together
SAMPLED = 24  # frames in which they are looked for


def check_format(path: Path) -> None:
    """Whether a film can be written there.

    Raises:
      UserError: for another ending than those of FORMATS, or an MP4 without ffmpeg.
    """
    if path.suffix.lower() not in FORMATS:
        ending = repr(path.suffix) if path.suffix else "no ending"
        raise UserError(f"--output {path}: a film ends with .gif or .mp4; this has {ending}")
    if path.suffix.lower() == ".mp4" and _ffmpeg() is None:
        raise UserError(
            f"--output {path}: an MP4 needs ffmpeg or the package imageio-ffmpeg, and neither is "
            f"there; take {path.with_suffix('.gif').name}"
        )


def write_film(path: Path, frames: Sequence[np.ndarray], seconds: Sequence[float]) -> None:
    """Writes frames uint8 [H, W, 3] of one size, each shown for some seconds.

    Raises:
      UserError: as `check_format`, or if ffmpeg fails.
    """
    check_format(path)
    if path.suffix.lower() == ".gif":
        write_atomically(path, _gif(frames, seconds))
    else:
        write_atomically(path, _mp4(frames, seconds))


def _gif(frames: Sequence[np.ndarray], seconds: Sequence[float]) -> bytes:
    """One palette for all frames, without dithering: flat areas stay still, and cost nothing."""
    some = frames[:: max(1, len(frames) // SAMPLED)]
    palette = Image.fromarray(np.concatenate(some)).quantize(COLOURS)
    # Pillow's palettes have 6 bits a channel, which would make white 252.
    levels = palette.getpalette() or []
    palette.putpalette([255 if level == 252 else level for level in levels])
    none = Image.Dither.NONE
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=none) for f in frames]
    # A GIF counts in hundredths of a second.
    durations = [10 * max(2, round(100 * each)) for each in seconds]
    made = io.BytesIO()
    pictures[0].save(
        made,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=False,
    )
    return made.getvalue()


def _ffmpeg() -> str | None:
    found = shutil.which("ffmpeg")
    if found is None:
        try:
            import imageio_ffmpeg  # type: ignore[import-not-found]

            found = imageio_ffmpeg.get_ffmpeg_exe()
        except (ImportError, RuntimeError):  # it raises RuntimeError where it brought none
            return None
    return found


def _mp4(frames: Sequence[np.ndarray], seconds: Sequence[float]) -> bytes:
    """At the rate of the shortest frame; longer ones are repeated."""
    shortest = min(seconds)
    height, width = frames[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        command = [_ffmpeg() or "ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo"]
        command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{1 / shortest:g}"]
        command += ["-i", "-", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(file)]
        raw = b"".join(
            frame.tobytes() * round(each / shortest)
            for frame, each in zip(frames, seconds, strict=True)
        )
        done = subprocess.run(command, input=raw, capture_output=True)
        if done.returncode:
            raise UserError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")
        return file.read_bytes()
