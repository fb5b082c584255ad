// 2 x 2 average pool over requantised features: (a + b + c + d + 2) >> 2 per lane.
//
// The four pixels of a window arrive as four passes over the steps of a vector; a partial sum per
// step waits in a small LUT memory. Operands (feature_i of pixel_i, step_i) at cycle c with valid_i,
// average_o in the same cycle c, meaningful for pixel 3. No reset.
`default_nettype none

module average_pool #(
  parameter int Lanes = 4,
  parameter int Steps = 4,
  parameter int FeatureBits = 8,
  localparam int StepBits = (Steps > 1) ? $clog2(Steps) : 1,
  localparam int SumBits = FeatureBits + 2
) (
  input  wire                          clk_i,
  input  wire                          valid_i,
  input  wire  [1:0]                   pixel_i,
  input  wire  [StepBits-1:0]          step_i,
  input  wire  [Lanes*FeatureBits-1:0] feature_i,
  output logic [Lanes*FeatureBits-1:0] average_o
);
  (* ram_style = "distributed" *) logic [Lanes*SumBits-1:0] mem [Steps];
  logic [Lanes*SumBits-1:0] old, sum;

  assign old = mem[step_i];
  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic [SumBits-1:0] lane;
    // The first pixel brings the half of the rounding along.
    assign lane = SumBits'(feature_i[l*FeatureBits+:FeatureBits]) +
                  ((pixel_i == 2'd0) ? SumBits'(2) : old[l*SumBits+:SumBits]);
    assign sum[l*SumBits+:SumBits] = lane;
    assign average_o[l*FeatureBits+:FeatureBits] = lane[SumBits-1:2];
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) mem[step_i] <= sum;
  end
endmodule

`default_nettype wire
