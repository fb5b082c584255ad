// Product of an unsigned x and a signed w out of shifts and adds, so that synthesis builds it from
// LUTs and carry chains and leaves the DSP blocks to others. Two register stages, as the DSP form:
// operands at cycle c, product at c + 2. One product a cycle; a stage moves where its enable is 1.
// x is taken two bits at a time: 0, w, 2w or 3w is chosen in the LUTs of the adder that takes it,
// 3w is made once. Stage 1 adds the digits of each half of x in pairs, stage 2 the halves.
`default_nettype none

module lut_multiplier #(
  parameter int FeatureBits = 8,  // at most 16
  parameter int WeightBits = 16
) (
  input  wire                                            clk_i,
  input  wire        [1:0]                               enable_i,  // stage 1, stage 2
  input  wire        [FeatureBits-1:0]                   x_i,
  input  wire signed [WeightBits-1:0]                    w_i,
  output logic signed [FeatureBits+WeightBits-1:0]       product_o
);
  localparam int Low = 2 * ((FeatureBits + 3) / 4);  // bits of the lower half
  localparam int ProductBits = FeatureBits + WeightBits;
  localparam int TermBits = WeightBits + 2;
  localparam int SumBits = WeightBits + 8;  // of four digits
  localparam int LowBits = WeightBits + Low;
  localparam int HighBits = ProductBits - Low;

  logic signed [TermBits-1:0] triple;
  assign triple = TermBits'(w_i) + (TermBits'(w_i) <<< 1);

  function automatic logic signed [SumBits-1:0] term(
    input logic [1:0] digit, input logic signed [WeightBits-1:0] w,
    input logic signed [TermBits-1:0] w3);
    if (digit[1]) term = digit[0] ? SumBits'(w3) : SumBits'(w) <<< 1;
    else term = digit[0] ? SumBits'(w) : '0;
  endfunction

  // Digits that a half does not have are zero and cost nothing.
  function automatic logic signed [SumBits-1:0] sum(
    input logic [7:0] x, input logic signed [WeightBits-1:0] w,
    input logic signed [TermBits-1:0] w3);
    sum = (term(x[1:0], w, w3) + (term(x[3:2], w, w3) <<< 2)) +
          ((term(x[5:4], w, w3) + (term(x[7:6], w, w3) <<< 2)) <<< 4);
  endfunction

  logic signed [LowBits-1:0] low_q;
  logic signed [HighBits-1:0] high_q;

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) begin
      low_q <= LowBits'(sum(8'(x_i[Low-1:0]), w_i, triple));
      high_q <= HighBits'(sum(8'(x_i[FeatureBits-1:Low]), w_i, triple));
    end
    if (enable_i[1]) product_o <= ProductBits'(low_q) + (ProductBits'(high_q) <<< Low);
  end
endmodule

`default_nettype wire
