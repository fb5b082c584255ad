// Loads one tile of a feature map into a bank of the input buffer, row by row, channel block by
// channel block.
//
// Tile start at the IDLE cycle c in which a command, a free bank and a satisfied sync meet (the
// command leaves its FIFO then); segments are offered from c+1 on; tile end, and the bank posted, at
// the cycle of the last beat; IDLE in the next. One beat a cycle.
// Outputs to the input buffer pass one register: a beat of cycle e is written at the end of e+1,
// which no reader can notice, as the earliest read of a posted bank is at e+2.
// A beat holds EB = 64 / (8 * FB) features, of which the low FeatureBits bits are kept. A line is
// IL = max(InLanes, EB) features: IL / EB banks of EB features, written in turn. Lines of bank b of
// the ping-pong pair begin at address b * InputLines.
`default_nettype none

module feature_load #(
  parameter int InLanes = 4,
  parameter int FeatureBits = 8,
  parameter int InputLines = 1024,
  parameter int CommandDepth = 2,
  parameter int Outstanding = 4,
  localparam int BeatFeatures = (FeatureBits <= 8) ? 8 : 4,
  localparam int SubBanks = (InLanes > BeatFeatures) ? InLanes / BeatFeatures : 1,
  localparam int AddrBits = $clog2(2 * InputLines)
) (
  input  logic                                clk_i,
  input  logic                                rst_i,
  input  logic                                halt_i,
  output logic                                idle_o,

  input  logic                                cmd_push_i,
  input  logic [program_pkg::LoadBits-1:0]    cmd_i,
  output logic                                cmd_full_o,

  input  logic [15:0]                         stores_done_i,

  // Bank token of the input buffer
  input  logic                                bank_free_i,
  input  logic                                bank_write_i,  // bank to be written
  output logic                                bank_reserve_o,
  output logic                                bank_post_o,
  output logic                                bank_tag_o,  // 1: the bank is for the MAC array

  // Read port (slot 2 of a read mux)
  output logic                                ar_valid_o,
  input  logic                                ar_ready_i,
  output logic [31:0]                         ar_address_o,
  output logic [3:0]                          ar_len_o,
  input  logic                                r_valid_i,
  input  logic [63:0]                         r_data_i,
  input  logic [1:0]                          r_resp_i,
  input  logic                                r_last_i,

  // Input buffer
  output logic [SubBanks-1:0]                 ram_we_o,
  output logic [AddrBits-1:0]                 ram_addr_o,
  output logic [BeatFeatures*FeatureBits-1:0] ram_data_o,

  output logic                                error_o,
  output logic [25:0]                         error_info_o,

  // Counters and events; the tags belong to every event of the cycle
  output logic [1:0]                          class_o,
  output logic                                tile_start_o,
  output logic                                tile_end_o,
  output logic                                first_beat_o,
  output logic                                last_beat_o,
  output logic [7:0]                          event_bundle_o,
  output logic [15:0]                         event_tile_o
);

  localparam int StorageBits = 64 / BeatFeatures;
  localparam int SubBits = (SubBanks > 1) ? $clog2(SubBanks) : 1;
  localparam int CommandBits = program_pkg::LoadBits;
  localparam int CountBits = $clog2(CommandDepth + 1);

  // ---- command ----
  logic [CommandBits-1:0] head, cmd_q, cmd;
  logic                   head_valid, sync_ok, start;
  logic                   active_q;
  logic [15:0]            sync_distance;
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

  assign sync_distance = stores_done_i - head[program_pkg::LoadSyncLsb +: 16];
  assign sync_ok       = !head[program_pkg::LoadSyncEnableLsb] || !sync_distance[15];
  assign start         = !active_q && head_valid && sync_ok && bank_free_i;

  always_ff @(posedge clk_i) begin
    if (!active_q) cmd_q <= head;  // with the start for the last time: a register enables it
  end

  // Fields that the start itself needs come from the FIFO in that cycle, later from the register.
  logic [31:0] address, row_pitch, block_pitch, last_block_pitch;
  logic [23:0] segment_beats, last_segment_beats;
  logic [11:0] rows, pixel_lines;
  logic [15:0] cols;
  logic [7:0]  blocks, pixel_beats, last_pixel_beats, block_lines;
  logic        one_block;

  assign cmd              = active_q ? cmd_q : head;
  assign address          = head[program_pkg::LoadAddressLsb +: 32];
  assign rows             = head[program_pkg::LoadRowsLsb +: 12];
  assign cols             = cmd[program_pkg::LoadColsLsb +: 16];
  assign blocks           = cmd[program_pkg::LoadBlocksLsb +: 8];
  assign pixel_beats      = cmd[program_pkg::LoadPixelBeatsLsb +: 8];
  assign last_pixel_beats = cmd[program_pkg::LoadLastPixelBeatsLsb +: 8];
  assign segment_beats    = cmd[program_pkg::LoadSegmentBeatsLsb +: 24];
  assign last_segment_beats = cmd[program_pkg::LoadLastSegmentBeatsLsb +: 24];
  assign row_pitch        = cmd_q[program_pkg::LoadRowPitchLsb +: 32];
  assign block_pitch      = cmd_q[program_pkg::LoadBlockPitchLsb +: 32];
  assign last_block_pitch = cmd_q[program_pkg::LoadLastBlockPitchLsb +: 32];
  assign pixel_lines      = cmd_q[program_pkg::LoadPixelLinesLsb +: 12];
  assign block_lines      = cmd_q[program_pkg::LoadBlockLinesLsb +: 8];
  assign one_block        = blocks == 8'd1;

  // ---- segments: what to ask the master for ----
  logic        seg_valid_q, seg_ready, seg_accept;
  logic [31:0] seg_address_q, row_address_q, row_next, block_next;
  logic [23:0] seg_beats_q;
  logic [11:0] seg_rows_q;    // rows after this one
  logic [7:0]  seg_blocks_q;  // blocks after this one
  logic        seg_row_end, next_is_last;

  assign seg_accept   = seg_valid_q && seg_ready;
  assign seg_row_end  = seg_blocks_q == 8'd0;
  assign row_next     = row_address_q + row_pitch;
  assign block_next   = seg_address_q + (seg_blocks_q == 8'd1 ? last_block_pitch : block_pitch);
  assign next_is_last = start || seg_row_end ? one_block : seg_blocks_q == 8'd1;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      seg_valid_q <= 1'b0;
    end else if (start) begin
      seg_valid_q <= 1'b1;
    end else if (seg_accept && seg_row_end && seg_rows_q == 12'd0) begin
      seg_valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start || seg_accept) begin
      seg_beats_q <= next_is_last ? last_segment_beats : segment_beats;
      if (start || seg_row_end) begin
        row_address_q <= start ? address : row_next;
        seg_address_q <= start ? address : row_next;
        seg_blocks_q  <= blocks - 8'd1;
        seg_rows_q    <= start ? rows - 12'd1 : seg_rows_q - 12'd1;
      end else begin
        seg_address_q <= block_next;
        seg_blocks_q  <= seg_blocks_q - 8'd1;
      end
    end
  end

  // ---- beats: where each one goes ----
  logic        beat;
  logic [63:0] beat_data;
  logic [1:0]  error_response;

  axi_read_master #(
    .Outstanding(Outstanding)
  ) u_master (
    .clk_i,
    .rst_i,
    .halt_i,
    .idle_o,
    .seg_valid_i     (seg_valid_q),
    .seg_ready_o     (seg_ready),
    .seg_address_i   (seg_address_q),
    .seg_beats_i     (seg_beats_q),
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

  logic [11:0]         rows_q;         // rows, blocks, pixels, beats after the present one
  logic [7:0]          blocks_q;
  logic [15:0]         cols_q;
  logic [7:0]          beats_q;
  logic [SubBits-1:0]  sub_q;
  logic [AddrBits-1:0] line_q;         // line of the present beat
  logic [AddrBits-1:0] pixel_q;        // first line of the present pixel in this block
  logic [AddrBits-1:0] block_q;        // the same of the row's first pixel
  logic [AddrBits-1:0] row_next_q;     // first line of the next row
  logic                first_q, first_block_q;
  logic                pixel_end_q;    // beats_q is 0
  logic                col_end_q;      // cols_q is 0
  logic                block_end_q;    // blocks_q is 0
  logic                last_row_q;     // rows_q is 0
  logic                segment_end, row_end, tile_end;
  logic [AddrBits-1:0] pixel_next, block_line_next, jump;
  logic                sub_end;

  assign segment_end     = pixel_end_q && col_end_q;
  assign row_end         = segment_end && block_end_q;
  assign tile_end        = beat && active_q && row_end && last_row_q;
  assign pixel_next      = pixel_q + AddrBits'(pixel_lines);
  assign block_line_next = block_q + AddrBits'(block_lines);
  assign sub_end         = SubBanks == 1 || sub_q == SubBits'(SubBanks - 1);

  always_comb begin  // first line of the next pixel, wherever it is
    jump = pixel_next;
    if (segment_end && !row_end) jump = block_line_next;
    if (row_end && !one_block) jump = row_next_q;
  end

  // Beats of the next pixel, and whether it is one, from the block that it lies in.
  logic       next_pixel_last;  // the next pixel is in the last block
  logic [7:0] next_beats;

  always_comb begin
    if (start || row_end) next_pixel_last = one_block;
    else if (segment_end) next_pixel_last = blocks_q == 8'd1;
    else next_pixel_last = block_end_q;
  end
  assign next_beats = next_pixel_last ? last_pixel_beats : pixel_beats;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
    end else if (start) begin
      active_q <= 1'b1;
    end else if (tile_end) begin
      active_q <= 1'b0;
    end
  end

  logic [AddrBits-1:0] bank_line;
  assign bank_line = bank_write_i ? AddrBits'(InputLines) : '0;

  always_ff @(posedge clk_i) begin
    if (start) begin
      rows_q        <= rows - 12'd1;
      blocks_q      <= blocks - 8'd1;
      cols_q        <= cols - 16'd1;
      beats_q       <= next_beats - 8'd1;
      pixel_end_q   <= next_beats == 8'd1;
      col_end_q     <= cols == 16'd1;
      block_end_q   <= one_block;
      last_row_q    <= rows == 12'd1;
      sub_q         <= '0;
      line_q        <= bank_line;
      pixel_q       <= bank_line;
      block_q       <= bank_line;
      first_q       <= 1'b1;
      first_block_q <= 1'b1;
    end else if (beat) begin
      first_q <= 1'b0;
      if (!pixel_end_q) begin
        beats_q     <= beats_q - 8'd1;
        pixel_end_q <= beats_q == 8'd1;
        sub_q   <= sub_end ? '0 : sub_q + SubBits'(1);
        if (sub_end) line_q <= line_q + AddrBits'(1);
      end else begin
        sub_q       <= '0;
        line_q      <= jump;
        pixel_q     <= jump;
        beats_q     <= next_beats - 8'd1;
        pixel_end_q <= next_beats == 8'd1;
        if (!segment_end) begin
          cols_q    <= cols_q - 16'd1;
          col_end_q <= cols_q == 16'd1;
        end else begin
          cols_q        <= cols - 16'd1;
          col_end_q     <= cols == 16'd1;
          block_q       <= jump;
          first_block_q <= row_end;
          blocks_q      <= row_end ? blocks - 8'd1 : blocks_q - 8'd1;
          block_end_q   <= next_pixel_last;
          if (row_end) rows_q <= rows_q - 12'd1;
          if (row_end) last_row_q <= rows_q == 12'd1;
          if (first_block_q) row_next_q <= pixel_next;
        end
      end
    end
  end

  // ---- input buffer write, one cycle later ----
  logic [BeatFeatures*FeatureBits-1:0] features;

  always_comb begin
    for (int i = 0; i < BeatFeatures; i++) begin
      features[i*FeatureBits +: FeatureBits] = beat_data[i*StorageBits +: FeatureBits];
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      ram_we_o <= '0;
    end else begin
      ram_we_o <= '0;
      if (beat) ram_we_o[sub_q] <= 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (beat) begin
      ram_addr_o <= line_q;
      ram_data_o <= features;
    end
  end

  // ---- outputs ----
  assign bank_reserve_o = start;
  assign bank_post_o    = tile_end;
  assign bank_tag_o     = cmd_q[program_pkg::LoadToMacLsb];
  assign tile_start_o   = start;
  assign tile_end_o     = tile_end;
  assign first_beat_o   = beat && first_q;
  assign last_beat_o    = tile_end;
  assign event_bundle_o = cmd[program_pkg::BundleLsb +: program_pkg::BundleBits];
  assign event_tile_o   = cmd[program_pkg::TileLsb +: program_pkg::TileBits];
  assign error_info_o   = {error_response, event_tile_o, event_bundle_o};

  always_comb begin
    class_o = 2'd3;
    if (!active_q) begin
      if (!head_valid || !sync_ok) class_o = 2'd1;
      else if (!bank_free_i) class_o = 2'd2;
      else class_o = 2'd0;
    end else if (beat) begin
      class_o = 2'd0;
    end
  end

  logic unused;
  assign unused = ^{fifo_count, cmd, cmd_q, beat_data, sync_distance, pixel_lines, block_lines};

endmodule

`default_nettype wire
