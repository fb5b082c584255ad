// Product of an unsigned x and a signed w out of shifts and adds, so that synthesis builds it from
// LUTs and carry chains and leaves the DSP blocks to others. Two register stages, as the DSP form:
// operands at cycle c, product at c + 2. One product a cycle; each stage moves where its enable is 1.
`default_nettype none

module lut_multiplier #(
  parameter int FeatureBits = 8,
  parameter int WeightBits = 16
) (
  input  wire                                            clk_i,
  input  wire        [1:0]                               enable_i,  // stage 1, stage 2
  input  wire        [FeatureBits-1:0]                   x_i,
  input  wire signed [WeightBits-1:0]                    w_i,
  output logic signed [FeatureBits+WeightBits-1:0]       product_o
);
  localparam int Low = FeatureBits / 2;
  localparam int ProductBits = FeatureBits + WeightBits;
  localparam int LowBits = WeightBits + Low;
  localparam int HighBits = ProductBits - Low;

  logic signed [LowBits-1:0] low_d, low_q;
  logic signed [HighBits-1:0] high_d, high_q;

  always_comb begin
    low_d = '0;
    high_d = '0;
    for (int b = 0; b < Low; b++) begin
      if (x_i[b]) low_d = low_d + (LowBits'(w_i) <<< b);
    end
    for (int b = Low; b < FeatureBits; b++) begin
      if (x_i[b]) high_d = high_d + (HighBits'(w_i) <<< (b - Low));
    end
  end

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) begin
      low_q <= low_d;
      high_q <= high_d;
    end
    if (enable_i[1]) product_o <= ProductBits'(low_q) + (ProductBits'(high_q) <<< Low);
  end
endmodule

`default_nettype wire
