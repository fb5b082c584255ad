"""Every quantiser of Tandem, with every setting that it has: the one place to look them up.

A quantiser maps a real number x to clamp(floor(x / scale + 0.5), low, high) * scale: rounding is
half up, as the hardware adds one half and drops the fraction. Training passes the gradient straight
through the rounding and stops it where the clamp holds (Jacob et al., CVPR 2018); a learned scale
gets the gradient of Esser et al., Learned Step Size Quantization, ICLR 2020, section 2.1.

=================  ==========  =============================  ==================================
what               bits        range                          scale
=================  ==========  =============================  ==================================
weight             3 to 16     -(2^(W-1) - 1) .. 2^(W-1) - 1  one an output channel
weight (ternary)   2           -1, 0, 1                       one an output channel
weight (binary)    1           -1, 1                          one an output channel
feature            1 to 16     0 .. 2^F - 1                   one a map
image              2 to 8      -2^(B-1) .. 2^(B-1) - 1        2^-(B-2): images span -2 to 2
bias               32          int32                          weight scale * input scale
=================  ==========  =============================  ==================================

Designs use 4 to 16 bits; fewer are for studies. A threshold is the real number that the largest
whole number stands for: scale = threshold / (2^(W-1) - 1) or threshold / (2^F - 1).
"""

from __future__ import annotations

from typing import Any

import torch
from brevitas.core.function_wrapper import TensorClamp
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.function.ops_ste import floor_ste
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import (
    BitWidthImplType,
    FloatToIntImplType,
    QuantType,
    RestrictValueType,
    ScalingImplType,
    ScalingPerOutputType,
    StatsOp,
)
from brevitas.quant.solver.act import ActQuantSolver
from brevitas.quant.solver.bias import BiasQuantSolver
from brevitas.quant.solver.weight import WeightQuantSolver
from torch import Tensor, nn

from model.errors import TandemError

BITS_MAX = 16
BIAS_BITS = 32
# Thresholds never fall below it: far below what any channel needs, above float32's smallest.
THRESHOLD_MIN = 1e-30
# Where the clip of a map begins when nothing calibrates it, as a percentile of the features of the
# first batches: for the 2^F steps of a Gaussian behind a ReLU about where clipping and rounding
# cost the same (Banner et al., Post Training 4-bit Quantization, NeurIPS 2019, section 3.1).
PERCENTILES = {1: 95.6, 2: 98.4, 3: 99.5, 4: 99.8}
PERCENTILE = 99.99  # from 5 bits on
TERNARY_THRESHOLD = 0.7  # times mean(|w|): Li et al., Ternary Weight Networks, 2016, section 2.2
COLLECT_STEPS = 32  # training batches that decide it


class HalfUp(nn.Module):
    """floor(x + 0.5), with the gradient of x."""

    def __init__(self) -> None:  # Brevitas makes it, and reads its arguments
        super().__init__()

    def forward(self, values: Tensor) -> Tensor:
        """Any shape."""
        found: Tensor = floor_ste(values + 0.5)
        return found


class _Whole(ExtendedInjector):  # type: ignore[misc]
    """What all quantisers share."""

    quant_type = QuantType.INT
    bit_width_impl_type = BitWidthImplType.CONST
    float_to_int_impl = HalfUp
    float_to_int_impl_type = FloatToIntImplType.ROUND  # its name in QONNX; see qonnx_export
    zero_point_impl = ZeroZeroPoint
    restrict_scaling_type = RestrictValueType.FP
    tensor_clamp_impl = TensorClamp


class _Weight(_Whole, WeightQuantSolver):
    signed = True
    narrow_range = True
    scaling_per_output_type = ScalingPerOutputType.CHANNEL
    scaling_min_val = THRESHOLD_MIN


class _ThresholdWeight(_Weight):
    """Thresholds are parameters, one an output channel: learned, or set and fixed."""

    scaling_impl_type = ScalingImplType.PARAMETER
    scaling_init = torch.tensor(1.0)


class _MaximumWeight(_Weight):
    """Thresholds are always the largest weight of the channel."""

    scaling_impl_type = ScalingImplType.STATS
    scaling_stats_op = StatsOp.MAX


class _MeanWeight(_Weight):
    """Scales are always the mean magnitude of the channel's weights: for one and two bits."""

    scaling_impl_type = ScalingImplType.STATS
    scaling_stats_op = StatsOp.AVE
    threshold = TERNARY_THRESHOLD


class _Feature(_Whole, ActQuantSolver):
    signed = False
    narrow_range = False
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    scaling_min_val = THRESHOLD_MIN


class _ThresholdFeature(_Feature):
    """The threshold is a parameter: learned, or calibrated and fixed."""

    scaling_impl_type = ScalingImplType.PARAMETER
    scaling_init = torch.tensor(6.0)


class _PercentileFeature(_Feature):
    """The threshold is learned from a percentile of the first batches on."""

    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS
    scaling_stats_op = StatsOp.PERCENTILE
    collect_stats_steps = COLLECT_STEPS


class _Image(_Whole, ActQuantSolver):
    signed = True
    narrow_range = False
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    scaling_impl_type = ScalingImplType.CONST
    scaling_init = torch.tensor(2.0)


class _Bias(_Whole, BiasQuantSolver):
    signed = True
    narrow_range = False
    requires_input_scale = True
    bit_width = BIAS_BITS


Quantiser = type[ExtendedInjector]


def threshold_weight_quantiser(bits: int) -> Quantiser:
    """For ``QuantConv2d(weight_quant=)``: a threshold an output channel, a parameter; 3 to 16."""
    return _with_bits(_ThresholdWeight, bits, 3)


def threshold_feature_quantiser(bits: int) -> Quantiser:
    """For ``QuantReLU(act_quant=)``: a threshold a map, a parameter; 1 to 16 bits."""
    return _with_bits(_ThresholdFeature, bits, 1)


def image_quantiser(bits: int) -> Quantiser:
    """For ``QuantIdentity(act_quant=)``: normalised images of 2 to 8 bits; it changes none."""
    return _with_bits(_Image, bits, 2)


def bias_quantiser() -> Quantiser:
    """For ``QuantConv2d(bias_quant=)``: int32 in steps of the layer's sums."""
    quantiser: Quantiser = _Bias
    return quantiser


def weight_quantiser(bits: int | None) -> Quantiser | None:
    """For weights that are trained from the start, 1 to 16 bits; None leaves them in float.

    The scale follows the weights: from 3 bits on the channel's largest one, below the mean.
    """
    if bits is None:
        return None
    if bits > 2:
        return _with_bits(_MaximumWeight, bits, 3)
    kind = QuantType.BINARY if bits == 1 else QuantType.TERNARY
    return _with_bits(_MeanWeight, bits, 1).let(quant_type=kind)  # type: ignore[no-any-return]


def feature_quantiser(bits: int | None) -> Quantiser | None:
    """For features that are trained from the start, 1 to 16 bits; None leaves them in float."""
    if bits is None:
        return None
    percentile = PERCENTILES.get(bits, PERCENTILE)
    found: Quantiser = _with_bits(_PercentileFeature, bits, 1).let(high_percentile_q=percentile)
    return found


def threshold_of(proxy: Any) -> nn.Parameter:
    """The threshold of a quantiser made by ``threshold_...``: (O, 1, 1, 1) or ()."""
    found: nn.Parameter = _tensor_quantiser(proxy).scaling_impl.value
    return found


def scale_of(proxy: Any) -> Tensor:
    """What one step of such a quantiser, or of an image, is worth: (O, 1, 1, 1) or ()."""
    quantiser = _tensor_quantiser(proxy)
    steps = quantiser.int_scaling_impl(quantiser.msb_clamp_bit_width_impl())
    found: Tensor = quantiser.scaling_impl(steps, steps)
    return found


def _tensor_quantiser(proxy: Any) -> Any:
    fused = getattr(proxy, "fused_activation_quant_proxy", None)
    return (proxy if fused is None else fused).tensor_quant


def _with_bits(quantiser: Quantiser, bits: int, fewest: int) -> Quantiser:
    if not fewest <= bits <= BITS_MAX:
        raise TandemError(f"bits = {bits}: must be from {fewest} to {BITS_MAX}")
    found: Quantiser = quantiser.let(bit_width=bits)
    return found
