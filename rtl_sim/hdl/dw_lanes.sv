// Multipliers, adder trees and accumulators of the depth-wise unit: InLanes lanes of Taps products.
//
// At cycle c (valid_i) the window, the weights and phase_i give the operands of taps phase_i * Taps
// and up; products, registered twice, come at c + 3, their sum at c + 3 + T, T = ceil(log2(Taps)),
// and the accumulator at c + 4 + T, where acc_valid_o is 1 if last_i was. first_i starts a sum. One
// phase a cycle. Tap t of a 3 x 3 (or 5 x 5, kernel5_i) kernel is row t / 3, column t % 3; weight of
// tap t, lane l at weights_i[(t*InLanes + l)*WeightBits +: WeightBits]; the window as dw_window has it.
`default_nettype none

module dw_lanes #(
  parameter int InLanes = 4,
  parameter int Taps = 9,
  parameter int Kernel = 3,
  parameter int WeightBits = 16,
  parameter int FeatureBits = 8,
  parameter int LutMultipliers = 0,
  parameter int PhaseBits = 1,
  localparam int Cells = Kernel * Kernel,
  localparam int AccBits = WeightBits + FeatureBits + $clog2(Cells)
) (
  input  wire                                         clk_i,
  input  wire                                         rst_i,
  input  wire                                         valid_i,
  input  wire                                         first_i,
  input  wire                                         last_i,
  input  wire                                         kernel5_i,
  input  wire  [PhaseBits-1:0]                        phase_i,
  input  wire  [Cells*InLanes*FeatureBits-1:0]        window_i,
  input  wire  [Cells*InLanes*WeightBits-1:0]         weights_i,
  output logic                                        acc_valid_o,
  output logic [InLanes*AccBits-1:0]                  acc_o
);
  localparam int Levels = $clog2(Taps);
  localparam int EnableBits = (Levels > 0) ? Levels : 1;
  localparam int Phases3 = (9 + Taps - 1) / Taps;
  localparam int Phases5 = (25 + Taps - 1) / Taps;
  localparam int ProductBits = WeightBits + FeatureBits;
  localparam int SumBits = ProductBits + Levels;
  localparam int Sum = 3 + Levels;  // stage at which the sum of the tree is valid

  // Bit n is the flag n + 1 cycles after its phase was given; all follow the data.
  logic [Sum-1:0] valid_q, first_q, last_q;
  logic [Sum:0] valid_shift, first_shift, last_shift;
  logic [EnableBits-1:0] level_enable;

  assign valid_shift = {valid_q, valid_i};
  assign first_shift = {first_q, first_i};
  assign last_shift = {last_q, last_i};
  if (Levels > 0) begin : gen_enable
    assign level_enable = valid_q[Sum-2:2];
  end else begin : gen_no_enable
    assign level_enable = '0;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_q <= '0;
      acc_valid_o <= 1'b0;
    end else begin
      valid_q <= valid_shift[Sum-1:0];
      acc_valid_o <= valid_q[Sum-1] && last_q[Sum-1];
    end
    first_q <= first_shift[Sum-1:0];
    last_q <= last_shift[Sum-1:0];
  end

  for (genvar l = 0; l < InLanes; l++) begin : gen_lane
    logic [Taps*ProductBits-1:0] products;
    logic signed [SumBits-1:0] sum;
    logic signed [AccBits-1:0] acc_q;

    for (genvar m = 0; m < Taps; m++) begin : gen_multiplier
      logic [FeatureBits-1:0] x_d, x_q;
      logic signed [WeightBits-1:0] w_d, w_q;

      // One candidate per phase and kernel, zero where a phase has no tap for this multiplier.
      logic [Phases3*FeatureBits-1:0] x3;
      logic [Phases3*WeightBits-1:0] w3;
      for (genvar p = 0; p < Phases3; p++) begin : gen_phase3
        localparam int Tap = p * Taps + m;
        if (Tap < 9) begin : gen_tap
          localparam int Cell = (2 - Tap / 3) * Kernel + 2 - Tap % 3;
          assign x3[p*FeatureBits+:FeatureBits] = window_i[(Cell*InLanes+l)*FeatureBits+:FeatureBits];
          assign w3[p*WeightBits+:WeightBits] = weights_i[(Tap*InLanes+l)*WeightBits+:WeightBits];
        end else begin : gen_none
          assign x3[p*FeatureBits+:FeatureBits] = '0;
          assign w3[p*WeightBits+:WeightBits] = '0;
        end
      end

      if (Kernel == 5) begin : gen_both
        logic [Phases5*FeatureBits-1:0] x5;
        logic [Phases5*WeightBits-1:0] w5;
        for (genvar p = 0; p < Phases5; p++) begin : gen_phase5
          localparam int Tap = p * Taps + m;
          if (Tap < 25) begin : gen_tap
            assign x5[p*FeatureBits+:FeatureBits] = window_i[((24-Tap)*InLanes+l)*FeatureBits+:FeatureBits];
            assign w5[p*WeightBits+:WeightBits] = weights_i[(Tap*InLanes+l)*WeightBits+:WeightBits];
          end else begin : gen_none
            assign x5[p*FeatureBits+:FeatureBits] = '0;
            assign w5[p*WeightBits+:WeightBits] = '0;
          end
        end
        always_comb begin
          x_d = kernel5_i ? x5[FeatureBits-1:0] : x3[FeatureBits-1:0];
          w_d = $signed(kernel5_i ? w5[WeightBits-1:0] : w3[WeightBits-1:0]);
          for (int p = 1; p < Phases5; p++) begin
            if (kernel5_i && phase_i == PhaseBits'(p)) begin
              x_d = x5[p*FeatureBits+:FeatureBits];
              w_d = $signed(w5[p*WeightBits+:WeightBits]);
            end
          end
          for (int p = 1; p < Phases3; p++) begin
            if (!kernel5_i && phase_i == PhaseBits'(p)) begin
              x_d = x3[p*FeatureBits+:FeatureBits];
              w_d = $signed(w3[p*WeightBits+:WeightBits]);
            end
          end
        end
      end else begin : gen_three
        always_comb begin
          x_d = x3[FeatureBits-1:0];
          w_d = $signed(w3[WeightBits-1:0]);
          for (int p = 1; p < Phases3; p++) begin
            if (phase_i == PhaseBits'(p)) begin
              x_d = x3[p*FeatureBits+:FeatureBits];
              w_d = $signed(w3[p*WeightBits+:WeightBits]);
            end
          end
        end
      end

      always_ff @(posedge clk_i) begin
        if (valid_i) begin
          x_q <= x_d;
          w_q <= w_d;
        end
      end

      if (LutMultipliers != 0) begin : gen_lut
        logic signed [ProductBits-1:0] product;
        lut_multiplier #(
          .FeatureBits(FeatureBits),
          .WeightBits (WeightBits)
        ) u_multiplier (
          .clk_i,
          .enable_i (valid_q[1:0]),
          .x_i      (x_q),
          .w_i      (w_q),
          .product_o(product)
        );
        assign products[m*ProductBits+:ProductBits] = product;
      end else begin : gen_dsp
        logic signed [ProductBits-1:0] product_q, product2_q;
        always_ff @(posedge clk_i) begin
          if (valid_q[0]) product_q <= ProductBits'($signed({1'b0, x_q}) * w_q);
          if (valid_q[1]) product2_q <= product_q;
        end
        assign products[m*ProductBits+:ProductBits] = product2_q;
      end
    end

    adder_tree #(
      .Terms   (Taps),
      .TermBits(ProductBits)
    ) u_tree (
      .clk_i,
      .enable_i(level_enable),
      .terms_i (products),
      .sum_o   (sum)
    );

    always_ff @(posedge clk_i) begin
      if (valid_q[Sum-1]) acc_q <= AccBits'(sum) + (first_q[Sum-1] ? AccBits'(0) : acc_q);
    end
    assign acc_o[l*AccBits+:AccBits] = acc_q;
  end

  logic unused;
  assign unused = ^{valid_shift[Sum], first_shift[Sum], last_shift[Sum], kernel5_i, phase_i};
endmodule

`default_nettype wire
