// Command and address generation of the MAC array: one command is one tile.
//
// IDLE: start at c when a command and a full source bank are there. Per output group: WAIT (>= 1
// cycle: groups_ready_i > (release ? 0 : group), and an output bank free), RUN: one issue a cycle,
// windows (pool: 2 x 2 in raster order, the 4 pixels row-major inside; else pixels) x taps x input
// groups; after each emitted vector (max pool: after the window, else after each pixel) pad_cycles
// idle cycles. pad_cycles keeps the pace of requantising inside a layer; where a tile follows a tile
// of another layer, the issue that completes a vector is held back (a cycle counted as padding) until
// it comes steps*RW or more cycles after the one that completed the vector before. The last RUN cycle of a group, padding included, posts release_o; that of the
// last group also tile_end_o and the release of the source bank; then WAIT, or IDLE.
// WAIT is left with claim_o, which reserves an output bank (bank_token) and hands the settings of
// the group to the post-process; the banks alternate. Each bank is given back by the feature store.
// An issue at c reads its features and its weight word at c (re, address; data at c + 2).
// Addresses are sums of running bases: no multiplier but pitch = columns * pixel_words, built of
// shifted adds over two cycles. A source row or column above or left of the first one present
// leaves the address where it is, so no negative address arises; such an issue has issue_pad_o.
`default_nettype none

module mac_control #(
  parameter int ConvKernelMax = 1,
  parameter int FeatureBits = 8,
  parameter int AccBits = 32,
  parameter int InBankWords = 1024,
  parameter int MidBankWords = 1024,
  parameter int CommandDepth = 4,
  parameter int OffsetBits = 12,
  parameter int ReadyBits = 13,
  localparam int InAddrBits = (InBankWords > 1) ? $clog2(InBankWords) : 1,
  localparam int MidAddrBits = (MidBankWords > 1) ? $clog2(MidBankWords) : 1,
  localparam int AddrBits = (InAddrBits > MidAddrBits) ? InAddrBits : MidAddrBits
) (
  input  wire                              clk_i,
  input  wire                              rst_i,
  input  wire                              flush_i,
  // Commands
  input  wire                              cmd_push_i,
  input  wire  [program_pkg::MacBits-1:0]  cmd_i,
  output logic                             cmd_full_o,
  // Source banks
  input  wire                              in_full_i,
  input  wire                              in_bank_i,
  output logic                             in_release_o,
  output logic                             in_re_o,
  output logic [InAddrBits-1:0]            in_addr_o,
  output logic                             in_bank_o,
  input  wire                              mid_full_i,
  input  wire                              mid_bank_i,
  output logic                             mid_release_o,
  output logic                             mid_re_o,
  output logic [MidAddrBits-1:0]           mid_addr_o,
  output logic                             mid_bank_o,
  // Output banks (claim_o reserves)
  input  wire                              out_free_i,
  // Weight store: groups and words
  input  wire  [ReadyBits-1:0]             groups_ready_i,
  output logic                             weight_re_o,
  output logic [OffsetBits-1:0]            weight_offset_o,
  output logic                             release_o,
  output logic [11:0]                      release_words_o,
  // Issue, to the array
  output logic                             issue_o,
  output logic                             issue_first_o,  // first product of its pixel
  output logic                             issue_last_o,  // last product of its pixel
  output logic                             issue_pad_o,  // features are the pad value
  output logic                             issue_mid_o,  // features come from the mid buffer
  output logic [FeatureBits-1:0]           issue_pad_value_o,
  output logic [1:0]                       issue_pixel_o,  // pixel of the 2 x 2 window
  output logic                             issue_tile_first_o,  // first pixel of the tile
  output logic                             issue_group_last_o,  // last pixel of the group
  output logic                             issue_bank_o,  // output bank of the group
  // Claim of an output bank: settings of the group for the post-process
  output logic                             claim_o,
  output logic                             claim_bank_o,
  output logic [7:0]                       claim_steps_o,
  output logic [1:0]                       claim_pool_o,
  output logic                             claim_raw_o,
  output logic [5:0]                       claim_shift_o,
  output logic                             claim_round_o,
  output logic [OffsetBits-1:0]            claim_param_offset_o,  // of the group's first step
  output logic                             claim_release_o,
  output logic [7:0]                       claim_param_words_o,
  output logic                             claim_last_o,  // last group of the tile
  output logic [7:0]                       claim_bundle_o,
  output logic [15:0]                      claim_tile_o,
  // Events and counters
  output logic                             tile_start_o,
  output logic                             tile_end_o,
  output logic [7:0]                       bundle_o,
  output logic [15:0]                      tile_o,
  output logic [1:0]                       class_o  // 0 busy, 1 input, 2 output, 3 ddr
);
  localparam logic [1:0] Idle = 2'd0;
  localparam logic [1:0] Wait = 2'd1;
  localparam logic [1:0] Run = 2'd2;
  localparam logic [1:0] MaxPool = 2'd1;
  // Slices of a raw accumulator, as in post_process.
  localparam int SliceShift = $clog2(((AccBits <= 32) ? 32 : 64) / ((FeatureBits > 8) ? 16 : 8));

  // ---- Command ------------------------------------------------------------------------------
  logic [program_pkg::MacBits-1:0] cmd, cfg_q;
  logic cmd_valid, start, reset;
  logic [$clog2(CommandDepth+1)-1:0] cmd_count;

  assign reset = rst_i || flush_i;

  sync_fifo #(
    .Width(program_pkg::MacBits),
    .Depth(CommandDepth)
  ) u_commands (
    .clk_i,
    .rst_i  (reset),
    .push_i (cmd_push_i),
    .data_i (cmd_i),
    .full_o (cmd_full_o),
    .pop_i  (start),
    .valid_o(cmd_valid),
    .data_o (cmd),
    .count_o(cmd_count)
  );

  logic [11:0] rows, cols, in_rows, in_cols, groups, pixel_words, out_groups;
  logic [1:0] pool;
  logic [7:0] pad_cycles;
  logic source_mid, release_weights, pooled;
  logic signed [12:0] first_row, first_col;
  assign rows = cfg_q[program_pkg::MacRowsLsb+:12];
  assign cols = cfg_q[program_pkg::MacColsLsb+:12];
  assign in_rows = cfg_q[program_pkg::MacInRowsLsb+:12];
  assign in_cols = cfg_q[program_pkg::MacInColsLsb+:12];
  assign groups = cfg_q[program_pkg::MacGroupsLsb+:12];
  assign pixel_words = cfg_q[program_pkg::MacPixelWordsLsb+:12];
  assign out_groups = cfg_q[program_pkg::MacOutGroupsLsb+:12];
  assign pool = cfg_q[program_pkg::MacPoolLsb+:2];
  assign pad_cycles = cfg_q[program_pkg::MacPadCyclesLsb+:8];
  assign source_mid = cfg_q[program_pkg::MacSourceMidLsb];
  assign release_weights = cfg_q[program_pkg::MacReleaseWeightsLsb];
  assign pooled = pool != 2'd0;
  assign first_row = -$signed({10'd0, cfg_q[program_pkg::MacPadTopLsb+:3]});
  assign first_col = -$signed({10'd0, cfg_q[program_pkg::MacPadLeftLsb+:3]});

  // ---- State machine ------------------------------------------------------------------------
  logic [1:0] state_q;
  logic bank_q;  // bank of the next claim
  logic group_bank_q;  // bank of the group in RUN
  logic [11:0] group_q;
  logic group_last_q;
  logic weights_there, wait_pass, run_end;

  assign start = (state_q == Idle) && cmd_valid &&
                 (cmd[program_pkg::MacSourceMidLsb] ? mid_full_i : in_full_i);
  assign weights_there = groups_ready_i > (release_weights ? ReadyBits'(0) : ReadyBits'(group_q));
  assign wait_pass = (state_q == Wait) && weights_there && out_free_i;

  always_ff @(posedge clk_i) begin
    if (reset) begin
      state_q <= Idle;
      bank_q <= 1'b0;
    end else begin
      case (state_q)
        Idle: if (start) state_q <= Wait;
        Wait: if (wait_pass) state_q <= Run;
        default: if (run_end) state_q <= group_last_q ? Idle : Wait;
      endcase
      if (wait_pass) bank_q <= !bank_q;
    end
  end

  // Running bases of the output group.
  logic [OffsetBits-1:0] weight_base_q, param_offset_q;
  logic [AddrBits-1:0] source_base_q;

  always_ff @(posedge clk_i) begin
    if (start) begin
      cfg_q <= cmd;
      group_q <= '0;
      weight_base_q <= '0;
      param_offset_q <= '0;
      source_base_q <= '0;
    end else if (run_end) begin
      group_q <= group_q + 12'd1;
      source_base_q <= source_base_q + AddrBits'(cfg_q[program_pkg::MacGroupStepLsb+:12]);
      if (!release_weights) begin
        weight_base_q <= weight_base_q + OffsetBits'(cfg_q[program_pkg::MacGroupWordsLsb+:12]);
        param_offset_q <= param_offset_q + OffsetBits'(cfg_q[program_pkg::MacParamWordsLsb+:8]);
      end
    end
    if (state_q == Wait) begin
      group_last_q <= group_last;
      group_bank_q <= bank_q;
    end
  end
  logic group_last;
  assign group_last = group_q == out_groups - 12'd1;

  // ---- RUN: loop counters -------------------------------------------------------------------
  logic [11:0] channel_q, row_q, col_q;
  logic [2:0] kernel_row_q, kernel_col_q;
  logic [1:0] pixel_q;
  logic first_q;  // first product of its pixel
  logic tile_first_q;
  logic padding_q;  // idle cycles after a vector
  logic [7:0] pad_q;
  logic final_q;  // the group's last product is issued
  logic issue, channel_last, kernel_col_last, kernel_row_last, pixel_last, col_last, row_last;
  logic product_last, window_last, group_done, vector_done, pad_after;
  logic [7:0] group_steps_q;
  logic [11:0] post_q, post_d;  // cycles until the post-process can take the next vector
  logic post_busy_q;

  if (ConvKernelMax > 1) begin : gen_kernel
    logic [2:0] kernel;
    assign kernel = cfg_q[program_pkg::MacKernelLsb+:3];
    assign kernel_col_last = kernel_col_q == kernel - 3'd1;
    assign kernel_row_last = kernel_row_q == kernel - 3'd1;
  end else begin : gen_point
    assign kernel_col_last = 1'b1;
    assign kernel_row_last = 1'b1;
  end
  assign issue = (state_q == Run) && !padding_q && !(vector_done && post_busy_q);
  assign channel_last = channel_q == groups - 12'd1;
  assign product_last = channel_last && kernel_col_last && kernel_row_last;
  assign pixel_last = !pooled || pixel_q == 2'd3;
  assign window_last = product_last && pixel_last;
  assign col_last = col_q == (pooled ? {1'b0, cols[11:1]} : cols) - 12'd1;
  assign row_last = row_q == (pooled ? {1'b0, rows[11:1]} : rows) - 12'd1;
  assign group_done = window_last && col_last && row_last;
  assign vector_done = product_last && (pool != MaxPool || pixel_last);
  assign pad_after = vector_done && pad_cycles != 8'd0;
  assign run_end = (issue && group_done && pad_cycles == 8'd0) ||
                   (padding_q && pad_q == pad_cycles && final_q);

  always_ff @(posedge clk_i) begin
    if (state_q != Run) begin
      channel_q <= '0;
      kernel_row_q <= '0;
      kernel_col_q <= '0;
      pixel_q <= '0;
      row_q <= '0;
      col_q <= '0;
      first_q <= 1'b1;
      tile_first_q <= group_q == 12'd0;
    end else if (issue) begin
      first_q <= product_last;
      channel_q <= channel_last ? 12'd0 : channel_q + 12'd1;
      if (channel_last) kernel_col_q <= kernel_col_last ? 3'd0 : kernel_col_q + 3'd1;
      if (channel_last && kernel_col_last)
        kernel_row_q <= kernel_row_last ? 3'd0 : kernel_row_q + 3'd1;
      if (product_last) begin
        tile_first_q <= 1'b0;
        if (pooled) pixel_q <= pixel_q + 2'd1;
      end
      if (window_last) begin
        col_q <= col_last ? 12'd0 : col_q + 12'd1;
        if (col_last) row_q <= row_q + 12'd1;
      end
    end
  end

  always_comb begin
    post_d = (post_q == 12'd0) ? 12'd0 : post_q - 12'd1;
    if (issue && vector_done)
      post_d = (cfg_q[program_pkg::MacRawLsb] ? 12'(group_steps_q) << SliceShift
                                              : 12'(group_steps_q)) - 12'd1;
  end

  always_ff @(posedge clk_i) begin
    post_q <= reset ? 12'd0 : post_d;
    post_busy_q <= !reset && post_d != 12'd0;
    if (state_q == Wait) group_steps_q <= claim_steps_o;
  end

  always_ff @(posedge clk_i) begin
    if (reset) padding_q <= 1'b0;
    else if (issue) padding_q <= pad_after;
    else if (pad_q == pad_cycles) padding_q <= 1'b0;
    pad_q <= padding_q ? pad_q + 8'd1 : 8'd1;
    if (issue) final_q <= group_done;
  end

  // ---- RUN: source row and column, source address ----------------------------------------------
  // pitch is valid from the first RUN cycle on, the earliest to compute an address with it.
  logic [AddrBits-1:0] pitch_low_d, pitch_high_d, pitch_low_q, pitch_high_q, pitch, pitch_word;
  logic [11:0] pitch_cols;
  assign pitch_cols = source_mid ? cols : in_cols;
  assign pitch_word = AddrBits'(pixel_words);
  always_comb begin
    pitch_low_d = '0;
    pitch_high_d = '0;
    for (int b = 0; b < 6; b++) begin
      if (pitch_cols[b]) pitch_low_d = pitch_low_d + (pitch_word << b);
      if (pitch_cols[b+6]) pitch_high_d = pitch_high_d + (pitch_word << b);
    end
  end
  always_ff @(posedge clk_i) begin
    pitch_low_q <= pitch_low_d;
    pitch_high_q <= pitch_high_d;
  end
  assign pitch = pitch_low_q + (pitch_high_q << 6);

  // Addresses at tap (0, 0), input group 0, unless said otherwise.
  logic [AddrBits-1:0] addr_q;  // of this issue
  logic [AddrBits-1:0] tap_q;  // of this tap
  logic [AddrBits-1:0] tap_row_q;  // of this tap row's first tap
  logic [AddrBits-1:0] pixel_base_q;  // of this pixel
  logic [AddrBits-1:0] window_q;  // of this window's pixel 0
  logic [AddrBits-1:0] right_q;  // of this window's pixel 1
  logic [AddrBits-1:0] row_base_q;  // of this row's first window
  logic [AddrBits-1:0] down_q;  // of pixel 2 of this row's first window
  logic [AddrBits-1:0] next_base, next_step, next_addr;
  // Source row and column (negative: padding) of this tap, of the pixel and of the window.
  logic signed [12:0] tap_y_q, tap_x_q, pixel_y_q, pixel_x_q, window_y_q, window_x_q;
  logic signed [12:0] next_y, next_x;
  logic signed [12:0] step_y, step_x;  // the row or column moved away from

  always_comb begin
    next_base = addr_q;
    next_step = AddrBits'(1);
    next_y = tap_y_q;
    next_x = tap_x_q;
    step_y = 13'sd0;
    step_x = 13'sd0;
    if (channel_last) begin
      if (!kernel_col_last) begin
        next_base = tap_q;
        next_step = pitch_word;
        next_x = tap_x_q + 13'sd1;
        step_x = tap_x_q;
      end else if (!kernel_row_last) begin
        next_base = tap_row_q;
        next_step = pitch;
        next_y = tap_y_q + 13'sd1;
        next_x = pixel_x_q;
        step_y = tap_y_q;
      end else if (!pixel_last && !pixel_q[0]) begin
        next_base = pixel_base_q;
        next_step = pitch_word;
        next_y = pixel_y_q;
        next_x = pixel_x_q + 13'sd1;
        step_x = pixel_x_q;
      end else if (!pixel_last) begin
        next_base = window_q;
        next_step = pitch;
        next_y = window_y_q + 13'sd1;
        next_x = window_x_q;
        step_y = window_y_q;
      end else if (!col_last) begin
        next_base = pooled ? right_q : window_q;
        next_step = pitch_word;
        step_x = pooled ? window_x_q + 13'sd1 : window_x_q;
        next_y = window_y_q;
        next_x = step_x + 13'sd1;
      end else begin
        next_base = pooled ? down_q : row_base_q;
        next_step = pitch;
        step_y = pooled ? window_y_q + 13'sd1 : window_y_q;
        next_y = step_y + 13'sd1;
        next_x = first_col;
      end
    end
    next_addr = next_base + ((step_y[12] || step_x[12]) ? AddrBits'(0) : next_step);
  end

  always_ff @(posedge clk_i) begin
    if (state_q != Run) begin
      addr_q <= source_base_q;
      tap_q <= source_base_q;
      tap_row_q <= source_base_q;
      pixel_base_q <= source_base_q;
      window_q <= source_base_q;
      row_base_q <= source_base_q;
      tap_y_q <= first_row;
      tap_x_q <= first_col;
      pixel_y_q <= first_row;
      pixel_x_q <= first_col;
      window_y_q <= first_row;
      window_x_q <= first_col;
    end else if (issue) begin
      addr_q <= next_addr;
      tap_y_q <= next_y;
      tap_x_q <= next_x;
      if (channel_last) tap_q <= next_addr;
      if (channel_last && kernel_col_last) tap_row_q <= next_addr;
      if (product_last) begin
        pixel_base_q <= next_addr;
        pixel_y_q <= next_y;
        pixel_x_q <= next_x;
        if (pixel_q == 2'd0) right_q <= next_addr;
        if (pixel_q == 2'd1 && col_q == 12'd0) down_q <= next_addr;
      end
      if (window_last) begin
        window_q <= next_addr;
        window_y_q <= next_y;
        window_x_q <= next_x;
        if (col_last) row_base_q <= next_addr;
      end
    end
  end

  // ---- RUN: weight words, in order; every pixel starts over -----------------------------------
  logic [OffsetBits-1:0] weight_offset_q;
  always_ff @(posedge clk_i) begin
    if (state_q != Run) weight_offset_q <= weight_base_q;
    else if (issue)
      weight_offset_q <= product_last ? weight_base_q : weight_offset_q + OffsetBits'(1);
  end

  // ---- Outputs ----------------------------------------------------------------------------------
  logic present;
  if (ConvKernelMax > 1) begin : gen_bounds
    assign present = source_mid ||
                     (!tap_y_q[12] && tap_y_q < $signed({1'b0, in_rows}) &&
                      !tap_x_q[12] && tap_x_q < $signed({1'b0, in_cols}));
  end else begin : gen_no_bounds
    assign present = 1'b1;
  end

  assign issue_o = issue;
  assign issue_first_o = first_q;
  assign issue_last_o = product_last;
  assign issue_pad_o = !present;
  assign issue_mid_o = source_mid;
  assign issue_pad_value_o = cfg_q[program_pkg::MacPadValueLsb+:FeatureBits];
  assign issue_pixel_o = pixel_q;
  assign issue_tile_first_o = tile_first_q;
  assign issue_group_last_o = col_last && row_last && pixel_last;
  assign issue_bank_o = group_bank_q;

  assign in_re_o = issue && !source_mid && present;
  assign in_addr_o = InAddrBits'(addr_q);
  assign in_bank_o = in_bank_i;
  assign mid_re_o = issue && source_mid;
  assign mid_addr_o = MidAddrBits'(addr_q);
  assign mid_bank_o = mid_bank_i;
  assign weight_re_o = issue;
  assign weight_offset_o = weight_offset_q;
  assign release_o = run_end && release_weights;
  assign release_words_o = cfg_q[program_pkg::MacGroupWordsLsb+:12];
  assign in_release_o = tile_end_o && !source_mid;
  assign mid_release_o = tile_end_o && source_mid;

  assign claim_o = wait_pass;
  assign claim_bank_o = bank_q;
  assign claim_steps_o = group_last ? cfg_q[program_pkg::MacLastStepsLsb+:8]
                                    : cfg_q[program_pkg::MacStepsLsb+:8];
  assign claim_pool_o = pool;
  assign claim_raw_o = cfg_q[program_pkg::MacRawLsb];
  assign claim_shift_o = cfg_q[program_pkg::MacShiftLsb+:6];
  assign claim_round_o = cfg_q[program_pkg::MacRoundLsb];
  assign claim_param_offset_o = param_offset_q;
  assign claim_release_o = release_weights;
  assign claim_param_words_o = cfg_q[program_pkg::MacParamWordsLsb+:8];
  assign claim_last_o = group_last;
  assign claim_bundle_o = cfg_q[program_pkg::BundleLsb+:8];
  assign claim_tile_o = cfg_q[program_pkg::TileLsb+:16];

  assign tile_start_o = start;
  assign tile_end_o = run_end && group_last_q;
  assign bundle_o = (state_q == Idle) ? cmd[program_pkg::BundleLsb+:8]
                                      : cfg_q[program_pkg::BundleLsb+:8];
  assign tile_o = (state_q == Idle) ? cmd[program_pkg::TileLsb+:16]
                                    : cfg_q[program_pkg::TileLsb+:16];

  always_comb begin
    class_o = 2'd0;
    case (state_q)
      Idle: if (!start) class_o = 2'd1;
      Wait: if (!wait_pass) class_o = weights_there ? 2'd2 : 2'd3;
      default: if (!issue) class_o = 2'd2;
    endcase
  end

  logic unused;
  assign unused = ^{cmd_count, cfg_q, kernel_row_q, kernel_col_q, in_rows, pixel_words};

`ifndef SYNTHESIS
  initial begin
    if (ConvKernelMax != 1 && ConvKernelMax != 3 && ConvKernelMax != 5)
      $fatal(1, "%m: ConvKernelMax %0d is not 1, 3 or 5", ConvKernelMax);
  end
  always_ff @(posedge clk_i) begin
    if (!reset && state_q == Wait) begin
      if (32'(cfg_q[program_pkg::MacKernelLsb+:3]) > ConvKernelMax)
        $fatal(1, "%m: kernel %0d, built for %0d", cfg_q[program_pkg::MacKernelLsb+:3],
               ConvKernelMax);
      if (pooled && (rows[0] || cols[0])) $fatal(1, "%m: pooling an odd tile");
    end
  end
`endif
endmodule

`default_nettype wire
