// One requantising lane: y = clamp((max(acc + bias, 0) * mult + half) >>> shift, 0, 2^F - 1).
//
// half is 1 << (shift - 1) where round_i is set and shift_i > 0, else 0. All inputs belong to one
// operation and are sampled at cycle c while valid_i is 1; y_o is valid at c + 5. One result a
// cycle. Stages: add and clamp at zero | partial products | product | shift | round and clamp. The
// operand is cut after 17 bits, so that each part is one DSP block with its product registered, and
// the second one adds the first's, 17 places down. Bit 0 of what is shifted lies one place below the
// result, so rounding adds one to a short number.
// The shift is made in three steps of a factor 16, 4 and 1, each of which keeps only the bits that
// can still reach the result and remembers whether one above them was set.
`default_nettype none

module requantise #(
  parameter int AccBits = 32,
  parameter int FeatureBits = 8,
  localparam int SumBits = ((AccBits > 32) ? AccBits : 32) + 1,
  localparam int ProductBits = SumBits + 16,
  localparam int LowBits = 17
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
  logic signed [LowBits+16:0] low_q;  // mult * the lower bits of the sum
  logic signed [ProductBits-LowBits-1:0] high_q;  // mult * the upper bits
  logic signed [ProductBits-LowBits-1:0] product_high_q;
  logic [LowBits-1:0] product_low_q;
  logic signed [ProductBits-1:0] product2;
  logic [FeatureBits:0] shifted_q;  // bit 0 is the half
  logic above_q, negative_q;  // a bit above shifted_q is set; the product is negative
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
      low_q <= $signed({1'b0, sum_q[LowBits-1:0]}) * mult_q;
      high_q <= $signed(sum_q[SumBits-1:LowBits]) * mult_q;
      shift2_q <= shift1_q;
      round2_q <= round1_q;
    end
    if (valid_q[1]) begin
      product_high_q <= high_q + (ProductBits - LowBits)'(low_q >>> LowBits);
      product_low_q <= low_q[LowBits-1:0];
      shift3_q <= shift2_q;
      round3_q <= round2_q;
    end
    if (valid_q[2]) begin
      shifted_q <= fine;
      above_q <= wide_above || coarse_above || fine_above;
      negative_q <= product2[ProductBits-1];
      round4_q <= round3_q;
    end
  end

  // ---- The shift: 48, 32, 16 or 0 places, then 12, 8, 4 or 0, then 3, 2, 1 or 0 -------------
  localparam int FineBits = FeatureBits + 1;
  localparam int CoarseBits = FineBits + 3;
  localparam int WideBits = CoarseBits + 12;
  localparam int Reach = WideBits + 49;  // one bit at least lies above every selection
  localparam int SourceBits = (ProductBits + 1 > Reach) ? ProductBits + 1 : Reach;

  logic [SourceBits-1:0] source;  // of a negative product only the sign is used
  logic [WideBits-1:0] wide;
  logic [CoarseBits-1:0] coarse;
  logic [FineBits-1:0] fine;
  logic wide_above, coarse_above, fine_above;
  assign product2 = {product_high_q, product_low_q};
  assign source = SourceBits'({product2, 1'b0});

  always_comb begin
    case (shift3_q[5:4])
      2'd0: {wide_above, wide} = {|source[SourceBits-1:WideBits], source[WideBits-1:0]};
      2'd1: {wide_above, wide} = {|source[SourceBits-1:WideBits+16], source[16+:WideBits]};
      2'd2: {wide_above, wide} = {|source[SourceBits-1:WideBits+32], source[32+:WideBits]};
      default: {wide_above, wide} = {|source[SourceBits-1:WideBits+48], source[48+:WideBits]};
    endcase
    case (shift3_q[3:2])
      2'd0: {coarse_above, coarse} = {|wide[WideBits-1:CoarseBits], wide[CoarseBits-1:0]};
      2'd1: {coarse_above, coarse} = {|wide[WideBits-1:CoarseBits+4], wide[4+:CoarseBits]};
      2'd2: {coarse_above, coarse} = {|wide[WideBits-1:CoarseBits+8], wide[8+:CoarseBits]};
      default: {coarse_above, coarse} = {1'b0, wide[12+:CoarseBits]};
    endcase
    case (shift3_q[1:0])
      2'd0: {fine_above, fine} = {|coarse[CoarseBits-1:FineBits], coarse[FineBits-1:0]};
      2'd1: {fine_above, fine} = {|coarse[CoarseBits-1:FineBits+1], coarse[1+:FineBits]};
      2'd2: {fine_above, fine} = {|coarse[CoarseBits-1:FineBits+2], coarse[2+:FineBits]};
      default: {fine_above, fine} = {1'b0, coarse[3+:FineBits]};
    endcase
  end

  // ---- Round and clamp --------------------------------------------------------------------------
  logic [FeatureBits+1:0] rounded;
  assign rounded = {1'b0, shifted_q} + (FeatureBits + 2)'(round4_q);

  always_ff @(posedge clk_i) begin
    if (valid_q[3]) begin
      if (negative_q) y_o <= '0;
      else if (above_q || rounded[FeatureBits+1]) y_o <= Top;
      else y_o <= rounded[FeatureBits:1];
    end
  end

  logic unused;
  assign unused = rounded[0];
endmodule

`default_nettype wire
