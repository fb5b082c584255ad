// Post-process: pools, requantises and writes what the MAC array accumulates.
//
// A vector arrives at cycle v (vector_valid_i). Max pool works on accumulators (exact, as requantise
// never falls when every mult >= 0): the first three pixels of a window wait in a register, the
// fourth goes on. A vector that goes on is held from v + 1 on; step s, slice r is selected at
// v + 1 + s*RW + r (RW = 1, or in raw mode accumulator bytes / FB) and written 8 cycles later: 1
// select, 1 align with the parameters (read at the select cycle, latency 2), 5 requantise, 1 average
// and output register. Average pool writes only with the fourth pixel. Last write of a group =
// v + 8 + steps*RW = out_fill_o; first = v + 9. Never stalls: vectors that go on must be steps*RW
// or more cycles apart, which mac_control sees to; a simulation stops otherwise.
// Settings come with the claim of an output bank and are kept per bank; each stage uses the entry of
// the bank that its data belongs to, so groups of different settings may follow without a gap.
// The words of a group may be given back to the weight store while its steps are still under way;
// its parameters are given back with params_done_o, in the cycle of the group's last step, v +
// steps*RW for its last vector. Parameter offsets count from the oldest group not given back.
// Writes are sequential from line 0 of the bank: OL = max(RequantLanes, EB) features of 8*FB bits a
// line, OL / RequantLanes parts, out_we_o has a bit per part and the data is repeated on every part.
`default_nettype none

module post_process #(
  parameter int OutLanes = 16,
  parameter int RequantLanes = 4,
  parameter int FeatureBits = 8,
  parameter int AccBits = 32,
  parameter int OutBankLines = 1024,
  parameter int OffsetBits = 12,
  localparam int FeatureBytes = (FeatureBits > 8) ? 2 : 1,
  localparam int ByteBits = 8 * FeatureBytes,
  localparam int BeatLanes = 8 / FeatureBytes,
  localparam int LineLanes = (RequantLanes > BeatLanes) ? RequantLanes : BeatLanes,
  localparam int Parts = LineLanes / RequantLanes,
  localparam int LineBits = (OutBankLines > 1) ? $clog2(OutBankLines) : 1
) (
  input  wire                                 clk_i,
  input  wire                                 rst_i,  // also flush
  // Claim of an output bank, from the MAC control
  input  wire                                 claim_i,
  input  wire                                 claim_bank_i,
  input  wire  [7:0]                          claim_steps_i,
  input  wire  [1:0]                          claim_pool_i,  // 0 none, 1 max, 2 average
  input  wire                                 claim_raw_i,
  input  wire  [5:0]                          claim_shift_i,
  input  wire                                 claim_round_i,
  input  wire  [OffsetBits-1:0]               claim_param_offset_i,
  input  wire                                 claim_release_i,
  input  wire  [7:0]                          claim_param_words_i,
  input  wire                                 claim_last_i,
  input  wire  [7:0]                          claim_bundle_i,
  input  wire  [15:0]                         claim_tile_i,
  // Vectors, from the MAC array
  input  wire                                 vector_valid_i,
  input  wire  [OutLanes*AccBits-1:0]         vector_i,
  input  wire  [1:0]                          vector_pixel_i,
  input  wire                                 vector_tile_first_i,
  input  wire                                 vector_group_last_i,
  input  wire                                 vector_bank_i,
  // Weight store, parameters: offsets from the oldest group whose parameters are not given back
  output logic                                param_re_o,
  output logic [OffsetBits-1:0]               param_offset_o,
  input  wire  [RequantLanes*48-1:0]          param_data_i,  // lane: mult 47:32, bias 31:0
  output logic                                params_done_o,  // last read of a released group
  output logic [7:0]                          params_done_words_o,
  // Output bank
  output logic [Parts-1:0]                    out_we_o,
  output logic [LineBits-1:0]                 out_line_o,
  output logic                                out_bank_o,
  output logic [LineLanes*ByteBits-1:0]       out_data_o,
  output logic                                out_fill_o,
  // Events and counters
  output logic                                tile_start_o,
  output logic [7:0]                          start_bundle_o,
  output logic [15:0]                         start_tile_o,
  output logic                                tile_end_o,
  output logic [7:0]                          end_bundle_o,
  output logic [15:0]                         end_tile_o,
  output logic [1:0]                          class_o  // 0 busy, 1 waits for input
);
  localparam logic [1:0] MaxPool = 2'd1;
  localparam logic [1:0] AveragePool = 2'd2;
  localparam int Steps = OutLanes / RequantLanes;
  localparam int StepBits = (Steps > 1) ? $clog2(Steps) : 1;
  localparam int RawBits = (AccBits <= 32) ? 32 : 64;
  localparam int Slices = RawBits / ByteBits;
  localparam int SliceBits = $clog2(Slices);
  localparam int SelectBits = RequantLanes * AccBits;
  localparam int OutBits = RequantLanes * ByteBits;

  // ---- Settings per bank ------------------------------------------------------------------------
  logic [1:0][StepBits-1:0] last_step_q;
  logic [1:0][1:0] pool_q;
  logic [1:0][5:0] shift_q;
  logic [1:0][OffsetBits-1:0] param_offset_q;
  logic [1:0][7:0] param_words_q;
  logic [1:0][7:0] bundle_q;
  logic [1:0][15:0] tile_q;
  logic [1:0] raw_q, round_q, release_q, last_group_q;

  always_ff @(posedge clk_i) begin
    if (claim_i) begin
      last_step_q[claim_bank_i] <= StepBits'(claim_steps_i - 8'd1);
      pool_q[claim_bank_i] <= claim_pool_i;
      shift_q[claim_bank_i] <= claim_shift_i;
      param_offset_q[claim_bank_i] <= claim_param_offset_i;
      param_words_q[claim_bank_i] <= claim_param_words_i;
      release_q[claim_bank_i] <= claim_release_i;
      bundle_q[claim_bank_i] <= claim_bundle_i;
      tile_q[claim_bank_i] <= claim_tile_i;
      raw_q[claim_bank_i] <= claim_raw_i;
      round_q[claim_bank_i] <= claim_round_i;
      last_group_q[claim_bank_i] <= claim_last_i;
    end
  end

  // ---- Cycle v: max pool and hold ---------------------------------------------------------------
  logic max_pool, keep, capture;
  logic [OutLanes*AccBits-1:0] hold;
  assign max_pool = pool_q[vector_bank_i] == MaxPool;
  assign keep = !max_pool || vector_pixel_i == 2'd0;  // nothing to compare with
  assign capture = vector_valid_i && (!max_pool || vector_pixel_i == 2'd3);

  for (genvar o = 0; o < OutLanes; o++) begin : gen_hold
    logic signed [AccBits-1:0] acc, best, best_q, hold_q;
    assign acc = $signed(vector_i[o*AccBits+:AccBits]);
    assign best = (keep || acc > best_q) ? acc : best_q;
    always_ff @(posedge clk_i) begin
      if (vector_valid_i && max_pool) best_q <= best;
      if (capture) hold_q <= best;
    end
    assign hold[o*AccBits+:AccBits] = hold_q;
  end

  // ---- Cycle s: one step and slice a cycle ------------------------------------------------------
  logic active_q, hold_bank_q, hold_group_last_q;
  logic [1:0] hold_pixel_q;
  logic [StepBits-1:0] step_q;
  logic [SliceBits-1:0] slice_q;
  logic slice_last, vector_last;
  // Settings of the vector held, out of the entry of its bank, which keeps them for as long.
  logic hold_raw_q, hold_release_q;
  logic [StepBits-1:0] hold_last_step_q;
  logic [OffsetBits-1:0] hold_param_offset_q;

  assign slice_last = !hold_raw_q || slice_q == SliceBits'(Slices - 1);
  assign vector_last = slice_last && step_q == hold_last_step_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) active_q <= 1'b0;
    else if (capture) active_q <= 1'b1;
    else if (vector_last) active_q <= 1'b0;
    if (capture) begin
      hold_bank_q <= vector_bank_i;
      hold_group_last_q <= vector_group_last_i;
      hold_pixel_q <= vector_pixel_i;
      hold_raw_q <= raw_q[vector_bank_i];
      hold_release_q <= release_q[vector_bank_i];
      hold_last_step_q <= last_step_q[vector_bank_i];
      hold_param_offset_q <= param_offset_q[vector_bank_i];
      step_q <= '0;
      slice_q <= '0;
    end else if (active_q) begin
      slice_q <= slice_last ? '0 : slice_q + SliceBits'(1);
      if (slice_last) step_q <= step_q + StepBits'(1);
    end
  end

  logic group_end;
  assign group_end = active_q && vector_last && hold_group_last_q;
  assign param_re_o = active_q;
  assign param_offset_o = hold_param_offset_q + OffsetBits'(step_q);
  assign params_done_o = group_end && hold_release_q;
  assign params_done_words_o = param_words_q[hold_bank_q];

  // ---- Cycles s + 1 and s + 2: select, align with the parameters -----------------------------
  logic [SelectBits-1:0] selected, select1_q, select2_q;
  logic [SliceBits-1:0] slice1_q;
  logic [OutBits-1:0] raw_d;
  logic [5:0][OutBits-1:0] raw_pipe_q;  // s + 2 to s + 7
  logic [6:0] valid_q, bank_q, end_q, step_end_q;  // bit n: s + 1 + n
  logic [6:0][1:0] pixel_pipe_q;

  always_comb begin
    selected = hold[SelectBits-1:0];
    for (int s = 1; s < Steps; s++) begin
      if (step_q == StepBits'(s)) selected = hold[s*SelectBits+:SelectBits];
    end
  end

  always_ff @(posedge clk_i) begin
    if (active_q) begin
      select1_q <= selected;
      slice1_q <= slice_q;
    end
    if (valid_q[0]) begin
      select2_q <= select1_q;
    end
    raw_pipe_q <= {raw_pipe_q[4:0], raw_d};
    if (rst_i) valid_q <= '0;
    else valid_q <= {valid_q[5:0], active_q};
    bank_q <= {bank_q[5:0], hold_bank_q};
    end_q <= {end_q[5:0], group_end};
    step_end_q <= {step_end_q[5:0], vector_last};
    pixel_pipe_q <= {pixel_pipe_q[5:0], hold_pixel_q};
  end

  for (genvar l = 0; l < RequantLanes; l++) begin : gen_raw
    logic [RawBits-1:0] wide;
    assign wide = RawBits'($signed(select1_q[l*AccBits+:AccBits]));
    always_comb begin
      raw_d[l*ByteBits+:ByteBits] = wide[ByteBits-1:0];
      for (int r = 1; r < Slices; r++) begin
        if (slice1_q == SliceBits'(r)) raw_d[l*ByteBits+:ByteBits] = wide[r*ByteBits+:ByteBits];
      end
    end
  end

  // ---- Cycles s + 2 to s + 7: requantise -------------------------------------------------------
  logic [RequantLanes*FeatureBits-1:0] y, average;
  logic [5:0] shift;
  logic rounding;
  assign shift = shift_q[bank_q[1]];
  assign rounding = round_q[bank_q[1]];
  for (genvar l = 0; l < RequantLanes; l++) begin : gen_requantise
    requantise #(
      .AccBits    (AccBits),
      .FeatureBits(FeatureBits)
    ) u_requantise (
      .clk_i,
      .valid_i(valid_q[1]),
      .acc_i  (select2_q[l*AccBits+:AccBits]),
      .bias_i (param_data_i[l*48+:32]),
      .mult_i (param_data_i[l*48+32+:16]),
      .shift_i(shift),
      .round_i(rounding),
      .y_o    (y[l*FeatureBits+:FeatureBits])
    );
  end

  // ---- Cycle s + 7: average pool; s + 8: write -------------------------------------------------
  logic averaging, average_valid, write_d;
  logic [1:0] pixel7;
  logic [StepBits-1:0] average_step_q;
  logic [OutBits-1:0] out_d, out_q;
  assign pixel7 = pixel_pipe_q[6];
  assign averaging = pool_q[bank_q[6]] == AveragePool;
  assign average_valid = valid_q[6] && averaging;
  assign write_d = valid_q[6] && (!averaging || pixel7 == 2'd3);

  average_pool #(
    .Lanes      (RequantLanes),
    .Steps      (Steps),
    .FeatureBits(FeatureBits)
  ) u_average (
    .clk_i,
    .valid_i  (average_valid),
    .pixel_i  (pixel7),
    .step_i   (average_step_q),
    .feature_i(y),
    .average_o(average)
  );

  for (genvar l = 0; l < RequantLanes; l++) begin : gen_out
    logic [FeatureBits-1:0] feature;
    assign feature = averaging ? average[l*FeatureBits+:FeatureBits] : y[l*FeatureBits+:FeatureBits];
    assign out_d[l*ByteBits+:ByteBits] = raw_q[bank_q[6]] ? raw_pipe_q[5][l*ByteBits+:ByteBits]
                                                          : ByteBits'(feature);
  end

  localparam int PartBits = (Parts > 1) ? $clog2(Parts) : 1;
  logic write_q, fill_q, out_bank_q;
  logic [PartBits-1:0] part_q;
  logic [LineBits-1:0] line_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q <= 1'b0;
      fill_q <= 1'b0;
      average_step_q <= '0;
      part_q <= '0;
      line_q <= '0;
    end else begin
      write_q <= write_d;
      fill_q <= write_d && end_q[6];
      if (average_valid)
        average_step_q <= step_end_q[6] ? '0 : average_step_q + StepBits'(1);
      if (fill_q) begin
        part_q <= '0;
        line_q <= '0;
      end else if (write_q) begin
        part_q <= (part_q == PartBits'(Parts - 1)) ? '0 : part_q + PartBits'(1);
        if (part_q == PartBits'(Parts - 1)) line_q <= line_q + LineBits'(1);
      end
    end
    if (write_d) begin
      out_q <= out_d;
      out_bank_q <= bank_q[6];
    end
  end

  for (genvar p = 0; p < Parts; p++) begin : gen_part
    assign out_we_o[p] = write_q && part_q == PartBits'(p);
    assign out_data_o[p*OutBits+:OutBits] = out_q;
  end
  assign out_line_o = line_q;
  assign out_bank_o = out_bank_q;
  assign out_fill_o = fill_q;

  // ---- Events and counters ----------------------------------------------------------------------
  assign tile_start_o = vector_valid_i && vector_tile_first_i;
  assign start_bundle_o = bundle_q[vector_bank_i];
  assign start_tile_o = tile_q[vector_bank_i];
  assign tile_end_o = fill_q && last_group_q[out_bank_q];
  assign end_bundle_o = bundle_q[out_bank_q];
  assign end_tile_o = tile_q[out_bank_q];
  assign class_o = active_q ? 2'd0 : 2'd1;

`ifndef SYNTHESIS
  initial begin
    if (OutLanes % RequantLanes != 0)
      $fatal(1, "%m: OutLanes %0d is no multiple of RequantLanes %0d", OutLanes, RequantLanes);
  end
  always_ff @(posedge clk_i) begin
    if (!rst_i && capture && active_q && !vector_last)
      $fatal(1, "%m: a vector arrives at step %0d slice %0d of the one before", step_q, slice_q);
  end
`endif
endmodule

`default_nettype wire
