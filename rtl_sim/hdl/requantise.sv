// One requantising lane: y = clamp((max(acc + bias, 0) * mult + half) >>> shift, 0, 2^F - 1).
//
// half is 1 << (shift - 1) where round_i is set and shift_i > 0, else 0. All inputs belong to one
// operation and are sampled at cycle c while valid_i is 1; y_o is valid at c + 5. One result a
// cycle. Stages: add and clamp at zero | product | product | shift | round and clamp. The product
// keeps one bit below the binary point after the shift, so rounding adds one to a short number.
`default_nettype none

module requantise #(
  parameter int AccBits = 32,
  parameter int FeatureBits = 8,
  localparam int SumBits = ((AccBits > 32) ? AccBits : 32) + 1,
  localparam int ProductBits = SumBits + 16
) (
  input  wire                             clk_i,
  input  wire                             valid_i,
  input  wire signed [AccBits-1:0]        acc_i,
  input  wire signed [31:0]               bias_i,
  input  wire signed [15:0]               mult_i,
  input  wire        [5:0]                shift_i,
  input  wire                             round_i,
  output logic       [FeatureBits-1:0]    y_o
);
  localparam logic [FeatureBits-1:0] Top = {FeatureBits{1'b1}};

  logic [3:0] valid_q;  // stages 1 to 4 hold an operation
  logic signed [SumBits-1:0] sum_d;
  logic signed [SumBits-1:0] sum_q;  // never negative
  logic signed [15:0] mult_q;
  logic signed [ProductBits-1:0] product_q;
  logic signed [ProductBits-1:0] product2_q;
  logic signed [ProductBits:0] shifted_q;  // bit 0 is the half
  logic [5:0] shift1_q, shift2_q, shift3_q;
  logic round1_q, round2_q, round3_q, round4_q;

  assign sum_d = SumBits'(acc_i) + SumBits'(bias_i);

  always_ff @(posedge clk_i) begin
    valid_q <= {valid_q[2:0], valid_i};
    if (valid_i) begin
      sum_q <= sum_d[SumBits-1] ? '0 : sum_d;
      mult_q <= mult_i;
      shift1_q <= shift_i;
      round1_q <= round_i;
    end
    if (valid_q[0]) begin
      product_q <= sum_q * mult_q;
      shift2_q <= shift1_q;
      round2_q <= round1_q;
    end
    if (valid_q[1]) begin
      product2_q <= product_q;
      shift3_q <= shift2_q;
      round3_q <= round2_q;
    end
    if (valid_q[2]) begin
      shifted_q <= $signed({product2_q, 1'b0}) >>> shift3_q;
      round4_q <= round3_q;
    end
  end

  // shifted_q + round_i, halved: above the top where any bit over F + 1 is set, or by the carry.
  logic [FeatureBits+1:0] rounded;
  logic above;
  assign rounded = {1'b0, shifted_q[FeatureBits:0]} + (FeatureBits + 2)'(round4_q);
  assign above = (|shifted_q[ProductBits-1:FeatureBits+1]) | rounded[FeatureBits+1];

  always_ff @(posedge clk_i) begin
    if (valid_q[3]) begin
      if (shifted_q[ProductBits]) y_o <= '0;
      else if (above) y_o <= Top;
      else y_o <= rounded[FeatureBits:1];
    end
  end

  logic unused;
  assign unused = rounded[0];
endmodule

`default_nettype wire
