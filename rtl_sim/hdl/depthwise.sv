// Depth-wise convolution: one command is one tile, from the input buffer to the mid buffer.
//
// IDLE: start at c when a command, a full input bank and a free mid bank are there. Per channel
// group: WAIT (>= 1 cycle, groups_ready_i > (release ? 0 : group)), PARAM (k*k + 1 cycles), STREAM
// ((rows + k - 1) * (cols + k - 1) * R cycles, R = ceil(k*k / min(DwTaps, KernelMax^2))). After the
// last group DRAIN: the tile's last mid write is D = 12 + T cycles after the last STREAM cycle,
// T = ceil(log2(min(DwTaps, KernelMax^2))): 2 RAM, 1 window, 1 operands, 2 product, T adder tree,
// 1 accumulator, 5 requantise. That cycle is tile_end_o = mid_fill_o; then IDLE.
// Memories are read with latency 2 (address and re at c, data at c + 2). The rows and columns
// present must lie within the positions streamed: pad_top + in_rows <= rows + k - 1, and columns
// alike, so that the present pixels are read in raster order by adding pixel_words to the address.
// A group is given back (release_o, with its word count) at its last STREAM cycle.
`default_nettype none

module depthwise #(
  parameter int InLanes = 4,
  parameter int DwTaps = 9,
  parameter int KernelMax = 3,
  parameter int WeightBits = 16,
  parameter int FeatureBits = 8,
  parameter int LutMultipliers = 0,
  parameter int LineWords = 512,
  parameter int InBankWords = 1024,
  parameter int MidBankWords = 1024,
  parameter int CommandDepth = 4,
  parameter int OffsetBits = 12,
  parameter int ReadyBits = 13,
  localparam int PixelBits = InLanes * FeatureBits,
  localparam int InAddrBits = (InBankWords > 1) ? $clog2(InBankWords) : 1,
  localparam int MidAddrBits = (MidBankWords > 1) ? $clog2(MidBankWords) : 1
) (
  input  wire                                    clk_i,
  input  wire                                    rst_i,
  input  wire                                    flush_i,
  // Commands
  input  wire                                    cmd_push_i,
  input  wire  [program_pkg::DepthwiseBits-1:0]  cmd_i,
  output logic                                   cmd_full_o,
  // Input bank: full is a register of the bank token; release is posted at the last STREAM cycle.
  input  wire                                    in_full_i,
  input  wire                                    in_bank_i,
  output logic                                   in_release_o,
  output logic                                   in_re_o,
  output logic [InAddrBits-1:0]                  in_addr_o,
  output logic                                   in_bank_o,
  input  wire  [PixelBits-1:0]                   in_data_i,
  // Weight store
  input  wire  [ReadyBits-1:0]                   groups_ready_i,
  output logic                                   weight_re_o,
  output logic [OffsetBits-1:0]                  weight_offset_o,
  input  wire  [InLanes*WeightBits-1:0]          weight_data_i,
  output logic                                   param_re_o,
  output logic [OffsetBits-1:0]                  param_offset_o,
  input  wire  [InLanes*48-1:0]                  param_data_i,  // lane: mult 47:32, bias 31:0
  output logic                                   release_o,
  output logic [11:0]                            release_words_o,
  // Mid bank
  input  wire                                    mid_free_i,
  input  wire                                    mid_bank_i,
  output logic                                   mid_fill_o,
  output logic                                   mid_we_o,
  output logic [MidAddrBits-1:0]                 mid_addr_o,
  output logic                                   mid_bank_o,
  output logic [PixelBits-1:0]                   mid_data_o,
  // Events and counters
  output logic                                   tile_start_o,
  output logic                                   tile_end_o,
  output logic [7:0]                             bundle_o,
  output logic [15:0]                            tile_o,
  output logic [1:0]                             class_o  // 0 busy, 1 input, 2 output, 3 ddr
);
  localparam int Cells = KernelMax * KernelMax;
  localparam int Taps = (DwTaps < Cells) ? DwTaps : Cells;
  localparam int Phases3 = (9 + Taps - 1) / Taps;
  localparam int Phases5 = (25 + Taps - 1) / Taps;
  localparam int Phases = (KernelMax == 5) ? Phases5 : Phases3;
  localparam int PhaseBits = (Phases > 1) ? $clog2(Phases) : 1;
  localparam int AccBits = WeightBits + FeatureBits + $clog2(Cells);
  localparam int ColBits = (LineWords > 1) ? $clog2(LineWords) : 1;
  localparam int RequantLatency = 5;
  localparam int WindowStage = 3;  // a phase streamed at c selects its operands at c + 3
  localparam int Drain = WindowStage + 4 + $clog2(Taps) + RequantLatency;  // D of the contract

  localparam logic [2:0] Idle = 3'd0;
  localparam logic [2:0] Wait = 3'd1;
  localparam logic [2:0] Param = 3'd2;
  localparam logic [2:0] Stream = 3'd3;
  localparam logic [2:0] DrainState = 3'd4;

  // ---- Command ------------------------------------------------------------------------------
  logic [program_pkg::DepthwiseBits-1:0] cmd, cfg_q;
  logic cmd_valid, start, reset;
  logic [$clog2(CommandDepth+1)-1:0] cmd_count;

  assign reset = rst_i || flush_i;

  sync_fifo #(
    .Width(program_pkg::DepthwiseBits),
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
  logic [2:0] pad_top, pad_left;
  logic [5:0] shift;
  logic rounding, release_weights, kernel5;
  logic [FeatureBits-1:0] pad_value;
  assign rows = cfg_q[program_pkg::DepthwiseRowsLsb+:12];
  assign cols = cfg_q[program_pkg::DepthwiseColsLsb+:12];
  assign in_rows = cfg_q[program_pkg::DepthwiseInRowsLsb+:12];
  assign in_cols = cfg_q[program_pkg::DepthwiseInColsLsb+:12];
  assign pad_top = cfg_q[program_pkg::DepthwisePadTopLsb+:3];
  assign pad_left = cfg_q[program_pkg::DepthwisePadLeftLsb+:3];
  assign groups = cfg_q[program_pkg::DepthwiseGroupsLsb+:12];
  assign pixel_words = cfg_q[program_pkg::DepthwisePixelWordsLsb+:12];
  assign shift = cfg_q[program_pkg::DepthwiseShiftLsb+:6];
  assign rounding = cfg_q[program_pkg::DepthwiseRoundLsb];
  assign release_weights = cfg_q[program_pkg::DepthwiseReleaseWeightsLsb];
  assign pad_value = cfg_q[program_pkg::DepthwisePadValueLsb+:FeatureBits];
  if (KernelMax == 5) begin : gen_kernel5
    assign kernel5 = cfg_q[program_pkg::DepthwiseKernel5Lsb];
  end else begin : gen_kernel3
    assign kernel5 = 1'b0;
  end

  // ---- State machine ------------------------------------------------------------------------
  logic [2:0] state_q;
  logic [11:0] group_q;
  logic [11:0] group_top_q;  // the tile's last group
  logic group_last_q;  // group_q is the tile's last group, known after PARAM
  logic [4:0] param_q;  // cycle inside PARAM
  logic [4:0] taps_all;  // k * k
  logic weights_there, stream_end, write_end;

  assign taps_all = kernel5 ? 5'd25 : 5'd9;
  assign start = (state_q == Idle) && cmd_valid && in_full_i && mid_free_i;
  assign weights_there = groups_ready_i > (release_weights ? ReadyBits'(0) : ReadyBits'(group_q));

  always_ff @(posedge clk_i) begin
    if (reset) begin
      state_q <= Idle;
    end else begin
      case (state_q)
        Idle: if (start) state_q <= Wait;
        Wait: if (weights_there) state_q <= Param;
        Param: if (param_q == taps_all) state_q <= Stream;
        Stream: if (stream_end) state_q <= group_last_q ? DrainState : Wait;
        default: if (write_end) state_q <= Idle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      cfg_q <= cmd;
      group_q <= '0;
    end else if (stream_end) begin
      group_q <= group_q + 12'd1;
    end
    group_top_q <= groups - 12'd1;
    if (state_q == Param) group_last_q <= group_q == group_top_q;
    param_q <= (state_q == Param) ? param_q + 5'd1 : 5'd0;
  end

  // ---- PARAM: weights and parameters into registers -------------------------------------------
  // The old group's operands are all taken 2 cycles before the first new weight arrives, and its
  // last accumulator is requantised 3 or more cycles before the new parameters do.
  logic [1:0] weight_valid_q, param_valid_q;
  logic [4:0] tap1_q, tap2_q;
  logic [OffsetBits-1:0] weight_offset_q;
  logic [Cells*InLanes*WeightBits-1:0] weights;
  logic [InLanes*48-1:0] params_q;

  assign weight_re_o = (state_q == Param) && (param_q != taps_all);
  assign weight_offset_o = weight_offset_q;
  assign param_re_o = (state_q == Param) && (param_q == taps_all);
  assign param_offset_o = release_weights ? OffsetBits'(0) : OffsetBits'(group_q);

  always_ff @(posedge clk_i) begin
    if (start || (stream_end && release_weights)) weight_offset_q <= '0;
    else if (weight_re_o) weight_offset_q <= weight_offset_q + OffsetBits'(1);
    weight_valid_q <= {weight_valid_q[0], weight_re_o};
    param_valid_q <= {param_valid_q[0], param_re_o};
    tap1_q <= param_q;
    tap2_q <= tap1_q;
    if (param_valid_q[1]) params_q <= param_data_i;
  end

  for (genvar t = 0; t < Cells; t++) begin : gen_weight
    logic [InLanes*WeightBits-1:0] weight_q;
    always_ff @(posedge clk_i) begin
      if (weight_valid_q[1] && tap2_q == 5'(t)) weight_q <= weight_data_i;
    end
    assign weights[t*InLanes*WeightBits+:InLanes*WeightBits] = weight_q;
  end

  // ---- STREAM: positions, phases and input addresses ------------------------------------------
  logic [PhaseBits-1:0] phase_q, phase_top;
  logic [11:0] row_q, col_q;
  logic signed [12:0] source_row_q, source_col_q;  // negative: padding
  logic signed [12:0] first_row, first_col;
  logic [2:0] border;  // k - 1
  logic phase_last, present, emit;
  logic [11:0] col_top_q, row_top_q;  // last column and row of positions, known before STREAM
  logic col_last_q, row_last_q;
  logic [InAddrBits-1:0] in_addr_q;

  assign first_row = -$signed({10'd0, pad_top});
  assign first_col = -$signed({10'd0, pad_left});
  assign border = kernel5 ? 3'd4 : 3'd2;
  assign phase_top = kernel5 ? PhaseBits'(Phases5 - 1) : PhaseBits'(Phases3 - 1);
  assign phase_last = phase_q == phase_top;
  assign stream_end = (state_q == Stream) && phase_last && col_last_q && row_last_q;
  assign present = !source_row_q[12] && source_row_q < $signed({1'b0, in_rows}) &&
                   !source_col_q[12] && source_col_q < $signed({1'b0, in_cols});
  assign emit = (row_q >= 12'(border)) && (col_q >= 12'(border));

  always_ff @(posedge clk_i) begin
    col_top_q <= cols + 12'(border) - 12'd1;  // 2 or more, so that no first one is the last
    row_top_q <= rows + 12'(border) - 12'd1;
    if (state_q != Stream) begin
      phase_q <= '0;
      row_q <= '0;
      col_q <= '0;
      row_last_q <= 1'b0;
      col_last_q <= 1'b0;
      source_row_q <= first_row;
      source_col_q <= first_col;
      in_addr_q <= InAddrBits'(group_q);
    end else if (!phase_last) begin
      phase_q <= phase_q + PhaseBits'(1);
    end else begin
      phase_q <= '0;
      if (present) in_addr_q <= in_addr_q + InAddrBits'(pixel_words);
      col_last_q <= !col_last_q && col_q + 12'd1 == col_top_q;
      if (!col_last_q) begin
        col_q <= col_q + 12'd1;
        source_col_q <= source_col_q + 13'sd1;
      end else begin
        col_q <= '0;
        source_col_q <= first_col;
        row_q <= row_q + 12'd1;
        row_last_q <= row_q + 12'd1 == row_top_q;
        source_row_q <= source_row_q + 13'sd1;
      end
    end
  end

  logic position;  // first phase: the position is read
  assign position = (state_q == Stream) && (phase_q == '0);
  assign in_re_o = position && present;
  assign in_addr_o = in_addr_q;
  assign in_bank_o = in_bank_i;
  assign in_release_o = stream_end && group_last_q;
  assign release_o = stream_end && release_weights;
  assign release_words_o = 12'(taps_all);

  // ---- Window and lanes -----------------------------------------------------------------------
  logic [1:0] present_q;
  logic [PixelBits-1:0] pixel;
  logic first_phase;
  logic [Cells*PixelBits-1:0] window;
  logic [WindowStage-1:0][PhaseBits-1:0] phase_pipe_q;
  logic [WindowStage-1:0] emit_pipe_q, phase_last_pipe_q;
  logic [Drain-1:0] end_pipe_q;  // last position of a group, on its way to the mid buffer

  always_ff @(posedge clk_i) begin
    present_q <= {present_q[0], present};
    phase_pipe_q <= {phase_pipe_q[WindowStage-2:0], phase_q};
    phase_last_pipe_q <= {phase_last_pipe_q[WindowStage-2:0], phase_last};
    if (reset) begin
      emit_pipe_q <= '0;
      end_pipe_q <= '0;
    end else begin
      emit_pipe_q <= {emit_pipe_q[WindowStage-2:0], (state_q == Stream) && emit};
      end_pipe_q <= {end_pipe_q[Drain-2:0], stream_end};
    end
  end

  assign pixel = present_q[1] ? in_data_i : {InLanes{pad_value}};
  assign first_phase = phase_pipe_q[WindowStage-1] == '0;

  dw_window #(
    .Kernel   (KernelMax),
    .PixelBits(PixelBits),
    .LineWords(LineWords)
  ) u_window (
    .clk_i,
    .read_i  (position),
    .col_i   (col_q[ColBits-1:0]),
    .pixel_i (pixel),
    .window_o(window)
  );

  logic acc_valid;
  logic [InLanes*AccBits-1:0] acc;

  dw_lanes #(
    .InLanes       (InLanes),
    .Taps          (Taps),
    .Kernel        (KernelMax),
    .WeightBits    (WeightBits),
    .FeatureBits   (FeatureBits),
    .LutMultipliers(LutMultipliers),
    .PhaseBits     (PhaseBits)
  ) u_lanes (
    .clk_i,
    .rst_i      (reset),
    .valid_i    (emit_pipe_q[WindowStage-1]),
    .first_i    (first_phase),
    .last_i     (phase_last_pipe_q[WindowStage-1]),
    .kernel5_i  (kernel5),
    .phase_i    (phase_pipe_q[WindowStage-1]),
    .window_i   (window),
    .weights_i  (weights),
    .acc_valid_o(acc_valid),
    .acc_o      (acc)
  );

  for (genvar l = 0; l < InLanes; l++) begin : gen_requantise
    requantise #(
      .AccBits    (AccBits),
      .FeatureBits(FeatureBits)
    ) u_requantise (
      .clk_i,
      .valid_i(acc_valid),
      .acc_i  (acc[l*AccBits+:AccBits]),
      .bias_i (params_q[l*48+:32]),
      .mult_i (params_q[l*48+32+:16]),
      .shift_i(shift),
      .round_i(rounding),
      .y_o    (mid_data_o[l*FeatureBits+:FeatureBits])
    );
  end

  // ---- Mid buffer -----------------------------------------------------------------------------
  logic [RequantLatency-1:0] write_q;
  logic [MidAddrBits-1:0] mid_addr_q;
  logic [11:0] write_group_q;
  logic group_end;  // the word written is the last of its group
  logic write_last_q;  // write_group_q is the tile's last group

  assign group_end = end_pipe_q[Drain-1];
  assign write_end = group_end && (state_q == DrainState) && write_last_q;
  assign mid_we_o = write_q[RequantLatency-1];
  assign mid_addr_o = mid_addr_q;
  assign mid_bank_o = mid_bank_i;
  assign mid_fill_o = write_end;

  always_ff @(posedge clk_i) begin
    if (reset) write_q <= '0;
    else write_q <= {write_q[RequantLatency-2:0], acc_valid};
    write_last_q <= write_group_q == group_top_q;
    if (start) begin
      mid_addr_q <= '0;
      write_group_q <= '0;
    end else if (group_end) begin
      mid_addr_q <= MidAddrBits'(write_group_q) + MidAddrBits'(1);
      write_group_q <= write_group_q + 12'd1;
    end else if (mid_we_o) begin
      mid_addr_q <= mid_addr_q + MidAddrBits'(groups);
    end
  end

  // ---- Events and counters ----------------------------------------------------------------------
  assign tile_start_o = start;
  assign tile_end_o = write_end;
  assign bundle_o = (state_q == Idle) ? cmd[program_pkg::BundleLsb+:8]
                                      : cfg_q[program_pkg::BundleLsb+:8];
  assign tile_o = (state_q == Idle) ? cmd[program_pkg::TileLsb+:16]
                                    : cfg_q[program_pkg::TileLsb+:16];

  always_comb begin
    class_o = 2'd0;
    if (state_q == Idle && !start) class_o = (cmd_valid && in_full_i) ? 2'd2 : 2'd1;
    else if (state_q == Wait && !weights_there) class_o = 2'd3;
  end

  logic unused;
  assign unused = ^{cmd_count, cfg_q, pixel_words};

`ifndef SYNTHESIS
  initial begin
    if (KernelMax != 3 && KernelMax != 5) $fatal(1, "%m: KernelMax %0d is not 3 or 5", KernelMax);
  end
  always_ff @(posedge clk_i) begin
    if (!reset && state_q == Wait) begin
      if (cfg_q[program_pkg::DepthwiseKernel5Lsb] && KernelMax != 5)
        $fatal(1, "%m: 5 x 5 command, built for 3 x 3");
      if (32'(cols) + 32'(border) > 32'(LineWords)) $fatal(1, "%m: a row of %0d", cols);
      if (16'(pad_top) + 16'(in_rows) > 16'(rows) + 16'(border) ||
          16'(pad_left) + 16'(in_cols) > 16'(cols) + 16'(border))
        $fatal(1, "%m: more pixels present than positions");
    end
    if (!reset && end_pipe_q[Drain-1] && !mid_we_o) $fatal(1, "%m: pipeline skew");
  end
`endif
endmodule

`default_nettype wire
