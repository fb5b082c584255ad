// MAC array: OutLanes dot products of InLanes terms a cycle, and one accumulator per output lane.
//
// An issue is announced at cycle c with its flags; its features and its weight word come at c + 2
// (RAM latency). Stages: 2 RAM, 1 operands, 1 product, L = ceil(log2(InLanes)) adder tree, 1
// accumulator: after an issue with issue_last_i the vector is valid at c + 5 + L for one cycle, with
// the flags of that issue. One issue a cycle, no stall. Every stage moves only where it holds data.
// The product is registered once: with its operands and the first adder of the tree it fits one DSP
// block. With Packing, the output lanes 2p and 2p + 1 share one (mac_packed_product); stages and
// sums stay the same. Sums wrap modulo 2^AccBits, which is exact where the final one fits. Weight
// lane (o, i) is at weight_data_i[(o*InLanes + i)*WeightBits +: WeightBits].
`default_nettype none

module mac_array #(
  parameter int InLanes = 4,
  parameter int OutLanes = 16,
  parameter int WeightBits = 16,
  parameter int FeatureBits = 8,
  parameter int AccBits = 32,
  parameter int Packing = 0,  // 1: two products a multiplier; OutLanes is even then
  localparam int PixelBits = InLanes * FeatureBits
) (
  input  wire                                      clk_i,
  input  wire                                      rst_i,  // also flush
  input  wire                                      issue_i,
  input  wire                                      issue_first_i,
  input  wire                                      issue_last_i,
  input  wire                                      issue_pad_i,
  input  wire                                      issue_mid_i,
  input  wire  [FeatureBits-1:0]                   issue_pad_value_i,
  input  wire  [1:0]                               issue_pixel_i,
  input  wire                                      issue_tile_first_i,
  input  wire                                      issue_group_last_i,
  input  wire                                      issue_bank_i,
  input  wire  [PixelBits-1:0]                     in_data_i,
  input  wire  [PixelBits-1:0]                     mid_data_i,
  input  wire  [OutLanes*InLanes*WeightBits-1:0]   weight_data_i,
  output logic                                     vector_valid_o,
  output logic [OutLanes*AccBits-1:0]              vector_o,
  output logic [1:0]                               vector_pixel_o,
  output logic                                     vector_tile_first_o,
  output logic                                     vector_group_last_o,
  output logic                                     vector_bank_o
);
  localparam int Levels = $clog2(InLanes);
  localparam int ProductBits = WeightBits + FeatureBits;
  localparam int SumBits = ProductBits + Levels;
  localparam int Stages = 4 + Levels;  // bit n of a flag is its value n + 1 cycles after the issue
  localparam int EnableBits = (Levels > 0) ? Levels : 1;

  logic [Stages-1:0] valid_q, first_q, last_q;
  logic [1:0] pad_q, mid_q;
  logic [FeatureBits-1:0] pad_value1_q, pad_value2_q;
  logic [Stages:0][4:0] tag_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_q <= '0;
      vector_valid_o <= 1'b0;
    end else begin
      valid_q <= {valid_q[Stages-2:0], issue_i};
      vector_valid_o <= valid_q[Stages-1] && last_q[Stages-1];
    end
    first_q <= {first_q[Stages-2:0], issue_first_i};
    last_q <= {last_q[Stages-2:0], issue_last_i};
    pad_q <= {pad_q[0], issue_pad_i};
    mid_q <= {mid_q[0], issue_mid_i};
    pad_value1_q <= issue_pad_value_i;
    pad_value2_q <= pad_value1_q;
    tag_q <= {tag_q[Stages-1:0],
              {issue_pixel_i, issue_tile_first_i, issue_group_last_i, issue_bank_i}};
  end
  assign {vector_pixel_o, vector_tile_first_o, vector_group_last_o, vector_bank_o} = tag_q[Stages];

  logic [EnableBits-1:0] level_enable;
  if (Levels > 0) begin : gen_enable
    assign level_enable = valid_q[Stages-2:3];
  end else begin : gen_no_enable
    assign level_enable = '0;
  end

  logic [PixelBits-1:0] features;
  assign features = pad_q[1] ? {InLanes{pad_value2_q}} : mid_q[1] ? mid_data_i : in_data_i;

  logic [OutLanes*InLanes*ProductBits-1:0] products;  // lane (o, i), as the weights
  logic [OutLanes*InLanes-1:0] carries;  // to be added to the product

  if (Packing != 0) begin : gen_packed
    for (genvar p = 0; p < OutLanes / 2; p++) begin : gen_pair
      for (genvar i = 0; i < InLanes; i++) begin : gen_product
        localparam int Low = 2 * p * InLanes + i;
        localparam int High = Low + InLanes;
        mac_packed_product #(
          .WeightBits (WeightBits),
          .FeatureBits(FeatureBits)
        ) u_product (
          .clk_i,
          .operand_enable_i(valid_q[1]),
          .product_enable_i(valid_q[2]),
          .low_weight_i    (weight_data_i[Low*WeightBits+:WeightBits]),
          .high_weight_i   (weight_data_i[High*WeightBits+:WeightBits]),
          .feature_i       (features[i*FeatureBits+:FeatureBits]),
          .low_o           (products[Low*ProductBits+:ProductBits]),
          .high_o          (products[High*ProductBits+:ProductBits]),
          .borrow_o        (carries[High])
        );
        assign carries[Low] = 1'b0;
      end
    end
  end else begin : gen_single
    for (genvar i = 0; i < InLanes; i++) begin : gen_feature
      logic signed [FeatureBits:0] x_q;
      always_ff @(posedge clk_i) begin
        if (valid_q[1]) x_q <= $signed({1'b0, features[i*FeatureBits+:FeatureBits]});
      end
      for (genvar o = 0; o < OutLanes; o++) begin : gen_product
        logic signed [WeightBits-1:0] w_q;
        logic signed [ProductBits-1:0] product_q;
        always_ff @(posedge clk_i) begin
          if (valid_q[1])
            w_q <= $signed(weight_data_i[(o*InLanes+i)*WeightBits+:WeightBits]);
          if (valid_q[2]) product_q <= ProductBits'(x_q * w_q);
        end
        assign products[(o*InLanes+i)*ProductBits+:ProductBits] = product_q;
      end
    end
    assign carries = '0;
  end

  for (genvar o = 0; o < OutLanes; o++) begin : gen_lane
    logic signed [SumBits-1:0] sum;
    logic signed [AccBits-1:0] base, acc_q;
    assign base = first_q[Stages-1] ? AccBits'(0) : acc_q;

    if (Packing != 0 && o % 2 == 1) begin : gen_high
      logic carry, unused;
      logic signed [AccBits:0] total;
      carry_adder_tree #(
        .Terms   (InLanes),
        .TermBits(ProductBits)
      ) u_tree (
        .clk_i,
        .enable_i (level_enable),
        .terms_i  (products[o*InLanes*ProductBits+:InLanes*ProductBits]),
        .carries_i(carries[o*InLanes+:InLanes]),
        .sum_o    (sum),
        .carry_o  (carry)
      );
      assign total = $signed({AccBits'(sum), 1'b1}) + $signed({base, carry});
      always_ff @(posedge clk_i) if (valid_q[Stages-1]) acc_q <= total[AccBits:1];
      assign unused = total[0];
    end else begin : gen_plain
      logic unused;
      adder_tree #(
        .Terms   (InLanes),
        .TermBits(ProductBits)
      ) u_tree (
        .clk_i,
        .enable_i(level_enable),
        .terms_i (products[o*InLanes*ProductBits+:InLanes*ProductBits]),
        .sum_o   (sum)
      );
      always_ff @(posedge clk_i) if (valid_q[Stages-1]) acc_q <= AccBits'(sum) + base;
      assign unused = ^carries[o*InLanes+:InLanes];
    end
    assign vector_o[o*AccBits+:AccBits] = acc_q;
  end

`ifndef SYNTHESIS
  initial begin
    if (AccBits < ProductBits)
      $fatal(1, "%m: AccBits %0d below %0d of one product", AccBits, ProductBits);
    if (Packing != 0 && OutLanes % 2 != 0)
      $fatal(1, "%m: Packing needs an even number of lanes, not %0d", OutLanes);
  end
`endif
endmodule

`default_nettype wire
