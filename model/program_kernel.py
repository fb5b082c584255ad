# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""The rows of a pass, tile by tile, in compiled code: what ``model/program_rows.py`` asks for.

A pass comes as a vector of numbers whose places are named here. Rows go to the program's units one
after the other; ``at`` says where the next one of each unit begins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.compiled import entry, part

Numbers = NDArray[np.int64]
Rectangle = tuple[int, int, int, int]  # row, column, rows, columns
LOAD, WEIGHT, DEPTHWISE, MAC, STORE, END = range(6)  # units with a command FIFO; END: the last
ROW_SIZES = (12, 7, 6, 15, 16, 2)  # numbers a row; model/fast_state.py names their places
BEAT_BYTES = 8
LINE_LIMIT = 1 << 16  # pixels, and beats, that one segment may have

# A pass: its tiles before pooling, first stored tile and tag, the source and how it is read, the
# convolutions, the target and how it is written. Pitches and sizes of pixels in bytes.
(
    TILES, ACROSS, ROWS, COLS, HEIGHT, WIDTH, SCALE, HALO, FIRST_STORE, FIRST_TAG,
    S_HEIGHT, S_WIDTH, S_BASE, S_ROW_PITCH, S_BLOCK_PITCH, S_BLOCKS, S_PIXEL, S_LAST_PIXEL,
    S_PIXEL_BEATS, S_LAST_PIXEL_BEATS, S_LINES, S_IMAGE,
    D_THERE, D_KERNEL, D_PHASES,
    C_TERMS, C_POOLED, C_PAD, C_STEPS, C_LAST_STEPS,
    T_WIDTH, T_BASE, T_ROW_PITCH, T_BLOCK_PITCH, T_BLOCKS, T_PIXEL, T_LAST_PIXEL, T_LINES,
    T_DEPTH_PITCH, T_RAW, T_BUNDLE_LAST, T_FINAL,
    PASS_SIZE,
) = range(43)  # fmt: skip
# A run of weights: its command's fields, and whether one fetch serves all tiles.
W_ADDRESS, W_GROUPS, W_WORDS, W_PARAMS, W_BEATS, W_TARGET, W_RESIDENT, RUN_SIZE = range(8)
# A pass that wrote a part of the source: index of its first store, tiles across, their size.
P_FIRST, P_ACROSS, P_ROWS, P_COLS, P_SCALE, WRITER_SIZE = range(6)


@part
def _sync(writers: Numbers, end_row: int, end_col: int) -> int:
    """How many tiles must be stored before all pixels up to this one are there; -1: none."""
    found = -1
    for w in range(0, len(writers), WRITER_SIZE):
        down = (end_row - 1) * writers[w + P_SCALE] // writers[w + P_ROWS]
        beside = (end_col - 1) * writers[w + P_SCALE] // writers[w + P_COLS]
        found = max(found, writers[w + P_FIRST] + down * writers[w + P_ACROSS] + beside + 1)
    return found


@part
def _load(
    p: Numbers, writers: Numbers, out: Numbers, at: Numbers, tag: int, tile: Rectangle
) -> None:
    """The tile's window of the source; whole rows are one long segment."""
    row, col, rows, cols = tile
    in_row, in_col = max(0, row - p[HALO]), max(0, col - p[HALO])
    lines = min(p[S_HEIGHT], row + rows + p[HALO]) - in_row
    line = min(p[S_WIDTH], col + cols + p[HALO]) - in_col
    sync = _sync(writers, in_row + lines, in_col + line)
    if p[S_LINES] and line == p[S_WIDTH] and lines * line < LINE_LIMIT:
        lines, line = 1, lines * line
    beats, last_beats = line * p[S_PIXEL_BEATS], line * p[S_LAST_PIXEL_BEATS]
    o = at[LOAD]
    out[o] = p[S_BASE] + in_row * p[S_ROW_PITCH] + in_col * p[S_PIXEL]
    out[o + 1] = p[S_ROW_PITCH]
    out[o + 2] = lines
    out[o + 3] = p[S_BLOCK_PITCH]
    out[o + 4] = p[S_BLOCKS]
    out[o + 5] = beats
    out[o + 6] = last_beats
    out[o + 7] = in_col * (p[S_PIXEL] - p[S_LAST_PIXEL])
    out[o + 8] = p[S_IMAGE]
    out[o + 9] = sync
    out[o + 10] = lines * ((p[S_BLOCKS] - 1) * beats + last_beats)
    out[o + 11] = tag
    at[LOAD] = o + 12


@part
def _weights(runs: Numbers, out: Numbers, at: Numbers, tag: int, first: int) -> None:
    """Those of the depth-wise unit, then those of the MAC array."""
    for run in range(0, len(runs), RUN_SIZE):
        if first or not runs[run + W_RESIDENT]:
            o = at[WEIGHT]
            for place in range(W_RESIDENT):
                out[o + place] = runs[run + place]
            out[o + 6] = tag
            at[WEIGHT] = o + 7


@part
def _depthwise(
    p: Numbers, runs: Numbers, out: Numbers, at: Numbers, tag: int, stored: int, tile: Rectangle,
    last: int,
) -> None:  # fmt: skip
    kernel = p[D_KERNEL]
    _, _, rows, cols = tile
    o = at[DEPTHWISE]
    out[o] = runs[W_GROUPS]
    out[o + 1] = max(last, 1 - runs[W_RESIDENT])
    out[o + 2] = kernel * kernel
    out[o + 3] = (rows + kernel - 1) * (cols + kernel - 1) * p[D_PHASES]
    out[o + 4] = stored
    out[o + 5] = tag
    at[DEPTHWISE] = o + 6


@part
def _mac(
    p: Numbers, run: Numbers, out: Numbers, at: Numbers, tag: int, stored: int,
    pixels: int, last: int,
) -> None:  # fmt: skip
    """The numbers of ``MacShape`` in model/sim_compute.py; ``run``: the MAC array's weights."""
    vectors = pixels // 4 if p[C_POOLED] else pixels
    issues = pixels * p[C_TERMS]
    cycles = issues + vectors * p[C_PAD]
    o = at[MAC]
    out[o] = p[D_THERE]
    out[o + 1] = stored
    out[o + 2] = run[W_GROUPS]
    out[o + 3] = max(last, 1 - run[W_RESIDENT])
    out[o + 4] = cycles
    out[o + 5] = issues
    out[o + 6] = vectors
    out[o + 7] = p[C_TERMS]
    out[o + 8] = 4 * p[C_TERMS] if p[C_POOLED] else p[C_TERMS]
    out[o + 9] = cycles - p[C_PAD]
    out[o + 10] = p[C_STEPS]
    out[o + 11] = p[C_LAST_STEPS]
    out[o + 12] = run[W_WORDS]
    out[o + 13] = run[W_PARAMS]
    out[o + 14] = tag
    at[MAC] = o + 15


@part
def _store(p: Numbers, out: Numbers, at: Numbers, tag: int, tile: Rectangle, last: int) -> None:
    """Segments of the first output group, and what differs in the last."""
    scale = p[SCALE]  # pooling comes before
    row, col, lines, line = tile[0] // scale, tile[1] // scale, tile[2] // scale, tile[3] // scale
    skew = col * (p[T_PIXEL] - p[T_LAST_PIXEL])
    whole = lines * line * p[T_PIXEL] // BEAT_BYTES < LINE_LIMIT
    if p[T_LINES] and line == p[T_WIDTH] and whole:
        lines, line = 1, lines * line
    last_beats = line * p[T_LAST_PIXEL] // BEAT_BYTES
    only = p[T_BLOCKS] == 1  # then the first output group is the last one
    first_beats = last_beats if only else line * p[T_PIXEL] // BEAT_BYTES
    pitch, segments = 0, 1
    if p[T_DEPTH_PITCH]:  # four segments, a phase apart, are one row of the map
        pitch, segments, skew = p[T_DEPTH_PITCH], 4, 0
    final = last * p[T_FINAL]
    o = at[STORE]
    out[o] = p[T_BASE] + row * p[T_ROW_PITCH] + col * p[T_PIXEL]
    out[o + 1] = p[T_ROW_PITCH]
    out[o + 2] = lines
    out[o + 3] = pitch
    out[o + 4] = segments
    out[o + 5] = first_beats
    out[o + 6] = first_beats
    out[o + 7] = skew if only else 0
    out[o + 8] = max(final, p[T_RAW])
    out[o + 9] = p[T_BLOCKS]
    out[o + 10] = p[T_BLOCK_PITCH]
    out[o + 11] = last_beats
    out[o + 12] = skew
    out[o + 13] = last * p[T_BUNDLE_LAST]
    out[o + 14] = final
    out[o + 15] = tag
    at[STORE] = o + 16


@part
def _command(out: Numbers, at: Numbers, unit: int, tag: int) -> None:
    """The sequencer: which unit a command is for."""
    o = at[END]
    out[o] = unit
    out[o + 1] = tag
    at[END] = o + 2


@part
def _sequence(
    p: Numbers, runs: Numbers, run: Numbers, out: Numbers, at: Numbers, tag: int, first: int
) -> None:
    _command(out, at, LOAD, tag)
    if p[D_THERE]:
        if first or not runs[W_RESIDENT]:
            _command(out, at, WEIGHT, tag)
        _command(out, at, DEPTHWISE, tag)
    if first or not run[W_RESIDENT]:
        _command(out, at, WEIGHT, tag)
    _command(out, at, MAC, tag)
    _command(out, at, STORE, tag)


@entry
def fill_pass(p: Numbers, runs: Numbers, writers: Numbers, out: Numbers, at: Numbers) -> None:
    """The rows of all tiles of a pass.

    ``p``: (PASS_SIZE,). ``runs``: (runs x RUN_SIZE,), the MAC array's last. ``writers``:
    (writers x WRITER_SIZE,). ``out``: all rows. ``at``: (END + 1,), moved on. All int64.
    """
    run = runs[len(runs) - RUN_SIZE :]
    for index in range(p[TILES]):
        row = index // p[ACROSS] * p[ROWS]
        col = index % p[ACROSS] * p[COLS]
        tile = row, col, min(p[ROWS], p[HEIGHT] - row), min(p[COLS], p[WIDTH] - col)
        tag, stored = p[FIRST_TAG] + index, p[FIRST_STORE] + index
        first, last = int(index == 0), int(index == p[TILES] - 1)
        _load(p, writers, out, at, tag, tile)
        _weights(runs, out, at, tag, first)
        if p[D_THERE]:
            _depthwise(p, runs, out, at, tag, stored, tile, last)
        _mac(p, run, out, at, tag, stored, tile[2] * tile[3], last)
        _store(p, out, at, tag, tile, last)
        _sequence(p, runs, run, out, at, tag, first)
