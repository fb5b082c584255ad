// Command and address generation of the MAC array: one command is one tile.
//
// IDLE: start at c when a command and a full source bank are there. Per output group: WAIT (>= 1
// cycle: groups_ready_i > (release ? 0 : group), and an output bank free), RUN: one issue a cycle,
// windows (pool: 2 x 2 in raster order, the 4 pixels row-major inside; else pixels) x taps x input
// groups; after each emitted vector (max pool: after the window, else after each pixel) pad_cycles
// idle cycles. pad_cycles keeps the pace of requantising inside a layer; where a tile follows a tile
// of another layer, the issue that completes a vector is held back (a cycle counted as padding) until
// it comes steps*RW or more cycles after the one that completed the vector before. The last RUN
// cycle of a group, padding included, posts release_o; that of the last group also tile_end_o and
// the release of the source bank; then WAIT, or IDLE.
// WAIT is left with claim_o, which reserves an output bank (bank_token) and hands the settings of
// the group to the post-process; the banks alternate. Each bank is given back by the feature store.
// An issue at c reads its features and its weight word at c (re, address; data at c + 2).
// Addresses are sums of running bases, no multiplier is needed. A source row or column above or left
// of the first one present leaves the address where it is, so no negative address arises; such an
// issue has issue_pad_o. Kernels above 1 only may be padded.
// Where a loop ends is known one cycle ahead: each counter counts down and has a register that says
// whether it is at its last value, so that an issue is two LUTs away from registers.
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

  logic [11:0] rows, cols, in_rows, in_cols, groups, pixel_words;
  logic [1:0] pool;
  logic [7:0] pad_cycles;
  logic source_mid, release_weights, pooled;
  assign rows = cfg_q[program_pkg::MacRowsLsb+:12];
  assign cols = cfg_q[program_pkg::MacColsLsb+:12];
  assign in_rows = cfg_q[program_pkg::MacInRowsLsb+:12];
  assign in_cols = cfg_q[program_pkg::MacInColsLsb+:12];
  assign groups = cfg_q[program_pkg::MacGroupsLsb+:12];
  assign pixel_words = cfg_q[program_pkg::MacPixelWordsLsb+:12];
  assign pool = cfg_q[program_pkg::MacPoolLsb+:2];
  assign pad_cycles = cfg_q[program_pkg::MacPadCyclesLsb+:8];
  assign source_mid = cfg_q[program_pkg::MacSourceMidLsb];
  assign release_weights = cfg_q[program_pkg::MacReleaseWeightsLsb];
  assign pooled = pool != 2'd0;

  // ---- State machine ------------------------------------------------------------------------
  logic [1:0] state_q;
  logic bank_q;  // bank of the next claim
  logic group_bank_q;  // bank of the group in RUN
  logic [11:0] group_q;
  logic [11:0] groups_left_q;  // output groups after this one
  logic group_last_q;  // there are none
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
      groups_left_q <= cmd[program_pkg::MacOutGroupsLsb+:12] - 12'd1;
      group_last_q <= cmd[program_pkg::MacOutGroupsLsb+:12] == 12'd1;
      weight_base_q <= '0;
      param_offset_q <= '0;
      source_base_q <= '0;
    end else if (run_end) begin
      group_q <= group_q + 12'd1;
      groups_left_q <= groups_left_q - 12'd1;
      group_last_q <= groups_left_q == 12'd1;
      source_base_q <= source_base_q + AddrBits'(cfg_q[program_pkg::MacGroupStepLsb+:12]);
      if (!release_weights) begin
        weight_base_q <= weight_base_q + OffsetBits'(cfg_q[program_pkg::MacGroupWordsLsb+:12]);
        param_offset_q <= param_offset_q + OffsetBits'(cfg_q[program_pkg::MacParamWordsLsb+:8]);
      end
    end
    if (state_q == Wait) group_bank_q <= bank_q;
  end

  // ---- RUN: loop counters -------------------------------------------------------------------
  // Ends of the loops, from the command: valid from the end of the first WAIT cycle on.
  logic [11:0] group_top_q, col_top_q;  // input groups and windows of a row, less one
  logic one_group_q, one_col_q;
  logic pooled_q, max_pool_q, padded_q, one_pad_q;
  logic [7:0] pad_top_q;

  always_ff @(posedge clk_i) begin
    group_top_q <= groups - 12'd1;
    one_group_q <= groups == 12'd1;
    col_top_q <= (pooled ? {1'b0, cols[11:1]} : cols) - 12'd1;
    one_col_q <= (pooled ? {1'b0, cols[11:1]} : cols) == 12'd1;
    pooled_q <= pooled;
    max_pool_q <= pool == MaxPool;
    padded_q <= pad_cycles != 8'd0;
    one_pad_q <= pad_cycles == 8'd1;
    pad_top_q <= pad_cycles - 8'd1;
  end

  logic [11:0] channels_left_q, rows_left_q, cols_left_q;  // after the present one
  logic channel_last_q, row_last_q, col_last_q;
  logic first_col_q;  // first window of its row
  logic kernel_col_last, kernel_row_last;
  logic [1:0] pixel_q;
  logic first_q;  // first product of its pixel
  logic tile_first_q;
  logic padding_q;  // idle cycles after a vector
  logic [7:0] pads_left_q;
  logic pad_last_q;
  logic final_q;  // the group's last product is issued
  logic issue, product_last, pixel_last, window_last, group_done, vector_done;
  logic [11:0] post_q, post_load_q;  // cycles until the post-process can take the next vector
  logic post_busy_q, post_load_busy_q;

  assign product_last = channel_last_q && kernel_col_last && kernel_row_last;
  assign pixel_last = !pooled_q || pixel_q == 2'd3;
  assign window_last = product_last && pixel_last;
  assign group_done = window_last && col_last_q && row_last_q;
  assign vector_done = product_last && (!max_pool_q || pixel_q == 2'd3);
  assign issue = (state_q == Run) && !padding_q && !(vector_done && post_busy_q);
  assign run_end = (issue && group_done && !padded_q) || (padding_q && pad_last_q && final_q);

  // Until RUN the counters follow the command itself: the ends may be one cycle behind.
  always_ff @(posedge clk_i) begin
    if (state_q != Run) begin
      channels_left_q <= groups - 12'd1;
      channel_last_q <= groups == 12'd1;
      pixel_q <= '0;
      rows_left_q <= (pooled ? {1'b0, rows[11:1]} : rows) - 12'd1;
      row_last_q <= (pooled ? {1'b0, rows[11:1]} : rows) == 12'd1;
      cols_left_q <= (pooled ? {1'b0, cols[11:1]} : cols) - 12'd1;
      col_last_q <= (pooled ? {1'b0, cols[11:1]} : cols) == 12'd1;
      first_col_q <= 1'b1;
      first_q <= 1'b1;
      tile_first_q <= group_q == 12'd0;
    end else if (issue) begin
      first_q <= product_last;
      channels_left_q <= channel_last_q ? group_top_q : channels_left_q - 12'd1;
      channel_last_q <= channel_last_q ? one_group_q : channels_left_q == 12'd1;
      if (product_last) begin
        tile_first_q <= 1'b0;
        if (pooled_q) pixel_q <= pixel_q + 2'd1;
      end
      if (window_last) begin
        first_col_q <= col_last_q;
        cols_left_q <= col_last_q ? col_top_q : cols_left_q - 12'd1;
        col_last_q <= col_last_q ? one_col_q : cols_left_q == 12'd1;
        if (col_last_q) begin
          rows_left_q <= rows_left_q - 12'd1;
          row_last_q <= rows_left_q == 12'd1;
        end
      end
    end
  end

  if (ConvKernelMax > 1) begin : gen_kernel
    logic [2:0] kernel, col_left_q, row_left_q;
    logic col_end_q, row_end_q;
    assign kernel = cfg_q[program_pkg::MacKernelLsb+:3];
    assign kernel_col_last = col_end_q;
    assign kernel_row_last = row_end_q;
    always_ff @(posedge clk_i) begin
      if (state_q != Run) begin
        col_left_q <= kernel - 3'd1;
        col_end_q <= kernel == 3'd1;
        row_left_q <= kernel - 3'd1;
        row_end_q <= kernel == 3'd1;
      end else if (issue && channel_last_q) begin
        col_left_q <= col_end_q ? kernel - 3'd1 : col_left_q - 3'd1;
        col_end_q <= col_end_q ? kernel == 3'd1 : col_left_q == 3'd1;
        if (col_end_q) begin
          row_left_q <= row_end_q ? kernel - 3'd1 : row_left_q - 3'd1;
          row_end_q <= row_end_q ? kernel == 3'd1 : row_left_q == 3'd1;
        end
      end
    end
  end else begin : gen_point
    assign kernel_col_last = 1'b1;
    assign kernel_row_last = 1'b1;
  end

  // Steps of the group's vectors, less one, chosen in WAIT.
  logic [11:0] claim_cycles;
  assign claim_cycles = cfg_q[program_pkg::MacRawLsb] ? 12'(claim_steps_o) << SliceShift
                                                      : 12'(claim_steps_o);
  always_ff @(posedge clk_i) begin
    if (state_q == Wait) begin
      post_load_q <= claim_cycles - 12'd1;
      post_load_busy_q <= claim_cycles != 12'd1;
    end
    if (reset) begin
      post_q <= 12'd0;
      post_busy_q <= 1'b0;
    end else if (issue && vector_done) begin
      post_q <= post_load_q;
      post_busy_q <= post_load_busy_q;
    end else if (post_busy_q) begin
      post_q <= post_q - 12'd1;
      post_busy_q <= post_q != 12'd1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (reset) padding_q <= 1'b0;
    else if (issue) padding_q <= vector_done && padded_q;
    else if (pad_last_q) padding_q <= 1'b0;
    pads_left_q <= padding_q ? pads_left_q - 8'd1 : pad_top_q;
    pad_last_q <= padding_q ? pads_left_q == 8'd1 : one_pad_q;
    if (issue) final_q <= group_done;
  end

  // ---- RUN: source address ----------------------------------------------------------------------
  // Addresses at tap (0, 0), input group 0, unless said otherwise.
  logic [AddrBits-1:0] addr_q;  // of this issue
  logic [AddrBits-1:0] tap_q;  // of this tap
  logic [AddrBits-1:0] tap_row_q;  // of this tap row's first tap
  logic [AddrBits-1:0] pixel_base_q;  // of this pixel
  logic [AddrBits-1:0] window_q;  // of this window's pixel 0
  logic [AddrBits-1:0] right_q;  // of this window's pixel 1
  logic [AddrBits-1:0] row_base_q;  // of this row's first window
  logic [AddrBits-1:0] down_q;  // of pixel 2 of this row's first window
  logic [AddrBits-1:0] row_words, col_words;  // to the next source row, column
  logic [AddrBits-1:0] next_base, next_step, next_addr;
  logic stays;  // the row or column moved away from is padding
  logic right, down;  // the move is to the next column, row

  // Where the address goes: the innermost loop that is not at its end.
  logic to_channel, to_tap, to_tap_row, to_pixel_right, to_pixel_down, to_window, to_row;
  assign to_channel = !channel_last_q;
  assign to_tap = channel_last_q && !kernel_col_last;
  assign to_tap_row = channel_last_q && kernel_col_last && !kernel_row_last;
  assign to_pixel_right = product_last && !pixel_last && !pixel_q[0];
  assign to_pixel_down = product_last && !pixel_last && pixel_q[0];
  assign to_window = window_last && !col_last_q;
  assign to_row = window_last && col_last_q;
  assign right = to_tap || to_pixel_right || to_window;
  assign down = to_tap_row || to_pixel_down || to_row;

  assign row_words = AddrBits'(cfg_q[program_pkg::MacRowWordsLsb+:20]);
  assign col_words = AddrBits'(pixel_words);
  assign next_base = (to_channel ? addr_q : '0) | (to_tap ? tap_q : '0) |
                     (to_tap_row ? tap_row_q : '0) | (to_pixel_right ? pixel_base_q : '0) |
                     (to_pixel_down || (to_window && !pooled_q) ? window_q : '0) |
                     (to_window && pooled_q ? right_q : '0) |
                     (to_row ? (pooled_q ? down_q : row_base_q) : '0);
  always_comb begin
    next_step = AddrBits'(1);
    if (right) next_step = col_words;
    if (down) next_step = row_words;
    if (stays) next_step = '0;
  end
  assign next_addr = next_base + next_step;

  always_ff @(posedge clk_i) begin
    if (state_q != Run) begin
      addr_q <= source_base_q;
      tap_q <= source_base_q;
      tap_row_q <= source_base_q;
      pixel_base_q <= source_base_q;
      window_q <= source_base_q;
      row_base_q <= source_base_q;
    end else if (issue) begin
      addr_q <= next_addr;
      if (channel_last_q) tap_q <= next_addr;
      if (channel_last_q && kernel_col_last) tap_row_q <= next_addr;
      if (product_last) begin
        pixel_base_q <= next_addr;
        if (pixel_q == 2'd0) right_q <= next_addr;
        if (pixel_q == 2'd1 && first_col_q) down_q <= next_addr;
      end
      if (window_last) begin
        window_q <= next_addr;
        if (col_last_q) row_base_q <= next_addr;
      end
    end
  end

  // ---- RUN: source row and column (negative: padding) -------------------------------------------
  logic present;
  if (ConvKernelMax > 1) begin : gen_bounds
    logic signed [12:0] first_row, first_col;
    logic signed [12:0] tap_y_q, tap_x_q, pixel_y_q, pixel_x_q, window_y_q, window_x_q;
    logic signed [12:0] step_y, step_x;  // the row or column moved away from
    logic signed [12:0] next_y, next_x;

    assign first_row = -$signed({10'd0, cfg_q[program_pkg::MacPadTopLsb+:3]});
    assign first_col = -$signed({10'd0, cfg_q[program_pkg::MacPadLeftLsb+:3]});

    always_comb begin
      next_y = tap_y_q;
      next_x = tap_x_q;
      step_y = 13'sd0;
      step_x = 13'sd0;
      if (to_tap) begin
        next_x = tap_x_q + 13'sd1;
        step_x = tap_x_q;
      end
      if (to_tap_row) begin
        next_y = tap_y_q + 13'sd1;
        next_x = pixel_x_q;
        step_y = tap_y_q;
      end
      if (to_pixel_right) begin
        next_y = pixel_y_q;
        next_x = pixel_x_q + 13'sd1;
        step_x = pixel_x_q;
      end
      if (to_pixel_down) begin
        next_y = window_y_q + 13'sd1;
        next_x = window_x_q;
        step_y = window_y_q;
      end
      if (to_window) begin
        step_x = pooled_q ? window_x_q + 13'sd1 : window_x_q;
        next_y = window_y_q;
        next_x = step_x + 13'sd1;
      end
      if (to_row) begin
        step_y = pooled_q ? window_y_q + 13'sd1 : window_y_q;
        next_y = step_y + 13'sd1;
        next_x = first_col;
      end
    end
    assign stays = step_y[12] || step_x[12];

    always_ff @(posedge clk_i) begin
      if (state_q != Run) begin
        tap_y_q <= first_row;
        tap_x_q <= first_col;
        pixel_y_q <= first_row;
        pixel_x_q <= first_col;
        window_y_q <= first_row;
        window_x_q <= first_col;
      end else if (issue) begin
        tap_y_q <= next_y;
        tap_x_q <= next_x;
        if (product_last) begin
          pixel_y_q <= next_y;
          pixel_x_q <= next_x;
        end
        if (window_last) begin
          window_y_q <= next_y;
          window_x_q <= next_x;
        end
      end
    end

    assign present = source_mid ||
                     (!tap_y_q[12] && tap_y_q < $signed({1'b0, in_rows}) &&
                      !tap_x_q[12] && tap_x_q < $signed({1'b0, in_cols}));
  end else begin : gen_no_bounds
    assign stays = 1'b0;
    assign present = 1'b1;
  end

  // ---- RUN: weight words, in order; every pixel starts over -----------------------------------
  logic [OffsetBits-1:0] weight_offset_q;
  always_ff @(posedge clk_i) begin
    if (state_q != Run) weight_offset_q <= weight_base_q;
    else if (issue)
      weight_offset_q <= product_last ? weight_base_q : weight_offset_q + OffsetBits'(1);
  end

  // ---- Outputs ----------------------------------------------------------------------------------
  assign issue_o = issue;
  assign issue_first_o = first_q;
  assign issue_last_o = product_last;
  assign issue_pad_o = !present;
  assign issue_mid_o = source_mid;
  assign issue_pad_value_o = cfg_q[program_pkg::MacPadValueLsb+:FeatureBits];
  assign issue_pixel_o = pixel_q;
  assign issue_tile_first_o = tile_first_q;
  assign issue_group_last_o = col_last_q && row_last_q && pixel_last;
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
  assign claim_steps_o = group_last_q ? cfg_q[program_pkg::MacLastStepsLsb+:8]
                                    : cfg_q[program_pkg::MacStepsLsb+:8];
  assign claim_pool_o = pool;
  assign claim_raw_o = cfg_q[program_pkg::MacRawLsb];
  assign claim_shift_o = cfg_q[program_pkg::MacShiftLsb+:6];
  assign claim_round_o = cfg_q[program_pkg::MacRoundLsb];
  assign claim_param_offset_o = param_offset_q;
  assign claim_release_o = release_weights;
  assign claim_param_words_o = cfg_q[program_pkg::MacParamWordsLsb+:8];
  assign claim_last_o = group_last_q;
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
  assign unused = ^{cmd_count, cfg_q, in_rows, in_cols, pixel_words};

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
      if (ConvKernelMax == 1 && cfg_q[program_pkg::MacPadTopLsb+:6] != 6'd0)
        $fatal(1, "%m: padding without a kernel");
      if (pooled && (rows[0] || cols[0])) $fatal(1, "%m: pooling an odd tile");
    end
  end
`endif
endmodule

`default_nettype wire
