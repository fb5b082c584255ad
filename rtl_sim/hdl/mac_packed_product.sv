// Two products that share a feature, out of one 25 x 18 bit multiplier (DSP48E1).
//
// Operands at cycle c (operand_enable_i), products at c + 2: operand registers, product register
// (product_enable_i at c + 1). One pair a cycle, no stall.
// (high << Spacing) + low, built by the block's pre-adder, goes to the 25-bit port. The lower
// Spacing = WeightBits + FeatureBits bits of the product are low * feature, signed. The upper ones
// are high * feature, less one where that is negative: high * feature = high_o + borrow_o, which
// adders behind take as carry, for nothing.
// Exact for all weights and features where 2 * WeightBits + FeatureBits <= 24. Where it is 25, the
// pre-adder has no bit left and high = -2^(WeightBits-1) is not allowed (model/packing.py).
`default_nettype none

module mac_packed_product #(
  parameter int WeightBits = 8,
  parameter int FeatureBits = 8,
  localparam int ProductBits = WeightBits + FeatureBits
) (
  input  wire                           clk_i,
  input  wire                           operand_enable_i,
  input  wire                           product_enable_i,
  input  wire         [WeightBits-1:0]  low_weight_i,
  input  wire         [WeightBits-1:0]  high_weight_i,
  input  wire         [FeatureBits-1:0] feature_i,
  output logic signed [ProductBits-1:0] low_o,
  output logic signed [ProductBits-1:0] high_o,
  output logic                          borrow_o
);
  localparam int PortBits = 25;
  localparam int Spacing = ProductBits;
  localparam int WantedBits = Spacing + WeightBits + 1;
  localparam int OperandBits = (WantedBits < PortBits) ? WantedBits : PortBits;
  localparam int PairBits = 2 * ProductBits;

  logic signed [OperandBits-1:0] low_q, high_q, operand;
  logic signed [FeatureBits:0] feature_q;
  logic signed [PairBits-1:0] pair_q;

  assign operand = low_q + high_q;

  always_ff @(posedge clk_i) begin
    if (operand_enable_i) begin
      low_q <= OperandBits'($signed(low_weight_i));
      high_q <= OperandBits'($signed({high_weight_i, Spacing'(0)}));
      feature_q <= $signed({1'b0, feature_i});
    end
    if (product_enable_i) pair_q <= PairBits'(operand * feature_q);
  end

  assign low_o = $signed(pair_q[0+:ProductBits]);
  assign high_o = $signed(pair_q[Spacing+:ProductBits]);
  assign borrow_o = pair_q[Spacing-1];

`ifndef SYNTHESIS
  initial begin
    if (Spacing + WeightBits > PortBits)
      $fatal(1, "%m: two %0d-bit weights beside a %0d-bit feature need %0d bits, a port has %0d",
             WeightBits, FeatureBits, Spacing + WeightBits, PortBits);
  end
`endif
endmodule

`default_nettype wire
