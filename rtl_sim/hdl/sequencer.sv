// Fetches the tile program, checks each 64-byte record and hands it to its unit's command FIFO;
// runs the frame loop, collects errors and brings the accelerator to a halt.
//
// Start at cycle 0 (start_i), running_o and the first fetch at cycle 1. A record takes 8 POP cycles,
// CHECK and DISPATCH: 10 cycles at best. In CHECK the frame's image or output offset is added to a
// load's or store's address, and to a load's sync the number of stores dispatched in earlier frames.
// After `end` of a frame that is not the last: RESTART for at least one cycle, until no program beat
// is in flight; fetching and POP from the next cycle. FRAMES = 0 runs one frame. A start while beats
// of the run before are still in flight begins in RESTART.
// Beats fetched beyond `end` are dropped; a bad response counts only when its beat is popped.
// The first error sets halt_o in the next cycle; when every master is idle, flush_o is up for one
// cycle (connect rst_i of every other unit to reset | flush_o), then the run is over. Errors of one
// cycle: program before weight before load before store before abort.
// cmd_push_o bits: 0 load, 1 weight, 2 depth-wise, 3 MAC, 4 store.
`default_nettype none

module sequencer #(
  parameter int Outstanding = 2
) (
  input  logic         clk_i,
  input  logic         rst_i,

  // Control registers
  input  logic         start_i,
  input  logic         abort_i,
  input  logic [31:0]  program_address_i,
  input  logic [31:0]  frames_i,
  input  logic [31:0]  image_stride_i,
  input  logic [31:0]  output_stride_i,
  output logic         running_o,
  output logic         done_pulse_o,   // last cycle of a run that ended well
  output logic         error_pulse_o,  // last cycle of a run that did not
  output logic         done_o,         // level, until the next start
  output logic         error_o,        // level, until the next start
  output logic [7:0]   error_code_o,
  output logic [25:0]  error_info_o,   // response, tile, bundle
  output logic [31:0]  frames_done_o,

  // Program read port (slot 0 of a read mux)
  output logic         ar_valid_o,
  input  logic         ar_ready_i,
  output logic [31:0]  ar_address_o,
  output logic [3:0]   ar_len_o,
  input  logic         r_valid_i,
  input  logic [63:0]  r_data_i,
  input  logic [1:0]   r_resp_i,
  input  logic         r_last_i,

  // Command FIFOs
  output logic [479:0] cmd_o,
  output logic [4:0]   cmd_push_o,
  input  logic [4:0]   cmd_full_i,

  // Halt
  output logic         halt_o,
  output logic         flush_o,
  input  logic         masters_idle_i,  // of weight, load and store; the program's is inside
  input  logic         weight_error_i,
  input  logic [25:0]  weight_error_info_i,
  input  logic         load_error_i,
  input  logic [25:0]  load_error_info_i,
  input  logic         store_error_i,
  input  logic [25:0]  store_error_info_i,
  input  logic         frame_done_i,

  // Counters and events
  output logic [1:0]   class_o,
  output logic         event_dispatch_o,
  output logic [7:0]   event_bundle_o,
  output logic [15:0]  event_tile_o
);

  localparam int FifoDepth = 32;
  localparam logic [2:0] StStop = 3'd0;
  localparam logic [2:0] StRestart = 3'd1;
  localparam logic [2:0] StPop = 3'd2;
  localparam logic [2:0] StCheck = 3'd3;
  localparam logic [2:0] StDispatch = 3'd4;

  logic [2:0] state_q;
  logic       fetching;

  assign fetching = state_q == StPop || state_q == StCheck || state_q == StDispatch;

  // ---- fetch ----
  logic        seg_valid, seg_ready, seg_accept;
  logic [31:0] fetch_address_q;
  logic [5:0]  in_flight_q;  // beats of accepted segments that have not arrived
  logic        beat_valid, pop;
  logic [63:0] beat_data;
  logic        master_idle, master_error;
  logic [1:0]  beat_response;
  logic        fifo_full, fifo_valid;
  logic [5:0]  fifo_count;
  logic [65:0] fifo_data;

  assign seg_valid  = fetching && fifo_count + in_flight_q <= 6'd16;
  assign seg_accept = seg_valid && seg_ready;

  axi_read_master #(
    .Outstanding(Outstanding)
  ) u_master (
    .clk_i,
    .rst_i           (rst_i || flush_o),
    .halt_i          (halt_o),
    .idle_o          (master_idle),
    .seg_valid_i     (seg_valid),
    .seg_ready_o     (seg_ready),
    .seg_address_i   (fetch_address_q),
    .seg_beats_i     (24'd16),
    .ar_valid_o,
    .ar_ready_i,
    .ar_address_o,
    .ar_len_o,
    .r_valid_i,
    .r_data_i,
    .r_resp_i,
    .r_last_i,
    .beat_valid_o    (beat_valid),
    .beat_data_o     (beat_data),
    .error_o         (master_error),
    .error_response_o(beat_response)
  );

  sync_fifo #(
    .Width(66),
    .Depth(FifoDepth)
  ) u_beats (
    .clk_i,
    .rst_i  (rst_i || !fetching),
    .push_i (beat_valid),
    .data_i ({beat_response, beat_data}),
    .full_o (fifo_full),
    .pop_i  (pop),
    .valid_o(fifo_valid),
    .data_o (fifo_data),
    .count_o(fifo_count)
  );

  // ---- assembler ----
  logic [511:0] record_q;
  logic [31:0]  sum_q;
  logic [2:0]   beat_q;
  logic         response_bad;
  logic         checksum_bad_q, opcode_bad_q;
  logic [4:0]   for_unit_q;  // which command FIFO: as cmd_push_o
  logic         is_end_q;
  logic         full, dispatch;

  function automatic logic [31:0] rotate_add(input logic [31:0] total, input logic [31:0] word);
    rotate_add = {total[30:0], total[31]} + word;
  endfunction

  logic [31:0] sum_low, sum_high;
  assign sum_low  = rotate_add(beat_q == 3'd0 ? program_pkg::ChecksumSeed : sum_q, fifo_data[31:0]);
  assign sum_high = rotate_add(sum_low, fifo_data[63:32]);

  assign pop          = state_q == StPop && fifo_valid && !halt_o;
  assign response_bad = pop && fifo_data[65:64] != 2'b00;

  // What CHECK has to know is found out with the last POP, whose beat brings the checksum and moves
  // the first word, with the opcode, to its place. An addition a + b = c is checked without carry
  // chain: a ^ b ^ c must be the carries, and the carry out of a bit is 1 if a and b are, 0 if
  // neither is, else what c's bit is not.
  logic [31:0] check_a, check_b, check_c;
  logic [32:0] carries;
  logic [3:0]  next_opcode;

  assign check_a     = {sum_q[30:0], sum_q[31]};
  assign check_b     = fifo_data[31:0];
  assign check_c     = fifo_data[63:32];
  assign carries     = {(check_a & check_b) | ((check_a | check_b) & ~check_c), 1'b0};
  assign next_opcode = record_q[64 + program_pkg::OpcodeLsb +: program_pkg::OpcodeBits];

  always_ff @(posedge clk_i) begin
    if (pop) begin
      checksum_bad_q <= (check_a ^ check_b ^ check_c) != carries[31:0];
      opcode_bad_q   <= next_opcode < program_pkg::OpLoad || next_opcode > program_pkg::OpEnd;
      for_unit_q     <= {next_opcode == program_pkg::OpStore, next_opcode == program_pkg::OpMac,
                         next_opcode == program_pkg::OpDepthwise,
                         next_opcode == program_pkg::OpWeight, next_opcode == program_pkg::OpLoad};
      is_end_q       <= next_opcode == program_pkg::OpEnd;
    end
  end

  assign full       = |(for_unit_q & cmd_full_i);
  assign dispatch   = state_q == StDispatch && !full && !halt_o;
  assign cmd_o      = record_q[479:0];
  assign cmd_push_o = dispatch ? for_unit_q : 5'd0;

  assign event_dispatch_o = dispatch;
  assign event_bundle_o   = record_q[program_pkg::BundleLsb +: program_pkg::BundleBits];
  assign event_tile_o     = record_q[program_pkg::TileLsb +: program_pkg::TileBits];

  // ---- frames ----
  logic [31:0] frames_q;        // frames of this run
  logic [31:0] frame_q;         // frame being dispatched
  logic [31:0] image_offset_q, output_offset_q;
  logic [15:0] stores_q;        // store records dispatched since the last reset or flush
  logic [15:0] store_base_q;    // the same at the start of the frame
  logic        last_frame_q;    // frame_q is the run's last
  logic        last_done_q;     // all frames but one are done
  logic        start, end_good, restarted, finished, error_any;

  assign start     = start_i && !running_o;
  assign end_good  = state_q == StCheck && !checksum_bad_q && is_end_q && !halt_o;
  assign restarted = state_q == StRestart && in_flight_q == 6'd0;
  assign finished  = running_o && !halt_o && !error_any && frame_done_i && last_done_q;

  logic load_offset, store_offset;
  assign load_offset  = for_unit_q[0] && record_q[program_pkg::LoadFrameOffsetLsb];
  assign store_offset = for_unit_q[4] && record_q[program_pkg::StoreFrameOffsetLsb];

  logic [31:0] offset;
  assign offset = load_offset ? image_offset_q : store_offset ? output_offset_q : 32'd0;

  always_ff @(posedge clk_i) begin
    if (pop) begin
      record_q <= {fifo_data[63:0], record_q[511:64]};
      sum_q    <= sum_high;  // not used after the last
    end else if (state_q == StCheck) begin
      if (load_offset || store_offset) begin  // loads and stores have their address at one place
        record_q[program_pkg::LoadAddressLsb +: 32] <=
            record_q[program_pkg::LoadAddressLsb +: 32] + offset;
      end
      if (for_unit_q[0]) begin
        record_q[program_pkg::LoadSyncLsb +: 16] <=
            record_q[program_pkg::LoadSyncLsb +: 16] + store_base_q;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i || flush_o) begin
      state_q <= StStop;
      beat_q  <= 3'd0;
    end else if (start) begin
      state_q <= in_flight_q == 6'd0 ? StPop : StRestart;
      beat_q  <= 3'd0;
    end else if (finished) begin
      state_q <= StStop;
    end else if (!halt_o) begin
      case (state_q)
        StRestart: if (restarted) state_q <= StPop;
        StPop: begin
          if (pop) beat_q <= beat_q + 3'd1;
          if (pop && beat_q == 3'd7) state_q <= StCheck;
        end
        StCheck: begin
          if (!end_good) state_q <= StDispatch;
          else state_q <= last_frame_q ? StStop : StRestart;
        end
        StDispatch: if (dispatch) state_q <= StPop;
        default: state_q <= StStop;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i || flush_o) begin
      in_flight_q <= 6'd0;
    end else begin
      in_flight_q <= in_flight_q + (seg_accept ? 6'd16 : 6'd0) - {5'd0, beat_valid};
    end
  end

  always_ff @(posedge clk_i) begin
    if (start || restarted) fetch_address_q <= program_address_i;
    else if (seg_accept) fetch_address_q <= fetch_address_q + 32'd128;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i || flush_o) begin
      stores_q <= 16'd0;
    end else if (cmd_push_o[4]) begin
      stores_q <= stores_q + 16'd1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      frames_q        <= frames_i == 32'd0 ? 32'd1 : frames_i;
      frame_q         <= 32'd0;
      last_frame_q    <= frames_i[31:1] == 31'd0;
      image_offset_q  <= 32'd0;
      output_offset_q <= 32'd0;
      store_base_q    <= stores_q;
    end else if (end_good && !last_frame_q) begin
      frame_q         <= frame_q + 32'd1;
      last_frame_q    <= frame_q + 32'd2 == frames_q;
      image_offset_q  <= image_offset_q + image_stride_i;
      output_offset_q <= output_offset_q + output_stride_i;
      store_base_q    <= stores_q;
    end
  end

  // ---- run, halt, errors ----
  logic check_error;
  assign check_error = state_q == StCheck && !halt_o && (checksum_bad_q || opcode_bad_q);
  assign error_any   = response_bad || check_error || weight_error_i || load_error_i ||
                       store_error_i || abort_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      running_o     <= 1'b0;
      done_o        <= 1'b0;
      error_o       <= 1'b0;
      halt_o        <= 1'b0;
      flush_o       <= 1'b0;
      error_code_o  <= 8'd0;
      error_info_o  <= 26'd0;
      frames_done_o <= 32'd0;
      last_done_q   <= 1'b0;
    end else if (start) begin
      running_o     <= 1'b1;
      done_o        <= 1'b0;
      error_o       <= 1'b0;
      error_code_o  <= 8'd0;
      error_info_o  <= 26'd0;
      frames_done_o <= 32'd0;
      last_done_q   <= frames_i[31:1] == 31'd0;
    end else if (flush_o) begin
      running_o <= 1'b0;
      error_o   <= 1'b1;
      halt_o    <= 1'b0;
      flush_o   <= 1'b0;
    end else if (halt_o) begin
      flush_o <= masters_idle_i && master_idle;
    end else if (running_o) begin
      if (error_any) begin
        halt_o <= 1'b1;
        if (check_error) begin
          error_code_o <= checksum_bad_q ? 8'd1 : 8'd2;
          error_info_o <= {2'b00, event_tile_o, event_bundle_o};
        end else if (response_bad) begin
          error_code_o <= 8'd3;
          error_info_o <= {fifo_data[65:64], 24'd0};
        end else if (weight_error_i) begin
          error_code_o <= 8'd4;
          error_info_o <= weight_error_info_i;
        end else if (load_error_i) begin
          error_code_o <= 8'd5;
          error_info_o <= load_error_info_i;
        end else if (store_error_i) begin
          error_code_o <= 8'd6;
          error_info_o <= store_error_info_i;
        end else begin
          error_code_o <= 8'd7;
        end
      end else if (frame_done_i) begin
        frames_done_o <= frames_done_o + 32'd1;
        last_done_q   <= frames_done_o + 32'd2 == frames_q;
        if (finished) begin
          running_o <= 1'b0;
          done_o    <= 1'b1;
        end
      end
    end
  end

  assign done_pulse_o  = finished;
  assign error_pulse_o = flush_o;

  always_comb begin
    case (state_q)
      StStop:     class_o = 2'd1;
      StRestart:  class_o = 2'd3;
      StPop:      class_o = fifo_valid ? 2'd0 : 2'd3;
      StDispatch: class_o = full ? 2'd2 : 2'd0;
      default:    class_o = 2'd0;
    endcase
  end

  logic unused;
  assign unused = ^{master_error, fifo_full, carries[32]};

endmodule

`default_nettype wire
