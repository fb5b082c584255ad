"""Runs images on the accelerator and writes the run log: ``python3 -m boards.pynq_z1.run --help``.

Without images it runs the self-test of the deployment and compares every accumulator of the head.
The format of the log is in ``docs/run_log.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boards.pynq_z1.driver import Accelerator, BoardError, Host
from boards.pynq_z1.layout import decode_box
from boards.pynq_z1.power import PowerMeter

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG_SCHEMA, LOG_VERSION = "tandem-run-log", 1
COPIED = ("design", "design_sha256", "network_sha256", "program_sha256", "rtl_sha256", "board")
TIMEOUT_FACTOR, TIMEOUT_LEAST_S = 20, 1.0


def main(arguments: Sequence[str] | None = None, clock: Any = time) -> int:
    """Run and write the log. 0: all held, 1: values differ, 2: it could not be done."""
    asked = _parse(arguments)
    try:
        log = run(asked, Host(importlib.import_module("pynq"), clock))
    except BoardError as error:
        print(f"board: {error}", file=sys.stderr)
        return 2
    _write(Path(asked.log), log)
    print(_summary(log))
    if log["power_problem"]:
        print(f"board: {log['power_problem']}", file=sys.stderr)
    differing = log["self_test"]["differing"] if log["self_test"] else 0
    return 1 if differing else 0


def run(asked: argparse.Namespace, host: Host) -> dict[str, Any]:
    """The run log of what was asked. BoardError where it does not work."""
    folder = Path(asked.folder)
    accelerator = Accelerator(folder, host, asked.wait)
    manifest = accelerator.manifest
    try:
        names, images, wanted = _inputs(asked, folder, accelerator)
        meter = PowerMeter(host.pynq, host.time)
        runs, heads = [], []
        for repeat in range(asked.repeat):
            for start in range(0, len(images), manifest["frames"]):
                batch = images[start : start + manifest["frames"]]
                found, values = accelerator.run(batch, _timeout(asked, manifest), meter.sample)
                runs.append(asdict(found))
                heads += values if repeat == 0 else []
        return {
            "schema": LOG_SCHEMA,
            "version": LOG_VERSION,
            **{name: manifest[name] for name in COPIED},
            "frames_compiled": manifest["frames"],
            "build_id": accelerator.build_id,
            "bitstream": _bitstream(folder / manifest["bitstream"]),
            "target": getattr(host.pynq, "TARGET", "board"),
            "software": _software(host.pynq),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "clock_mhz": accelerator.clock_mhz,
            "memory_address": accelerator.memory_address,
            "wait": asked.wait,
            "runs": runs,
            "answers": _answers(names, images, heads, manifest["head"]),
            "self_test": _self_test(heads, wanted),
            "power": meter.record(),
            "power_problem": meter.problem,
        }
    finally:
        accelerator.close()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="boards.pynq_z1.run", description=__doc__)
    parser.add_argument("images", nargs="*", help=".npy (C, H, W) or pictures; else the self-test")
    parser.add_argument("--folder", default=".", help="of tandem board package, with the bitstream")
    parser.add_argument("--log", default="run.json", help="the run log to write")
    parser.add_argument("--repeat", type=int, default=1, help="run everything so many times")
    parser.add_argument("--wait", choices=("poll", "interrupt"), default="poll")
    parser.add_argument("--timeout", type=float, default=None, help="seconds for one start")
    asked = parser.parse_args(arguments)
    if asked.repeat < 1:
        parser.error("--repeat: at least 1")
    return asked


def _timeout(asked: argparse.Namespace, manifest: dict[str, Any]) -> float:
    """As asked, else many times what the simulator says."""
    if asked.timeout is not None:
        return float(asked.timeout)
    expected: float = manifest["expected_cycles"] / (1e6 * manifest["clock_mhz"])
    return max(TIMEOUT_LEAST_S, TIMEOUT_FACTOR * expected)


def _inputs(
    asked: argparse.Namespace, folder: Path, accelerator: Accelerator
) -> tuple[list[str], list[NDArray[np.int64]], NDArray[np.int64] | None]:
    """Names, images (C, H, W), and what the self-test wants (N, C, H, W)."""
    if asked.images:
        return asked.images, [_read_image(Path(p), accelerator) for p in asked.images], None
    path = folder / accelerator.manifest["self_test"]
    try:
        with np.load(str(path), allow_pickle=False) as arrays:
            images, heads = arrays["images"].astype(np.int64), arrays["heads"].astype(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise BoardError(f"{path}: cannot be read ({error}): copy it again") from None
    return [f"self-test {index}" for index in range(len(images))], list(images), heads


def _read_image(path: Path, accelerator: Accelerator) -> NDArray[np.int64]:
    """An array as it is; a picture resized (nearest), its highest bits taken."""
    channels, height, width = accelerator.image.shape
    try:
        if path.suffix.lower() == ".npy":
            values: NDArray[np.int64] = np.load(str(path), allow_pickle=False).astype(np.int64)
            return values
        from PIL import Image  # noqa: PLC0415  (only pictures need it; the board's Linux has it)

        with Image.open(str(path)) as picture:
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"), dtype=np.int64)
    except (OSError, ValueError, ImportError) as error:
        raise BoardError(f"{path}: cannot be read as an image ({error})") from None
    planes = pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
    rows = (2 * np.arange(height) + 1) * planes.shape[1] // (2 * height)
    cols = (2 * np.arange(width) + 1) * planes.shape[2] // (2 * width)
    nearest: NDArray[np.int64] = planes[:, rows[:, None], cols[None, :]]
    nearest >>= max(0, 8 - accelerator.manifest["feature_bits"])
    return nearest


def _answers(
    names: Sequence[str],
    images: Sequence[NDArray[np.int64]],
    heads: Sequence[NDArray[np.int64]],
    head: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """What came out for each image; a box where the network has a box head."""
    found = []
    for index, values in enumerate(heads):
        box, confidence = decode_box(values, head) if head else (None, None)
        found.append(
            {
                "image": names[index],
                "image_sha256": hashlib.sha256(images[index].astype("<i8").tobytes()).hexdigest(),
                "head_sha256": hashlib.sha256(values.astype("<i8").tobytes()).hexdigest(),
                "box": list(box) if box else None,
                "confidence": confidence,
            }
        )
    return found


def _self_test(
    heads: Sequence[NDArray[np.int64]], wanted: NDArray[np.int64] | None
) -> dict[str, int] | None:
    if wanted is None:
        return None
    differing = int(np.count_nonzero(np.array(heads) != wanted))
    return {"values": int(wanted.size), "differing": differing}


def _bitstream(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _software(pynq: Any) -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pynq": str(getattr(pynq, "__version__", "unknown")),
    }


def _write(path: Path, log: dict[str, Any]) -> None:
    """Whole or not at all; a value that is no number is refused rather than written."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(log, indent=1, allow_nan=False) + "\n")
    part.replace(path)


def _summary(log: dict[str, Any]) -> str:
    frames = sum(item["frames"] for item in log["runs"])
    cycles = sum(item["total_cycles"] for item in log["runs"])
    milliseconds = cycles / (1e3 * log["clock_mhz"])
    text = f"{log['design']}: {frames} frames in {cycles} cycles, {milliseconds:.3f} ms"
    if log["self_test"]:
        text += f"; self-test: {log['self_test']['differing']} of "
        text += f"{log['self_test']['values']} values differ"
    return text


if __name__ == "__main__":
    sys.exit(main())
