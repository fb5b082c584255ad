// Fetches runs of weight groups into the two weight stores (target 0: MAC array, 1: depth-wise).
//
// IDLE with a command at c (it leaves its FIFO then) -> CREDIT from c+1 until the target store has
// room for one group, which it reserves (reserve_o one cycle later: nobody looks at the credits
// before the next CREDIT) -> SEGMENT: offers one segment of group_beats -> RECEIVE until the last
// beat at e: weight ready, group posted -> CREDIT for the next group or IDLE at e+1.
// A group is its parameter beats (beat i to lane i mod lanes, word i / lanes), then its weight words
// of WordBeats beats each. Both targets share the data output; per-target strobes select. The write
// outputs pass one register, as in feature_load: a beat of cycle e is written at the end of e+1, the
// earliest read of a posted group is at e+2. Tags belong to every event of the cycle.
`default_nettype none

module weight_load #(
  parameter int MacWordBeats = 4,
  parameter int MacParamLanes = 4,
  parameter int DwWordBeats = 1,
  parameter int DwParamLanes = 4,
  parameter int CommandDepth = 2,
  parameter int Outstanding = 4,
  localparam int MaxWordBeats = (MacWordBeats > DwWordBeats) ? MacWordBeats : DwWordBeats,
  localparam int MaxLanes = (MacParamLanes > DwParamLanes) ? MacParamLanes : DwParamLanes,
  localparam int ChunkBits = (MaxWordBeats > 1) ? $clog2(MaxWordBeats) : 1,
  localparam int LaneBits = (MaxLanes > 1) ? $clog2(MaxLanes) : 1
) (
  input  logic                               clk_i,
  input  logic                               rst_i,
  input  logic                               halt_i,
  output logic                               idle_o,

  input  logic                               cmd_push_i,
  input  logic [program_pkg::WeightBits-1:0] cmd_i,
  output logic                               cmd_full_o,

  // Read port (slot 1 of a read mux)
  output logic                               ar_valid_o,
  input  logic                               ar_ready_i,
  output logic [31:0]                        ar_address_o,
  output logic [3:0]                         ar_len_o,
  input  logic                               r_valid_i,
  input  logic [63:0]                        r_data_i,
  input  logic [1:0]                         r_resp_i,
  input  logic                               r_last_i,

  // Weight stores, index = target
  input  logic [1:0][15:0]                   free_words_i,
  input  logic [1:0][15:0]                   free_params_i,
  output logic [1:0]                         reserve_o,
  output logic [11:0]                        reserve_words_o,
  output logic [7:0]                         reserve_params_o,
  output logic [1:0]                         post_o,
  output logic [1:0]                         word_we_o,
  output logic [ChunkBits-1:0]               word_chunk_o,  // which 64 bits of the word
  output logic                               word_last_o,   // last chunk of the word
  output logic [1:0]                         param_we_o,
  output logic [LaneBits-1:0]                param_lane_o,
  output logic                               param_last_o,  // last lane of the parameter word
  output logic [63:0]                        data_o,

  output logic                               error_o,
  output logic [25:0]                        error_info_o,

  // Counters and events
  output logic [1:0]                         class_o,
  output logic                               tile_start_o,    // command taken
  output logic                               tile_end_o,      // last group of the command ready
  output logic                               first_beat_o,    // of a group
  output logic                               last_beat_o,     // of a group
  output logic                               weight_ready_o,  // group posted
  output logic                               weight_target_o,
  output logic [7:0]                         event_bundle_o,
  output logic [15:0]                        event_tile_o
);

  localparam int CommandBits = program_pkg::WeightBits;
  localparam int CountBits = $clog2(CommandDepth + 1);
  localparam logic [1:0] StIdle = 2'd0;
  localparam logic [1:0] StCredit = 2'd1;
  localparam logic [1:0] StSegment = 2'd2;
  localparam logic [1:0] StReceive = 2'd3;

  // ---- command ----
  logic [1:0]             state_q;
  logic [CommandBits-1:0] head, cmd_q;
  logic                   head_valid, start;
  logic [CountBits-1:0]   fifo_count;

  sync_fifo #(
    .Width(CommandBits),
    .Depth(CommandDepth)
  ) u_commands (
    .clk_i,
    .rst_i,
    .push_i (cmd_push_i),
    .data_i (cmd_i),
    .full_o (cmd_full_o),
    .pop_i  (start),
    .valid_o(head_valid),
    .data_o (head),
    .count_o(fifo_count)
  );

  assign start = state_q == StIdle && head_valid;

  always_ff @(posedge clk_i) begin
    if (start) cmd_q <= head;
  end

  logic [11:0] param_beats, group_words;
  logic [7:0]  param_words;
  logic [23:0] group_beats;
  logic        target;

  assign param_beats = cmd_q[program_pkg::WeightParamBeatsLsb +: 12];
  assign group_words = cmd_q[program_pkg::WeightGroupWordsLsb +: 12];
  assign param_words = cmd_q[program_pkg::WeightParamWordsLsb +: 8];
  assign group_beats = cmd_q[program_pkg::WeightGroupBeatsLsb +: 24];
  assign target      = cmd_q[program_pkg::WeightTargetLsb];

  // ---- groups ----
  logic        room, reserve_q, seg_ready, seg_accept, beat, group_end;
  logic [11:0] groups_q;   // after the present one
  logic        last_group;  // a register: there are none
  logic [31:0] address_q;
  logic [23:0] beats_q;    // after the present one
  logic        beats_end_q;  // there are none

  assign room       = free_words_i[target] >= {4'd0, group_words} &&
                      free_params_i[target] >= {8'd0, param_words};
  assign seg_accept = state_q == StSegment && seg_ready;
  assign group_end  = beat && state_q == StReceive && beats_end_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q   <= StIdle;
      reserve_q <= 1'b0;
    end else begin
      reserve_q <= state_q == StCredit && room;
      case (state_q)
        StIdle:    if (start) state_q <= StCredit;
        StCredit:  if (room) state_q <= StSegment;
        StSegment: if (seg_ready) state_q <= StReceive;
        default:   if (group_end) state_q <= last_group ? StIdle : StCredit;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      groups_q   <= head[program_pkg::WeightGroupsLsb +: 12] - 12'd1;
      last_group <= head[program_pkg::WeightGroupsLsb +: 12] == 12'd1;
      address_q  <= head[program_pkg::WeightAddressLsb +: 32];
    end else if (group_end) begin
      groups_q   <= groups_q - 12'd1;
      last_group <= groups_q == 12'd1;
    end
    if (seg_accept) begin
      address_q   <= address_q + {5'd0, group_beats, 3'd0};
      beats_q     <= group_beats - 24'd1;
      beats_end_q <= group_beats == 24'd1;
    end else if (beat) begin
      beats_q     <= beats_q - 24'd1;
      beats_end_q <= beats_q == 24'd1;
    end
  end

  logic [63:0] beat_data;
  logic [1:0]  error_response;

  axi_read_master #(
    .Outstanding(Outstanding)
  ) u_master (
    .clk_i,
    .rst_i,
    .halt_i,
    .idle_o,
    .seg_valid_i     (state_q == StSegment),
    .seg_ready_o     (seg_ready),
    .seg_address_i   (address_q),
    .seg_beats_i     (group_beats),
    .ar_valid_o,
    .ar_ready_i,
    .ar_address_o,
    .ar_len_o,
    .r_valid_i,
    .r_data_i,
    .r_resp_i,
    .r_last_i,
    .beat_valid_o    (beat),
    .beat_data_o     (beat_data),
    .error_o,
    .error_response_o(error_response)
  );

  // ---- beats: where each one goes ----
  logic [11:0]          params_q;  // parameter beats to come
  logic [LaneBits-1:0]  lane_q;
  logic [ChunkBits-1:0] chunk_q;
  logic                 param_beat, lane_end, chunk_end, first_q;

  assign param_beat = params_q != 12'd0;
  assign lane_end   = lane_q == (target ? LaneBits'(DwParamLanes - 1) : LaneBits'(MacParamLanes - 1));
  assign chunk_end  = chunk_q == (target ? ChunkBits'(DwWordBeats - 1)
                                         : ChunkBits'(MacWordBeats - 1));

  always_ff @(posedge clk_i) begin
    if (seg_accept) begin
      params_q <= param_beats;
      lane_q   <= '0;
      chunk_q  <= '0;
      first_q  <= 1'b1;
    end else if (beat) begin
      first_q <= 1'b0;
      if (param_beat) begin
        params_q <= params_q - 12'd1;
        lane_q   <= lane_end ? '0 : lane_q + LaneBits'(1);
      end else begin
        chunk_q <= chunk_end ? '0 : chunk_q + ChunkBits'(1);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      word_we_o  <= 2'b00;
      param_we_o <= 2'b00;
    end else begin
      word_we_o  <= {beat && !param_beat && target, beat && !param_beat && !target};
      param_we_o <= {beat && param_beat && target, beat && param_beat && !target};
    end
  end

  always_ff @(posedge clk_i) begin
    if (beat) begin
      data_o       <= beat_data;
      word_chunk_o <= chunk_q;
      word_last_o  <= chunk_end;
      param_lane_o <= lane_q;
      param_last_o <= lane_end || params_q == 12'd1;
    end
  end

  // ---- outputs ----
  assign reserve_o        = {reserve_q && target, reserve_q && !target};
  assign reserve_words_o  = group_words;
  assign reserve_params_o = param_words;
  assign post_o           = {group_end && target, group_end && !target};
  assign tile_start_o     = start;
  assign tile_end_o       = group_end && last_group;
  assign first_beat_o     = beat && first_q;
  assign last_beat_o      = group_end;
  assign weight_ready_o   = group_end;
  assign weight_target_o  = target;
  assign event_bundle_o   = state_q == StIdle ? head[program_pkg::BundleLsb +: 8]
                                              : cmd_q[program_pkg::BundleLsb +: 8];
  assign event_tile_o     = state_q == StIdle ? head[program_pkg::TileLsb +: 16]
                                              : cmd_q[program_pkg::TileLsb +: 16];
  assign error_info_o     = {error_response, event_tile_o, event_bundle_o};

  always_comb begin
    case (state_q)
      StIdle:   class_o = head_valid ? 2'd0 : 2'd1;
      StCredit: class_o = room ? 2'd0 : 2'd2;
      default:  class_o = beat ? 2'd0 : 2'd3;
    endcase
  end

  logic unused;
  assign unused = ^{fifo_count, cmd_q};

endmodule

`default_nettype wire
