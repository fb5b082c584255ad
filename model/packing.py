"""DSP packing: two products that share a feature, out of one 25 x 18 bit multiplier.

Two output channels read the same feature x. With weights ``high`` and ``low``, one block multiplies
``(high << S) + low`` by x; the product is ``high * x << S`` plus ``low * x``. Its lower S bits,
read as a signed number, are ``low * x`` where that fits S bits; the upper ones are then
``high * x``, less one where ``low * x`` is negative, which the hardware adds back
(``rtl_sim/hdl/mac_packed_product.sv``).

Spacing: a W-bit weight times an F-bit feature has W + F bits, so S = W + F, for any feature.
Port: the pair has to fit the 25 bits of the wider port (DSP48E1, UG479), pre-adder included. Its
lowest value, -2^(W-1) << S less 2^(W-1), takes W + S + 1 bits: 2W + F <= 24. Where 2W + F is 25,
all fit but pairs that hold -2^(W-1): no weight may be that, as narrow quantisers leave it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

PACKINGS = ("none", "pair")
PORT_BITS = 25  # signed, of the DSP48E1's wider port and of its pre-adder (UG479)


def spacing(weight_bits: int, feature_bits: int) -> int:
    """Bits between the two weights: those of one product."""
    return weight_bits + feature_bits


def refusal(weight_bits: int, feature_bits: int) -> str | None:
    """Why a pair of these widths does not fit a multiplier, and what to change; None if it does."""
    need = 2 * weight_bits + feature_bits
    if need <= PORT_BITS:
        return None
    return (
        f"two weights of {weight_bits} bits, spaced for features of {feature_bits}, take 2 x "
        f"{weight_bits} + {feature_bits} = {need} bits, a multiplier's port has {PORT_BITS}: lower "
        'precision.weight_bits or feature_bits, or use "none"'
    )


def needs_narrow_weights(weight_bits: int, feature_bits: int) -> bool:
    """Whether the lowest weight, -2^(W-1), is not allowed: the pair fills the port."""
    return 2 * weight_bits + feature_bits == PORT_BITS


def weight_range(packing: str, weight_bits: int, feature_bits: int) -> tuple[int, int]:
    """Smallest and largest weight that the MAC array multiplies exactly."""
    high = (1 << (weight_bits - 1)) - 1
    narrow = packing == "pair" and needs_narrow_weights(weight_bits, feature_bits)
    return (-high if narrow else -high - 1), high


def weight_refusal(
    weight: Integers, packing: str, weight_bits: int, feature_bits: int
) -> str | None:
    """What is wrong with a convolution's weights (O, ...), and what to do; None if nothing is."""
    low, high = weight_range(packing, weight_bits, feature_bits)
    flat = weight.reshape(weight.shape[0], -1)
    bad = (flat < low) | (flat > high)
    if not bad.any():
        return None
    channel = int(bad.any(axis=1).argmax())
    value = int(flat[channel][bad[channel]][0])
    return (
        f"channel {channel} has the weight {value}, a packed multiplier is exact from {low} to "
        f"{high} with W = {weight_bits}, F = {feature_bits}: train with narrow weights, as "
        'tandem train does, or set accelerator.mac_packing = "none"'
    )


def packed_products(
    low: Integers, high: Integers, feature: Integers, weight_bits: int, feature_bits: int
) -> tuple[Integers, Integers]:
    """``low * feature`` and ``high * feature`` as the packed multiplier computes them, bit by bit.

    The port cuts what exceeds it, so weights outside :func:`weight_range` come out wrong.
    """
    shift = spacing(weight_bits, feature_bits)
    pair = _signed((high << shift) + low, PORT_BITS)
    product = pair * feature
    borrow = (product >> (shift - 1)) & 1
    return _signed(product, shift), (product >> shift) + borrow


def sum_is_exact(
    spacing_bits: int, weight_bits: int, feature_bits: int, terms: int, narrow: bool
) -> bool:
    """Whether packed products may be summed before they are split, for all weights and features.

    ``terms`` products in one adder or cascade; ``narrow``: no weight is -2^(W-1). The condition is
    that the sum of low products fits the spacing and each pair of weights fits the port.
    """
    most = (1 << (weight_bits - 1)) - 1
    least = -most if narrow else -most - 1
    feature = (1 << feature_bits) - 1
    half = 1 << (spacing_bits - 1)
    sums_fit = terms * least * feature >= -half and terms * most * feature < half
    lowest = (least << spacing_bits) + least
    return sums_fit and lowest >= -(1 << (PORT_BITS - 1))


def _signed(value: Integers, bits: int) -> Integers:
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half
