"""The arithmetic in plain Python loops and unbounded integers, written apart from the model."""

from __future__ import annotations

from collections.abc import Sequence

Map = list[list[list[int]]]  # [channel][row][column]


def pixel(features: Map, channel: int, row: int, col: int, pad_value: int) -> int:
    rows, cols = len(features[0]), len(features[0][0])
    if 0 <= row < rows and 0 <= col < cols:
        return features[channel][row][col]
    return pad_value


def depthwise(features: Map, weight: Map, pad_value: int) -> Map:
    kernel = len(weight[0])
    half = kernel // 2
    result = []
    for channel, plane in enumerate(features):
        rows = []
        for y in range(len(plane)):
            row = []
            for x in range(len(plane[0])):
                total = 0
                for i in range(kernel):
                    for j in range(kernel):
                        value = pixel(features, channel, y + i - half, x + j - half, pad_value)
                        total += weight[channel][i][j] * value
                row.append(total)
            rows.append(row)
        result.append(rows)
    return result


def convolution(features: Map, weight: Sequence[Map], pad_value: int) -> Map:
    kernel = len(weight[0][0])
    half = kernel // 2
    rows, cols = len(features[0]), len(features[0][0])
    result = []
    for filters in weight:
        plane = [[0] * cols for _ in range(rows)]
        for y in range(rows):
            for x in range(cols):
                for channel in range(len(features)):
                    for i in range(kernel):
                        for j in range(kernel):
                            value = pixel(features, channel, y + i - half, x + j - half, pad_value)
                            plane[y][x] += filters[channel][i][j] * value
        result.append(plane)
    return result


def requantise(
    sums: Map,
    bias: Sequence[int],
    mult: Sequence[int],
    shift: int,
    rounded: bool,
    feature_bits: int,
) -> Map:
    result = []
    for channel, plane in enumerate(sums):
        rows = []
        for line in plane:
            row = []
            for total in line:
                value = total + bias[channel]
                value = max(value, 0)
                value *= mult[channel]
                if rounded and shift > 0:
                    value += 2 ** (shift - 1)
                value = value // 2**shift
                row.append(min(max(value, 0), 2**feature_bits - 1))
            rows.append(row)
        result.append(rows)
    return result


def pool(features: Map, kind: str) -> Map:
    result = []
    for plane in features:
        rows = []
        for y in range(0, len(plane) - 1, 2):
            row = []
            for x in range(0, len(plane[0]) - 1, 2):
                window = [plane[y + i][x + j] for i in (0, 1) for j in (0, 1)]
                row.append(max(window) if kind == "maxpool" else (sum(window) + 2) // 4)
            rows.append(row)
        result.append(rows)
    return result


def bypass(earlier: Map, features: Map) -> Map:
    """Channel phase * C + c of the earlier map, phase = 2 * (row & 1) + (column & 1), then all."""
    result = []
    for phase in range(4):
        for plane in earlier:
            rows = []
            for y in range(len(plane) // 2):
                row = plane[2 * y + phase // 2]
                rows.append([row[2 * x + phase % 2] for x in range(len(row) // 2)])
            result.append(rows)
    return result + features
