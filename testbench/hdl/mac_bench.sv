// Simulation only: MAC control, MAC array and post-process as tandem_core connects them.
//
// The bench plays the memories (latency 2), the bank tokens and the weight store. No logic of its own.
`default_nettype none

module mac_bench #(
  parameter int InLanes = 4,
  parameter int OutLanes = 16,
  parameter int RequantLanes = 4,
  parameter int ConvKernelMax = 1,
  parameter int WeightBits = 16,
  parameter int FeatureBits = 8,
  parameter int AccBits = 32,
  parameter int Packing = 0,
  parameter int InBankWords = 1024,
  parameter int MidBankWords = 1024,
  parameter int OutBankLines = 1024,
  parameter int CommandDepth = 4,
  localparam int OffsetBits = 12,
  localparam int ReadyBits = 13,
  localparam int PixelBits = InLanes * FeatureBits,
  localparam int ByteBits = (FeatureBits > 8) ? 16 : 8,
  localparam int LineLanes = (RequantLanes > 64 / ByteBits) ? RequantLanes : 64 / ByteBits
) (
  input  wire                                      clk_i,
  input  wire                                      rst_i,
  input  wire                                      flush_i,
  input  wire                                      cmd_push_i,
  input  wire  [program_pkg::MacBits-1:0]          cmd_i,
  output logic                                     cmd_full_o,
  input  wire                                      in_full_i,
  input  wire                                      in_bank_i,
  output logic                                     in_release_o,
  output logic                                     in_re_o,
  output logic [$clog2(InBankWords)-1:0]           in_addr_o,
  output logic                                     in_bank_o,
  input  wire  [PixelBits-1:0]                     in_data_i,
  input  wire                                      mid_full_i,
  input  wire                                      mid_bank_i,
  output logic                                     mid_release_o,
  output logic                                     mid_re_o,
  output logic [$clog2(MidBankWords)-1:0]          mid_addr_o,
  output logic                                     mid_bank_o,
  input  wire  [PixelBits-1:0]                     mid_data_i,
  input  wire                                      out_free_i,
  output logic                                     claim_o,
  input  wire  [ReadyBits-1:0]                     groups_ready_i,
  output logic                                     weight_re_o,
  output logic [OffsetBits-1:0]                    weight_offset_o,
  input  wire  [OutLanes*InLanes*WeightBits-1:0]   weight_data_i,
  output logic                                     release_o,
  output logic [11:0]                              release_words_o,
  output logic                                     param_re_o,
  output logic [OffsetBits-1:0]                    param_offset_o,
  input  wire  [RequantLanes*48-1:0]               param_data_i,
  output logic                                     params_done_o,
  output logic [7:0]                               params_done_words_o,
  output logic [LineLanes/RequantLanes-1:0]        out_we_o,
  output logic [$clog2(OutBankLines)-1:0]          out_line_o,
  output logic                                     out_bank_o,
  output logic [LineLanes*ByteBits-1:0]            out_data_o,
  output logic                                     out_fill_o,
  output logic                                     mac_start_o,
  output logic                                     mac_end_o,
  output logic [23:0]                              mac_tag_o,  // bundle, tile
  output logic [1:0]                               mac_class_o,
  output logic                                     post_start_o,
  output logic [23:0]                              post_start_tag_o,
  output logic                                     post_end_o,
  output logic [23:0]                              post_end_tag_o,
  output logic [1:0]                               post_class_o
);
  logic reset;
  logic issue, issue_first, issue_last, issue_pad, issue_mid, issue_tile_first;
  logic issue_group_last, issue_bank;
  logic [FeatureBits-1:0] issue_pad_value;
  logic [1:0] issue_pixel;
  logic claim_bank, claim_raw, claim_round, claim_release, claim_last;
  logic [7:0] claim_steps, claim_param_words, claim_bundle;
  logic [1:0] claim_pool;
  logic [5:0] claim_shift;
  logic [OffsetBits-1:0] claim_param_offset;
  logic [15:0] claim_tile;
  logic vector_valid, vector_tile_first, vector_group_last, vector_bank;
  logic [OutLanes*AccBits-1:0] vector;
  logic [1:0] vector_pixel;

  assign reset = rst_i || flush_i;

  mac_control #(
    .ConvKernelMax(ConvKernelMax),
    .FeatureBits  (FeatureBits),
    .AccBits      (AccBits),
    .InBankWords  (InBankWords),
    .MidBankWords (MidBankWords),
    .CommandDepth (CommandDepth),
    .OffsetBits   (OffsetBits),
    .ReadyBits    (ReadyBits)
  ) u_control (
    .clk_i,
    .rst_i,
    .flush_i,
    .cmd_push_i,
    .cmd_i,
    .cmd_full_o,
    .in_full_i,
    .in_bank_i,
    .in_release_o,
    .in_re_o,
    .in_addr_o,
    .in_bank_o,
    .mid_full_i,
    .mid_bank_i,
    .mid_release_o,
    .mid_re_o,
    .mid_addr_o,
    .mid_bank_o,
    .out_free_i,
    .groups_ready_i,
    .weight_re_o,
    .weight_offset_o,
    .release_o,
    .release_words_o,
    .issue_o             (issue),
    .issue_first_o       (issue_first),
    .issue_last_o        (issue_last),
    .issue_pad_o         (issue_pad),
    .issue_mid_o         (issue_mid),
    .issue_pad_value_o   (issue_pad_value),
    .issue_pixel_o       (issue_pixel),
    .issue_tile_first_o  (issue_tile_first),
    .issue_group_last_o  (issue_group_last),
    .issue_bank_o        (issue_bank),
    .claim_o,
    .claim_bank_o        (claim_bank),
    .claim_steps_o       (claim_steps),
    .claim_pool_o        (claim_pool),
    .claim_raw_o         (claim_raw),
    .claim_shift_o       (claim_shift),
    .claim_round_o       (claim_round),
    .claim_param_offset_o(claim_param_offset),
    .claim_release_o     (claim_release),
    .claim_param_words_o (claim_param_words),
    .claim_last_o        (claim_last),
    .claim_bundle_o      (claim_bundle),
    .claim_tile_o        (claim_tile),
    .tile_start_o        (mac_start_o),
    .tile_end_o          (mac_end_o),
    .bundle_o            (mac_tag_o[23:16]),
    .tile_o              (mac_tag_o[15:0]),
    .class_o             (mac_class_o)
  );

  mac_array #(
    .InLanes    (InLanes),
    .OutLanes   (OutLanes),
    .WeightBits (WeightBits),
    .FeatureBits(FeatureBits),
    .AccBits    (AccBits),
    .Packing    (Packing)
  ) u_array (
    .clk_i,
    .rst_i              (reset),
    .issue_i            (issue),
    .issue_first_i      (issue_first),
    .issue_last_i       (issue_last),
    .issue_pad_i        (issue_pad),
    .issue_mid_i        (issue_mid),
    .issue_pad_value_i  (issue_pad_value),
    .issue_pixel_i      (issue_pixel),
    .issue_tile_first_i (issue_tile_first),
    .issue_group_last_i (issue_group_last),
    .issue_bank_i       (issue_bank),
    .in_data_i,
    .mid_data_i,
    .weight_data_i,
    .vector_valid_o     (vector_valid),
    .vector_o           (vector),
    .vector_pixel_o     (vector_pixel),
    .vector_tile_first_o(vector_tile_first),
    .vector_group_last_o(vector_group_last),
    .vector_bank_o      (vector_bank)
  );

  post_process #(
    .OutLanes    (OutLanes),
    .RequantLanes(RequantLanes),
    .FeatureBits (FeatureBits),
    .AccBits     (AccBits),
    .OutBankLines(OutBankLines),
    .OffsetBits  (OffsetBits)
  ) u_post (
    .clk_i,
    .rst_i               (reset),
    .claim_i             (claim_o),
    .claim_bank_i        (claim_bank),
    .claim_steps_i       (claim_steps),
    .claim_pool_i        (claim_pool),
    .claim_raw_i         (claim_raw),
    .claim_shift_i       (claim_shift),
    .claim_round_i       (claim_round),
    .claim_param_offset_i(claim_param_offset),
    .claim_release_i     (claim_release),
    .claim_param_words_i (claim_param_words),
    .claim_last_i        (claim_last),
    .claim_bundle_i      (claim_bundle),
    .claim_tile_i        (claim_tile),
    .vector_valid_i      (vector_valid),
    .vector_i            (vector),
    .vector_pixel_i      (vector_pixel),
    .vector_tile_first_i (vector_tile_first),
    .vector_group_last_i (vector_group_last),
    .vector_bank_i       (vector_bank),
    .param_re_o,
    .param_offset_o,
    .param_data_i,
    .params_done_o,
    .params_done_words_o,
    .out_we_o,
    .out_line_o,
    .out_bank_o,
    .out_data_o,
    .out_fill_o,
    .tile_start_o        (post_start_o),
    .start_bundle_o      (post_start_tag_o[23:16]),
    .start_tile_o        (post_start_tag_o[15:0]),
    .tile_end_o          (post_end_o),
    .end_bundle_o        (post_end_tag_o[23:16]),
    .end_tile_o          (post_end_tag_o[15:0]),
    .class_o             (post_class_o)
  );
endmodule

`default_nettype wire
