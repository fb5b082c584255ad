// The accelerator: sequencer, feature and weight load, depth-wise unit, MAC array with
// post-process, feature store, their buffers, and one read multiplexer per AXI port.
//
// All timing is that of the units (docs/microarchitecture.md); this module adds no cycle. Read
// masters share a port as the *Port parameters say; the store owns the write channels of StorePort.
`default_nettype none

module tandem_core #(
  parameter int InLanes = 4,
  parameter int OutLanes = 16,
  parameter int RequantLanes = 4,
  parameter int DwTaps = 9,
  parameter int DwLutMultipliers = 1,
  parameter int DwKernelMax = 3,
  parameter int ConvKernelMax = 1,
  parameter int WeightBits = 8,
  parameter int FeatureBits = 8,
  parameter int AccBits = 32,
  parameter int MacPacking = 0,
  parameter int Outstanding = 4,
  parameter int CommandDepth = 4,
  parameter int InputLines = 1024,
  parameter int MidWords = 1024,
  parameter int OutputLines = 512,
  parameter int WeightWords = 128,
  parameter int ParamWords = 32,
  parameter int DwWeightWords = 128,
  parameter int DwParamWords = 16,
  parameter int DwLineWords = 64,
  parameter int Ports = 1,
  parameter int ProgramPort = 0,
  parameter int WeightPort = 0,
  parameter int LoadPort = 0,
  parameter int StorePort = 0,
  parameter logic [31:0] BuildId = 32'd0
) (
  input  logic                   clk_i,
  input  logic                   rst_i,
  output logic                   irq_o,

  input  logic                   axil_awvalid_i,
  output logic                   axil_awready_o,
  input  logic [11:0]            axil_awaddr_i,
  input  logic                   axil_wvalid_i,
  output logic                   axil_wready_o,
  input  logic [31:0]            axil_wdata_i,
  input  logic [3:0]             axil_wstrb_i,
  output logic                   axil_bvalid_o,
  input  logic                   axil_bready_i,
  output logic [1:0]             axil_bresp_o,
  input  logic                   axil_arvalid_i,
  output logic                   axil_arready_o,
  input  logic [11:0]            axil_araddr_i,
  output logic                   axil_rvalid_o,
  input  logic                   axil_rready_i,
  output logic [31:0]            axil_rdata_o,
  output logic [1:0]             axil_rresp_o,

  output logic [Ports-1:0]       axi_arvalid_o,
  input  logic [Ports-1:0]       axi_arready_i,
  output logic [Ports-1:0][31:0] axi_araddr_o,
  output logic [Ports-1:0][3:0]  axi_arlen_o,
  output logic [Ports-1:0][2:0]  axi_arsize_o,
  output logic [Ports-1:0][1:0]  axi_arburst_o,
  input  logic [Ports-1:0]       axi_rvalid_i,
  output logic [Ports-1:0]       axi_rready_o,
  input  logic [Ports-1:0][63:0] axi_rdata_i,
  input  logic [Ports-1:0][1:0]  axi_rresp_i,
  input  logic [Ports-1:0]       axi_rlast_i,
  output logic [Ports-1:0]       axi_awvalid_o,
  input  logic [Ports-1:0]       axi_awready_i,
  output logic [Ports-1:0][31:0] axi_awaddr_o,
  output logic [Ports-1:0][3:0]  axi_awlen_o,
  output logic [Ports-1:0][2:0]  axi_awsize_o,
  output logic [Ports-1:0][1:0]  axi_awburst_o,
  output logic [Ports-1:0]       axi_wvalid_o,
  input  logic [Ports-1:0]       axi_wready_i,
  output logic [Ports-1:0][63:0] axi_wdata_o,
  output logic [Ports-1:0][7:0]  axi_wstrb_o,
  output logic [Ports-1:0]       axi_wlast_o,
  input  logic [Ports-1:0]       axi_bvalid_i,
  output logic [Ports-1:0]       axi_bready_o,
  input  logic [Ports-1:0][1:0]  axi_bresp_i
);

  localparam int BeatFeatures = (FeatureBits <= 8) ? 8 : 4;
  localparam int StorageBits = 64 / BeatFeatures;
  localparam int InLine = (InLanes > BeatFeatures) ? InLanes : BeatFeatures;
  localparam int InSubBanks = InLine / BeatFeatures;
  localparam int InWordsPerLine = InLine / InLanes;
  localparam int InBankWords = InputLines * InWordsPerLine;
  localparam int InLineBits = $clog2(2 * InputLines);
  localparam int InWordBits = $clog2(InBankWords);
  localparam int OutLine = (RequantLanes > BeatFeatures) ? RequantLanes : BeatFeatures;
  localparam int OutParts = OutLine / RequantLanes;
  localparam int OutAddrBits = $clog2(2 * OutputLines);
  localparam int OutLineBits = $clog2(OutputLines);
  localparam int MidAddrBits = $clog2(MidWords);
  localparam int MidRamBits = $clog2(2 * MidWords);
  localparam int PixelBits = InLanes * FeatureBits;
  localparam int BeatBits = BeatFeatures * FeatureBits;
  localparam int MacWordBits = InLanes * OutLanes * WeightBits;
  localparam int MacWordBeats = (MacWordBits + 63) / 64;
  localparam int DwWordBits = InLanes * WeightBits;
  localparam int DwWordBeats = (DwWordBits + 63) / 64;
  localparam int MaxWordBeats = (MacWordBeats > DwWordBeats) ? MacWordBeats : DwWordBeats;
  localparam int MaxLanes = (RequantLanes > InLanes) ? RequantLanes : InLanes;
  localparam int WeightChunkBits = (MaxWordBeats > 1) ? $clog2(MaxWordBeats) : 1;
  localparam int WeightLaneBits = (MaxLanes > 1) ? $clog2(MaxLanes) : 1;
  localparam int MacChunkBits = (MacWordBeats > 1) ? $clog2(MacWordBeats) : 1;
  localparam int DwChunkBits = (DwWordBeats > 1) ? $clog2(DwWordBeats) : 1;
  localparam int MacLaneBits = (RequantLanes > 1) ? $clog2(RequantLanes) : 1;
  localparam int DwLaneBits = (InLanes > 1) ? $clog2(InLanes) : 1;
  localparam int OffsetBits = 16;
  localparam int Events = 22;

  // ---- control ----
  logic        start, abort, running, done_pulse, error_pulse, done, error;
  logic [31:0] program_address, frames, image_stride, output_stride, frames_done;
  logic [7:0]  error_code;
  logic [25:0] error_info;
  logic [6:0][1:0] classes;

  control_regs #(
    .BuildId(BuildId),
    .Units  (7)
  ) u_control (
    .clk_i,
    .rst_i,
    .axil_awvalid_i,
    .axil_awready_o,
    .axil_awaddr_i,
    .axil_wvalid_i,
    .axil_wready_o,
    .axil_wdata_i,
    .axil_wstrb_i,
    .axil_bvalid_o,
    .axil_bready_i,
    .axil_bresp_o,
    .axil_arvalid_i,
    .axil_arready_o,
    .axil_araddr_i,
    .axil_rvalid_o,
    .axil_rready_i,
    .axil_rdata_o,
    .axil_rresp_o,
    .irq_o,
    .start_o          (start),
    .abort_o          (abort),
    .program_address_o(program_address),
    .frames_o         (frames),
    .image_stride_o   (image_stride),
    .output_stride_o  (output_stride),
    .running_i        (running),
    .done_pulse_i     (done_pulse),
    .error_pulse_i    (error_pulse),
    .done_i           (done),
    .error_i          (error),
    .error_code_i     (error_code),
    .error_info_i     (error_info),
    .frames_done_i    (frames_done),
    .class_i          (classes)
  );

  // ---- sequencer ----
  logic [2:0]       ar_valid, ar_ready;
  logic [2:0][31:0] ar_address;
  logic [2:0][3:0]  ar_len;
  logic [2:0]       r_valid, r_last;
  logic [2:0][63:0] r_data;
  logic [2:0][1:0]  r_resp;
  logic [479:0]     cmd;
  logic [4:0]       cmd_push, cmd_full;
  logic             halt, flush, reset_units;
  logic             weight_idle, load_idle, store_idle;
  logic             weight_error, load_error, store_error;
  logic [25:0]      weight_error_info, load_error_info, store_error_info;
  logic             frame_done, dispatch;
  logic [7:0]       dispatch_bundle;
  logic [15:0]      dispatch_tile;

  // One register resets all units. They leave reset a cycle after the sequencer, which has nothing
  // for them before it has fetched a record.
  initial reset_units = 1'b1;
  always_ff @(posedge clk_i) reset_units <= rst_i || flush;

  sequencer #(
    .Outstanding(Outstanding)
  ) u_sequencer (
    .clk_i,
    .rst_i,
    .start_i            (start),
    .abort_i            (abort),
    .program_address_i  (program_address),
    .frames_i           (frames),
    .image_stride_i     (image_stride),
    .output_stride_i    (output_stride),
    .running_o          (running),
    .done_pulse_o       (done_pulse),
    .error_pulse_o      (error_pulse),
    .done_o             (done),
    .error_o            (error),
    .error_code_o       (error_code),
    .error_info_o       (error_info),
    .frames_done_o      (frames_done),
    .ar_valid_o         (ar_valid[0]),
    .ar_ready_i         (ar_ready[0]),
    .ar_address_o       (ar_address[0]),
    .ar_len_o           (ar_len[0]),
    .r_valid_i          (r_valid[0]),
    .r_data_i           (r_data[0]),
    .r_resp_i           (r_resp[0]),
    .r_last_i           (r_last[0]),
    .cmd_o              (cmd),
    .cmd_push_o         (cmd_push),
    .cmd_full_i         (cmd_full),
    .halt_o             (halt),
    .flush_o            (flush),
    .masters_idle_i     (weight_idle && load_idle && store_idle),
    .weight_error_i     (weight_error),
    .weight_error_info_i(weight_error_info),
    .load_error_i       (load_error),
    .load_error_info_i  (load_error_info),
    .store_error_i      (store_error),
    .store_error_info_i (store_error_info),
    .frame_done_i       (frame_done),
    .class_o            (classes[0]),
    .event_dispatch_o   (dispatch),
    .event_bundle_o     (dispatch_bundle),
    .event_tile_o       (dispatch_tile)
  );

  // ---- feature load and input buffer ----
  logic [15:0]            stores_done;
  logic                   in_free, in_full, in_write_bank, in_read_bank, in_reserve, in_post;
  logic                   in_to_mac, dw_in_release, mac_in_release;
  logic                   in_for_mac;  // the bank at the read pointer belongs to the MAC array
  logic [InSubBanks-1:0]  in_we;
  logic [InLineBits-1:0]  in_waddr;
  logic [BeatBits-1:0]    in_wdata;
  logic                   load_tile_start, load_tile_end, load_first, load_last;
  logic [7:0]             load_bundle;
  logic [15:0]            load_tile;

  feature_load #(
    .InLanes     (InLanes),
    .FeatureBits (FeatureBits),
    .InputLines  (InputLines),
    .CommandDepth(CommandDepth),
    .Outstanding (Outstanding)
  ) u_load (
    .clk_i,
    .rst_i         (reset_units),
    .halt_i        (halt),
    .idle_o        (load_idle),
    .cmd_push_i    (cmd_push[0]),
    .cmd_i         (cmd[program_pkg::LoadBits-1:0]),
    .cmd_full_o    (cmd_full[0]),
    .stores_done_i (stores_done),
    .bank_free_i   (in_free),
    .bank_write_i  (in_write_bank),
    .bank_reserve_o(in_reserve),
    .bank_post_o   (in_post),
    .bank_tag_o    (in_to_mac),
    .ar_valid_o    (ar_valid[2]),
    .ar_ready_i    (ar_ready[2]),
    .ar_address_o  (ar_address[2]),
    .ar_len_o      (ar_len[2]),
    .r_valid_i     (r_valid[2]),
    .r_data_i      (r_data[2]),
    .r_resp_i      (r_resp[2]),
    .r_last_i      (r_last[2]),
    .ram_we_o      (in_we),
    .ram_addr_o    (in_waddr),
    .ram_data_o    (in_wdata),
    .error_o       (load_error),
    .error_info_o  (load_error_info),
    .class_o       (classes[1]),
    .tile_start_o  (load_tile_start),
    .tile_end_o    (load_tile_end),
    .first_beat_o  (load_first),
    .last_beat_o   (load_last),
    .event_bundle_o(load_bundle),
    .event_tile_o  (load_tile)
  );

  bank_token u_in_token (
    .clk_i,
    .rst_i       (reset_units),
    .reserve_i   (in_reserve),
    .post_i      (in_post),
    .post_tag_i  (in_to_mac),
    .release_i   (dw_in_release || mac_in_release),
    .free_o      (in_free),
    .full_o      (in_full),
    .write_bank_o(in_write_bank),
    .read_bank_o (in_read_bank),
    .read_tag_o  (in_for_mac)
  );

  logic dw_in_full, mac_in_full;
  assign dw_in_full  = in_full && !in_for_mac;
  assign mac_in_full = in_full && in_for_mac;

  // One reader at a time: the unit that owns the bank at the read pointer, and reads only that.
  logic                   dw_in_re, mac_in_re, dw_in_bank, mac_in_bank, in_re;
  logic [InWordBits-1:0]  dw_in_addr, mac_in_addr, in_word;
  logic [InLineBits-1:0]  in_raddr;
  logic [InSubBanks-1:0][BeatBits-1:0] in_line;
  logic [PixelBits-1:0]   in_data;

  assign in_re    = dw_in_re || mac_in_re;
  assign in_word  = in_for_mac ? mac_in_addr : dw_in_addr;
  assign in_raddr = InLineBits'(in_word / InWordBits'(InWordsPerLine)) +
                    (in_read_bank ? InLineBits'(InputLines) : '0);

  for (genvar b = 0; b < InSubBanks; b++) begin : gen_input
    ram_sdp #(
      .Width(BeatBits),
      .Depth(2 * InputLines)
    ) u_ram (
      .clk_i,
      .we_i   (in_we[b]),
      .waddr_i(in_waddr),
      .wdata_i(in_wdata),
      .re_i   (in_re),
      .raddr_i(in_raddr),
      .rdata_o(in_line[b])
    );
  end

  if (InWordsPerLine > 1) begin : gen_in_word  // choose a channel group of the line
    localparam int SubBits = $clog2(InWordsPerLine);
    logic [SubBits-1:0] sub1_q, sub2_q;
    logic               re1_q;
    always_ff @(posedge clk_i) begin
      re1_q <= in_re;
      if (in_re) sub1_q <= in_word[SubBits-1:0];
      if (re1_q) sub2_q <= sub1_q;
    end
    assign in_data = in_line[0][sub2_q*PixelBits +: PixelBits];
  end else begin : gen_in_line
    assign in_data = in_line;
  end

  // ---- weights ----
  logic [1:0][15:0]       free_words, free_params;
  logic [1:0]             reserve, group_post, word_we, param_we;
  logic [11:0]            reserve_words;
  logic [7:0]             reserve_params;
  logic [WeightChunkBits-1:0] word_chunk;
  logic [WeightLaneBits-1:0]  param_lane;
  logic                   word_last, param_last;
  logic [63:0]            weight_data;
  logic                   weight_tile_start, weight_tile_end, weight_first, weight_last;
  logic                   weight_ready, weight_target;
  logic [7:0]             weight_bundle;
  logic [15:0]            weight_tile;

  weight_load #(
    .MacWordBeats (MacWordBeats),
    .MacParamLanes(RequantLanes),
    .DwWordBeats  (DwWordBeats),
    .DwParamLanes (InLanes),
    .CommandDepth (CommandDepth),
    .Outstanding  (Outstanding)
  ) u_weight (
    .clk_i,
    .rst_i           (reset_units),
    .halt_i          (halt),
    .idle_o          (weight_idle),
    .cmd_push_i      (cmd_push[1]),
    .cmd_i           (cmd[program_pkg::WeightBits-1:0]),
    .cmd_full_o      (cmd_full[1]),
    .ar_valid_o      (ar_valid[1]),
    .ar_ready_i      (ar_ready[1]),
    .ar_address_o    (ar_address[1]),
    .ar_len_o        (ar_len[1]),
    .r_valid_i       (r_valid[1]),
    .r_data_i        (r_data[1]),
    .r_resp_i        (r_resp[1]),
    .r_last_i        (r_last[1]),
    .free_words_i    (free_words),
    .free_params_i   (free_params),
    .reserve_o       (reserve),
    .reserve_words_o (reserve_words),
    .reserve_params_o(reserve_params),
    .post_o          (group_post),
    .word_we_o       (word_we),
    .word_chunk_o    (word_chunk),
    .word_last_o     (word_last),
    .param_we_o      (param_we),
    .param_lane_o    (param_lane),
    .param_last_o    (param_last),
    .data_o          (weight_data),
    .error_o         (weight_error),
    .error_info_o    (weight_error_info),
    .class_o         (classes[2]),
    .tile_start_o    (weight_tile_start),
    .tile_end_o      (weight_tile_end),
    .first_beat_o    (weight_first),
    .last_beat_o     (weight_last),
    .weight_ready_o  (weight_ready),
    .weight_target_o (weight_target),
    .event_bundle_o  (weight_bundle),
    .event_tile_o    (weight_tile)
  );

  logic                           mac_release, mac_word_re, mac_param_re;
  logic [11:0]                    mac_release_words;
  logic [12:0]                    mac_groups_ready;
  logic [OffsetBits-1:0]          mac_word_offset, mac_param_offset;
  logic [MacWordBits-1:0]         mac_word;
  logic                           post_release_params;
  logic [7:0]                     post_release_params_count;
  logic [RequantLanes-1:0][47:0]  mac_params;

  weight_store #(
    .WordBits  (MacWordBits),
    .WordDepth (WeightWords),
    .ParamLanes(RequantLanes),
    .ParamDepth(ParamWords),
    .OffsetBits(OffsetBits)
  ) u_mac_weights (
    .clk_i,
    .rst_i           (reset_units),
    .reserve_i       (reserve[0]),
    .reserve_words_i (reserve_words),
    .reserve_params_i(reserve_params),
    .post_i          (group_post[0]),
    .release_words_i       (mac_release),
    .release_words_count_i (mac_release_words),
    .release_params_i      (post_release_params),
    .release_params_count_i(post_release_params_count),
    .free_words_o    (free_words[0]),
    .free_params_o   (free_params[0]),
    .groups_ready_o  (mac_groups_ready),
    .word_we_i       (word_we[0]),
    .word_chunk_i    (MacChunkBits'(word_chunk)),
    .word_last_i     (word_last),
    .param_we_i      (param_we[0]),
    .param_lane_i    (MacLaneBits'(param_lane)),
    .param_last_i    (param_last),
    .data_i          (weight_data),
    .word_re_i       (mac_word_re),
    .word_offset_i   (mac_word_offset),
    .word_data_o     (mac_word),
    .param_re_i      (mac_param_re),
    .param_offset_i  (mac_param_offset),
    .param_data_o    (mac_params)
  );

  logic                      dw_release, dw_word_re, dw_param_re;
  logic [11:0]               dw_release_words;
  logic [12:0]               dw_groups_ready;
  logic [OffsetBits-1:0]     dw_word_offset, dw_param_offset;
  logic [DwWordBits-1:0]     dw_word;
  logic [InLanes-1:0][47:0]  dw_params;

  weight_store #(
    .WordBits  (DwWordBits),
    .WordDepth (DwWeightWords),
    .ParamLanes(InLanes),
    .ParamDepth(DwParamWords),
    .OffsetBits(OffsetBits)
  ) u_dw_weights (
    .clk_i,
    .rst_i           (reset_units),
    .reserve_i       (reserve[1]),
    .reserve_words_i (reserve_words),
    .reserve_params_i(reserve_params),
    .post_i          (group_post[1]),
    .release_words_i       (dw_release),
    .release_words_count_i (dw_release_words),
    .release_params_i      (dw_release),
    .release_params_count_i(8'd1),
    .free_words_o    (free_words[1]),
    .free_params_o   (free_params[1]),
    .groups_ready_o  (dw_groups_ready),
    .word_we_i       (word_we[1]),
    .word_chunk_i    (DwChunkBits'(word_chunk)),
    .word_last_i     (word_last),
    .param_we_i      (param_we[1]),
    .param_lane_i    (DwLaneBits'(param_lane)),
    .param_last_i    (param_last),
    .data_i          (weight_data),
    .word_re_i       (dw_word_re),
    .word_offset_i   (dw_word_offset),
    .word_data_o     (dw_word),
    .param_re_i      (dw_param_re),
    .param_offset_i  (dw_param_offset),
    .param_data_o    (dw_params)
  );

  // ---- depth-wise unit and mid buffer ----
  logic                    mid_free, mid_full, mid_write_bank, mid_read_bank, mid_fill;
  logic                    mid_tag, mid_release, mid_we, mid_wbank, mid_re, mid_rbank;
  logic [MidAddrBits-1:0]  mid_waddr, mid_raddr;
  logic [PixelBits-1:0]    mid_wdata, mid_rdata;
  logic                    dw_tile_start, dw_tile_end;
  logic [7:0]              dw_bundle;
  logic [15:0]             dw_tile;

  depthwise #(
    .InLanes       (InLanes),
    .DwTaps        (DwTaps),
    .KernelMax     (DwKernelMax),
    .WeightBits    (WeightBits),
    .FeatureBits   (FeatureBits),
    .LutMultipliers(DwLutMultipliers),
    .LineWords     (DwLineWords),
    .InBankWords   (InBankWords),
    .MidBankWords  (MidWords),
    .CommandDepth  (CommandDepth),
    .OffsetBits    (OffsetBits),
    .ReadyBits     (13)
  ) u_depthwise (
    .clk_i,
    .rst_i          (reset_units),
    .flush_i        (1'b0),
    .cmd_push_i     (cmd_push[2]),
    .cmd_i          (cmd[program_pkg::DepthwiseBits-1:0]),
    .cmd_full_o     (cmd_full[2]),
    .in_full_i      (dw_in_full),
    .in_bank_i      (in_read_bank),
    .in_release_o   (dw_in_release),
    .in_re_o        (dw_in_re),
    .in_addr_o      (dw_in_addr),
    .in_bank_o      (dw_in_bank),
    .in_data_i      (in_data),
    .groups_ready_i (dw_groups_ready),
    .weight_re_o    (dw_word_re),
    .weight_offset_o(dw_word_offset),
    .weight_data_i  (dw_word),
    .param_re_o     (dw_param_re),
    .param_offset_o (dw_param_offset),
    .param_data_i   (dw_params),
    .release_o      (dw_release),
    .release_words_o(dw_release_words),
    .mid_free_i     (mid_free),
    .mid_bank_i     (mid_write_bank),
    .mid_fill_o     (mid_fill),
    .mid_we_o       (mid_we),
    .mid_addr_o     (mid_waddr),
    .mid_bank_o     (mid_wbank),
    .mid_data_o     (mid_wdata),
    .tile_start_o   (dw_tile_start),
    .tile_end_o     (dw_tile_end),
    .bundle_o       (dw_bundle),
    .tile_o         (dw_tile),
    .class_o        (classes[3])
  );

  bank_token u_mid_token (
    .clk_i,
    .rst_i       (reset_units),
    .reserve_i   (dw_tile_start),
    .post_i      (mid_fill),
    .post_tag_i  (1'b0),
    .release_i   (mid_release),
    .free_o      (mid_free),
    .full_o      (mid_full),
    .write_bank_o(mid_write_bank),
    .read_bank_o (mid_read_bank),
    .read_tag_o  (mid_tag)
  );

  ram_sdp #(
    .Width(PixelBits),
    .Depth(2 * MidWords)
  ) u_mid (
    .clk_i,
    .we_i   (mid_we),
    .waddr_i(MidRamBits'(mid_waddr) + (mid_wbank ? MidRamBits'(MidWords) : '0)),
    .wdata_i(mid_wdata),
    .re_i   (mid_re),
    .raddr_i(MidRamBits'(mid_raddr) + (mid_rbank ? MidRamBits'(MidWords) : '0)),
    .rdata_o(mid_rdata)
  );

  // ---- MAC array and post-process ----
  logic                    out_free, out_full, out_write_bank, out_read_bank, out_release, out_fill;
  logic                    out_tag;
  logic                    issue, issue_first, issue_last, issue_pad, issue_mid;
  logic [FeatureBits-1:0]  issue_pad_value;
  logic [1:0]              issue_pixel;
  logic                    issue_tile_first, issue_group_last, issue_bank;
  logic                    claim, claim_bank, claim_raw, claim_round, claim_last, claim_release;
  logic [7:0]              claim_steps, claim_bundle, claim_param_words;
  logic [1:0]              claim_pool;
  logic [5:0]              claim_shift;
  logic [OffsetBits-1:0]   claim_param_offset;
  logic [15:0]             claim_tile;
  logic                    mac_tile_start, mac_tile_end;
  logic [7:0]              mac_bundle;
  logic [15:0]             mac_tile;

  mac_control #(
    .ConvKernelMax(ConvKernelMax),
    .FeatureBits  (FeatureBits),
    .AccBits      (AccBits),
    .InBankWords  (InBankWords),
    .MidBankWords (MidWords),
    .CommandDepth (CommandDepth),
    .OffsetBits   (OffsetBits),
    .ReadyBits    (13)
  ) u_mac_control (
    .clk_i,
    .rst_i               (reset_units),
    .flush_i             (1'b0),
    .cmd_push_i          (cmd_push[3]),
    .cmd_i               (cmd[program_pkg::MacBits-1:0]),
    .cmd_full_o          (cmd_full[3]),
    .in_full_i           (mac_in_full),
    .in_bank_i           (in_read_bank),
    .in_release_o        (mac_in_release),
    .in_re_o             (mac_in_re),
    .in_addr_o           (mac_in_addr),
    .in_bank_o           (mac_in_bank),
    .mid_full_i          (mid_full),
    .mid_bank_i          (mid_read_bank),
    .mid_release_o       (mid_release),
    .mid_re_o            (mid_re),
    .mid_addr_o          (mid_raddr),
    .mid_bank_o          (mid_rbank),
    .out_free_i          (out_free),
    .groups_ready_i      (mac_groups_ready),
    .weight_re_o         (mac_word_re),
    .weight_offset_o     (mac_word_offset),
    .release_o           (mac_release),
    .release_words_o     (mac_release_words),
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
    .claim_o             (claim),
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
    .tile_start_o        (mac_tile_start),
    .tile_end_o          (mac_tile_end),
    .bundle_o            (mac_bundle),
    .tile_o              (mac_tile),
    .class_o             (classes[4])
  );

  logic                        vector_valid, vector_tile_first, vector_group_last, vector_bank;
  logic [OutLanes*AccBits-1:0] vector;
  logic [1:0]                  vector_pixel;

  mac_array #(
    .InLanes    (InLanes),
    .OutLanes   (OutLanes),
    .WeightBits (WeightBits),
    .FeatureBits(FeatureBits),
    .AccBits    (AccBits),
    .Packing    (MacPacking)
  ) u_mac_array (
    .clk_i,
    .rst_i              (reset_units),
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
    .in_data_i          (in_data),
    .mid_data_i         (mid_rdata),
    .weight_data_i      (mac_word),
    .vector_valid_o     (vector_valid),
    .vector_o           (vector),
    .vector_pixel_o     (vector_pixel),
    .vector_tile_first_o(vector_tile_first),
    .vector_group_last_o(vector_group_last),
    .vector_bank_o      (vector_bank)
  );

  logic [OutParts-1:0]            out_we;
  logic [OutLineBits-1:0]         out_wline;
  logic                           out_wbank;
  logic [OutLine*StorageBits-1:0] out_wdata;
  logic                           post_tile_start, post_tile_end;
  logic [7:0]                     post_start_bundle, post_end_bundle;
  logic [15:0]                    post_start_tile, post_end_tile;

  post_process #(
    .OutLanes    (OutLanes),
    .RequantLanes(RequantLanes),
    .FeatureBits (FeatureBits),
    .AccBits     (AccBits),
    .OutBankLines(OutputLines),
    .OffsetBits  (OffsetBits)
  ) u_post (
    .clk_i,
    .rst_i               (reset_units),
    .claim_i             (claim),
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
    .param_re_o          (mac_param_re),
    .param_offset_o      (mac_param_offset),
    .param_data_i        (mac_params),
    .params_done_o       (post_release_params),
    .params_done_words_o (post_release_params_count),
    .out_we_o            (out_we),
    .out_line_o          (out_wline),
    .out_bank_o          (out_wbank),
    .out_data_o          (out_wdata),
    .out_fill_o          (out_fill),
    .tile_start_o        (post_tile_start),
    .start_bundle_o      (post_start_bundle),
    .start_tile_o        (post_start_tile),
    .tile_end_o          (post_tile_end),
    .end_bundle_o        (post_end_bundle),
    .end_tile_o          (post_end_tile),
    .class_o             (classes[5])
  );

  // ---- output buffer and feature store ----
  bank_token u_out_token (
    .clk_i,
    .rst_i       (reset_units),
    .reserve_i   (claim),
    .post_i      (out_fill),
    .post_tag_i  (1'b0),
    .release_i   (out_release),
    .free_o      (out_free),
    .full_o      (out_full),
    .write_bank_o(out_write_bank),
    .read_bank_o (out_read_bank),
    .read_tag_o  (out_tag)
  );

  logic                           out_re;
  logic [OutAddrBits-1:0]         out_raddr;
  logic [OutLine*StorageBits-1:0] out_rdata;

  for (genvar p = 0; p < OutParts; p++) begin : gen_output
    localparam int Bits = RequantLanes * StorageBits;
    ram_sdp #(
      .Width(Bits),
      .Depth(2 * OutputLines)
    ) u_ram (
      .clk_i,
      .we_i   (out_we[p]),
      .waddr_i(OutAddrBits'(out_wline) + (out_wbank ? OutAddrBits'(OutputLines) : '0)),
      .wdata_i(out_wdata[p*Bits +: Bits]),
      .re_i   (out_re),
      .raddr_i(out_raddr),
      .rdata_o(out_rdata[p*Bits +: Bits])
    );
  end

  logic        store_tile_start, store_first, store_last, store_tile_end, bundle_done;
  logic [7:0]  store_bundle, response_bundle;
  logic [15:0] store_tile, response_tile;

  feature_store #(
    .RequantLanes(RequantLanes),
    .FeatureBits (FeatureBits),
    .OutputLines (OutputLines),
    .CommandDepth(CommandDepth),
    .Outstanding (Outstanding)
  ) u_store (
    .clk_i,
    .rst_i            (reset_units),
    .halt_i           (halt),
    .idle_o           (store_idle),
    .cmd_push_i       (cmd_push[4]),
    .cmd_i            (cmd[program_pkg::StoreBits-1:0]),
    .cmd_full_o       (cmd_full[4]),
    .stores_done_o    (stores_done),
    .bank_full_i      (out_full),
    .bank_read_i      (out_read_bank),
    .bank_release_o   (out_release),
    .ram_re_o         (out_re),
    .ram_addr_o       (out_raddr),
    .ram_data_i       (out_rdata),
    .axi_awvalid_o    (axi_awvalid_o[StorePort]),
    .axi_awready_i    (axi_awready_i[StorePort]),
    .axi_awaddr_o     (axi_awaddr_o[StorePort]),
    .axi_awlen_o      (axi_awlen_o[StorePort]),
    .axi_awsize_o     (axi_awsize_o[StorePort]),
    .axi_awburst_o    (axi_awburst_o[StorePort]),
    .axi_wvalid_o     (axi_wvalid_o[StorePort]),
    .axi_wready_i     (axi_wready_i[StorePort]),
    .axi_wdata_o      (axi_wdata_o[StorePort]),
    .axi_wstrb_o      (axi_wstrb_o[StorePort]),
    .axi_wlast_o      (axi_wlast_o[StorePort]),
    .axi_bvalid_i     (axi_bvalid_i[StorePort]),
    .axi_bready_o     (axi_bready_o[StorePort]),
    .axi_bresp_i      (axi_bresp_i[StorePort]),
    .error_o          (store_error),
    .error_info_o     (store_error_info),
    .class_o          (classes[6]),
    .tile_start_o     (store_tile_start),
    .first_beat_o     (store_first),
    .last_beat_o      (store_last),
    .event_bundle_o   (store_bundle),
    .event_tile_o     (store_tile),
    .tile_end_o       (store_tile_end),
    .bundle_done_o    (bundle_done),
    .frame_done_o     (frame_done),
    .response_bundle_o(response_bundle),
    .response_tile_o  (response_tile)
  );

  // ---- ports ----
  logic [Ports-1:0][2:0]  port_ar_ready, port_r_valid;
  logic [Ports-1:0][63:0] port_r_data;
  logic [Ports-1:0][1:0]  port_r_resp;
  logic [Ports-1:0]       port_r_last;

  for (genvar p = 0; p < Ports; p++) begin : gen_port
    localparam logic [2:0] Mask = {LoadPort == p, WeightPort == p, ProgramPort == p};
    axi_read_mux #(
      .Mask      (Mask),
      .OwnerDepth(3 * Outstanding)
    ) u_mux (
      .clk_i,
      .rst_i,
      .ar_valid_i   (ar_valid & Mask),
      .ar_ready_o   (port_ar_ready[p]),
      .ar_address_i (ar_address),
      .ar_len_i     (ar_len),
      .r_valid_o    (port_r_valid[p]),
      .r_data_o     (port_r_data[p]),
      .r_resp_o     (port_r_resp[p]),
      .r_last_o     (port_r_last[p]),
      .axi_arvalid_o(axi_arvalid_o[p]),
      .axi_arready_i(axi_arready_i[p]),
      .axi_araddr_o (axi_araddr_o[p]),
      .axi_arlen_o  (axi_arlen_o[p]),
      .axi_arsize_o (axi_arsize_o[p]),
      .axi_arburst_o(axi_arburst_o[p]),
      .axi_rvalid_i (axi_rvalid_i[p]),
      .axi_rready_o (axi_rready_o[p]),
      .axi_rdata_i  (axi_rdata_i[p]),
      .axi_rresp_i  (axi_rresp_i[p]),
      .axi_rlast_i  (axi_rlast_i[p])
    );
    if (p != StorePort) begin : gen_no_write
      assign axi_awvalid_o[p] = 1'b0;
      assign axi_awaddr_o[p]  = 32'd0;
      assign axi_awlen_o[p]   = 4'd0;
      assign axi_awsize_o[p]  = 3'd0;
      assign axi_awburst_o[p] = 2'd0;
      assign axi_wvalid_o[p]  = 1'b0;
      assign axi_wdata_o[p]   = 64'd0;
      assign axi_wstrb_o[p]   = 8'd0;
      assign axi_wlast_o[p]   = 1'b0;
      assign axi_bready_o[p]  = 1'b1;
    end
  end

  assign ar_ready = {port_ar_ready[LoadPort][2], port_ar_ready[WeightPort][1],
                     port_ar_ready[ProgramPort][0]};
  assign r_valid  = {port_r_valid[LoadPort][2], port_r_valid[WeightPort][1],
                     port_r_valid[ProgramPort][0]};
  assign r_data   = {port_r_data[LoadPort], port_r_data[WeightPort], port_r_data[ProgramPort]};
  assign r_resp   = {port_r_resp[LoadPort], port_r_resp[WeightPort], port_r_resp[ProgramPort]};
  assign r_last   = {port_r_last[LoadPort], port_r_last[WeightPort], port_r_last[ProgramPort]};

  // ---- events (simulation only; order as in event_recorder) ----
`ifndef SYNTHESIS
  event_recorder #(
    .Events(Events)
  ) u_recorder (
    .clk_i,
    .rst_i,
    .start_i (start),
    .valid_i ({frame_done, bundle_done, store_tile_end, store_last, store_first, store_tile_start,
               post_tile_end, post_tile_start, mac_tile_end, mac_tile_start, dw_tile_end,
               dw_tile_start, weight_ready, weight_last, weight_first, weight_tile_end,
               weight_tile_start, load_last, load_first, load_tile_end, load_tile_start,
               dispatch}),
    .bundle_i({{3{response_bundle}}, {3{store_bundle}}, post_end_bundle, post_start_bundle,
               {2{mac_bundle}}, {2{dw_bundle}}, {5{weight_bundle}}, {4{load_bundle}},
               dispatch_bundle}),
    .tile_i  ({{3{response_tile}}, {3{store_tile}}, post_end_tile, post_start_tile,
               {2{mac_tile}}, {2{dw_tile}}, {5{weight_tile}}, {4{load_tile}}, dispatch_tile})
  );
`endif

  logic unused;
  assign unused = ^{cmd[479:program_pkg::LoadBits], mid_tag, out_tag, weight_target, out_write_bank, dw_in_bank,
                    mac_in_bank, axi_awready_i, axi_wready_i, axi_bvalid_i,
                    axi_bresp_i, weight_tile_start, weight_tile_end, weight_first, weight_last,
                    weight_ready, load_tile_start, load_tile_end, load_first, load_last,
                    dw_tile_end, mac_tile_start, mac_tile_end, post_tile_start, post_tile_end,
                    store_tile_start, store_first, store_last, store_tile_end, bundle_done,
                    dispatch, load_bundle, load_tile, weight_bundle, weight_tile, dw_bundle,
                    dw_tile, mac_bundle, mac_tile, post_start_bundle, post_start_tile,
                    post_end_bundle, post_end_tile, store_bundle, store_tile, response_bundle,
                    response_tile, dispatch_bundle, dispatch_tile, word_chunk, param_lane};

endmodule

`default_nettype wire
