// Writes finished output groups from the output buffer to memory.
//
// Tile start at the IDLE cycle in which a command and a full bank meet (the command leaves its FIFO
// then). Per output group: OPEN, at least one cycle and until a bank is full -> SEGMENTS: one segment
// per row, to_depth two, to the write master -> DRAIN until the last W beat of the group at e: bank released at e,
// OPEN for the next group or IDLE at e+1. The B of the command's last burst ends the tile, maybe
// when the next command is under way: that side has tags of its own (response_*).
// Lines are read in order from the first SEGMENTS cycle on into an 8-line FIFO, so that data is
// there four cycles after OPEN, before the first W beat can be due, and then one beat a cycle; a few
// lines past the group's end may be read and are dropped. A line is OL = max(RequantLanes, EB)
// features of 8 * FB bits, EB features a beat; bank b begins at line b * OutputLines.
// Space to depth: a row of the tile is read in two runs, the pixels in even columns, then the odd
// ones. The four runs of two rows are the four phases of a row of the map: three times phase_pitch
// apart, then row_pitch leads on to the next row.
`default_nettype none

module feature_store #(
  parameter int RequantLanes = 4,
  parameter int FeatureBits = 8,
  parameter int OutputLines = 1024,
  parameter int CommandDepth = 2,
  parameter int Outstanding = 4,
  localparam int BeatFeatures = (FeatureBits <= 8) ? 8 : 4,
  localparam int LineBeats = (RequantLanes > BeatFeatures) ? RequantLanes / BeatFeatures : 1,
  localparam int LineBits = 64 * LineBeats,
  localparam int AddrBits = $clog2(2 * OutputLines)
) (
  input  logic                              clk_i,
  input  logic                              rst_i,
  input  logic                              halt_i,
  output logic                              idle_o,

  input  logic                              cmd_push_i,
  input  logic [program_pkg::StoreBits-1:0] cmd_i,
  output logic                              cmd_full_o,

  output logic [15:0]                       stores_done_o,

  // Bank token and read port of the output buffer (data two cycles after the address)
  input  logic                              bank_full_i,
  input  logic                              bank_read_i,  // bank to be read
  output logic                              bank_release_o,
  output logic                              ram_re_o,
  output logic [AddrBits-1:0]               ram_addr_o,
  input  logic [LineBits-1:0]               ram_data_i,

  // Write port
  output logic                              axi_awvalid_o,
  input  logic                              axi_awready_i,
  output logic [31:0]                       axi_awaddr_o,
  output logic [3:0]                        axi_awlen_o,
  output logic [2:0]                        axi_awsize_o,
  output logic [1:0]                        axi_awburst_o,
  output logic                              axi_wvalid_o,
  input  logic                              axi_wready_i,
  output logic [63:0]                       axi_wdata_o,
  output logic [7:0]                        axi_wstrb_o,
  output logic                              axi_wlast_o,
  input  logic                              axi_bvalid_i,
  output logic                              axi_bready_o,
  input  logic [1:0]                        axi_bresp_i,

  output logic                              error_o,
  output logic [25:0]                       error_info_o,

  // Counters and events
  output logic [1:0]                        class_o,
  output logic                              tile_start_o,
  output logic                              first_beat_o,   // first W beat of the command
  output logic                              last_beat_o,    // last W beat of the command
  output logic [7:0]                        event_bundle_o,  // for the three above
  output logic [15:0]                       event_tile_o,
  output logic                              tile_end_o,
  output logic                              bundle_done_o,
  output logic                              frame_done_o,
  output logic [7:0]                        response_bundle_o,  // for the three above
  output logic [15:0]                       response_tile_o
);

  localparam int CommandBits = program_pkg::StoreBits;
  localparam int CountBits = $clog2(CommandDepth + 1);
  localparam int PrefetchDepth = 8;
  localparam int PrefetchBits = $clog2(PrefetchDepth + 1);
  localparam int SubBits = (LineBeats > 1) ? $clog2(LineBeats) : 1;
  localparam int TagDepth = Outstanding + 2;
  localparam int TagCountBits = $clog2(TagDepth + 1);
  localparam logic [1:0] StIdle = 2'd0;
  localparam logic [1:0] StOpen = 2'd1;
  localparam logic [1:0] StSegments = 2'd2;
  localparam logic [1:0] StDrain = 2'd3;

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

  assign start = state_q == StIdle && head_valid && bank_full_i;

  always_ff @(posedge clk_i) begin
    if (start) cmd_q <= head;
  end

  logic [31:0] row_pitch, block_pitch, last_skew;
  logic [15:0] segment_beats, last_segment_beats;
  logic [12:0] segments;
  logic        to_depth, one_line, one_pixel;
  logic [31:0] phase_pitch;
  logic [7:0]  pixel_lines;
  logic [11:0] run_pixels;

  assign row_pitch          = cmd_q[program_pkg::StoreRowPitchLsb +: 32];
  assign block_pitch        = cmd_q[program_pkg::StoreBlockPitchLsb +: 32];
  assign last_skew          = {8'd0, cmd_q[program_pkg::StoreLastSkewLsb +: 24]};
  assign segments           = cmd_q[program_pkg::StoreSegmentsLsb +: 13];
  assign segment_beats      = cmd_q[program_pkg::StoreSegmentBeatsLsb +: 16];
  assign last_segment_beats = cmd_q[program_pkg::StoreLastSegmentBeatsLsb +: 16];
  assign to_depth           = cmd_q[program_pkg::StoreToDepthLsb];
  assign phase_pitch        = cmd_q[program_pkg::StorePhasePitchLsb +: 32];
  assign pixel_lines        = cmd_q[program_pkg::StorePixelLinesLsb +: 8];
  assign run_pixels         = cmd_q[program_pkg::StoreRunPixelsLsb +: 12];
  assign one_line           = pixel_lines == 8'd1;
  assign one_pixel          = run_pixels == 12'd1;

  // ---- groups and segments ----
  logic        open, seg_valid, seg_ready, seg_accept, group_end;
  logic        last_group, last_segment;  // registers: groups_q, segments_q is 0
  logic [11:0] groups_q;        // after the present one
  logic [12:0] segments_q;      // after the present one
  logic [1:0]  phase_q;         // of the present one
  logic        row_step;        // row_pitch leads to the next segment
  logic [31:0] group_address_q, seg_address_q;
  logic [15:0] group_beats_q;   // beats per segment in this group

  assign open         = state_q == StOpen && bank_full_i;
  assign seg_valid    = state_q == StSegments;
  assign seg_accept   = seg_valid && seg_ready;
  assign row_step     = !to_depth || phase_q == 2'd3;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= StIdle;
    end else begin
      case (state_q)
        StIdle:     if (start) state_q <= StOpen;
        StOpen:     if (bank_full_i) state_q <= StSegments;
        StSegments: if (seg_ready && last_segment) state_q <= StDrain;
        default:    if (group_end) state_q <= last_group ? StIdle : StOpen;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      groups_q        <= head[program_pkg::StoreOutGroupsLsb +: 12] - 12'd1;
      last_group      <= head[program_pkg::StoreOutGroupsLsb +: 12] == 12'd1;
      group_address_q <= head[program_pkg::StoreAddressLsb +: 32];
    end else if (group_end) begin
      groups_q        <= groups_q - 12'd1;
      last_group      <= groups_q == 12'd1;
      group_address_q <= group_address_q + block_pitch;
    end
    if (open) begin
      seg_address_q <= last_group ? group_address_q - last_skew : group_address_q;
      group_beats_q <= open_beats;
      segments_q    <= segments - 13'd1;
      last_segment  <= segments == 13'd1;
      phase_q       <= 2'd0;
    end else if (seg_accept) begin
      seg_address_q <= seg_address_q + (row_step ? row_pitch : phase_pitch);
      segments_q    <= segments_q - 13'd1;
      last_segment  <= segments_q == 13'd1;
      phase_q       <= phase_q + 2'd1;
    end
  end

  // ---- prefetch: output buffer to line FIFO ----
  logic                    busy, read, line_valid, line_pop, prefetch_full;
  logic [1:0]              arriving_q;  // reads on their way
  logic [PrefetchBits-1:0] reserved_q;  // lines on their way or in the FIFO
  logic [PrefetchBits-1:0] line_count;
  logic [LineBits-1:0]     line;
  logic [AddrBits-1:0]     addr_q, addr_step, next_pixel_q, run_back_q;
  logic [7:0]              pixel_left_q;  // lines of the pixel after the present one
  logic [11:0]             run_left_q;    // pixels of the run after the present one
  logic                    pixel_end_q, run_end_q;  // the line, the pixel is the last
  logic                    odd_q;         // the run of the odd columns

  assign busy       = state_q == StSegments || state_q == StDrain;
  assign read       = busy && reserved_q != PrefetchBits'(PrefetchDepth);
  assign ram_re_o   = read;
  assign ram_addr_o = addr_q;

  always_ff @(posedge clk_i) begin
    if (rst_i || !busy) begin
      arriving_q <= 2'b00;
      reserved_q <= '0;
    end else begin
      arriving_q <= {arriving_q[0], read};
      if (read != line_pop) begin
        reserved_q <= read ? reserved_q + PrefetchBits'(1) : reserved_q - PrefetchBits'(1);
      end
    end
  end

  // Space to depth: over the next pixel, from the last even pixel back to the first odd one, from
  // the last odd pixel on to the next row.
  always_comb begin
    if (!pixel_end_q) addr_step = AddrBits'(1);
    else if (!run_end_q) addr_step = next_pixel_q;
    else if (!odd_q) addr_step = run_back_q;
    else addr_step = AddrBits'(1);
  end

  always_ff @(posedge clk_i) begin
    if (open) addr_q <= bank_read_i ? AddrBits'(OutputLines) : '0;
    else if (read) addr_q <= addr_q + addr_step;
  end

  always_ff @(posedge clk_i) begin
    if (open) begin
      next_pixel_q <= AddrBits'(pixel_lines) + AddrBits'(1);
      run_back_q   <= AddrBits'(cmd_q[program_pkg::StoreRunBackLsb +: 24]);
      pixel_left_q <= pixel_lines - 8'd1;
      pixel_end_q  <= to_depth && one_line;
      run_left_q   <= run_pixels - 12'd1;
      run_end_q    <= one_pixel;
      odd_q        <= 1'b0;
    end else if (read) begin
      pixel_left_q <= pixel_end_q ? pixel_lines - 8'd1 : pixel_left_q - 8'd1;
      pixel_end_q  <= to_depth && (pixel_end_q ? one_line : pixel_left_q == 8'd1);
      if (pixel_end_q) begin
        run_left_q <= run_end_q ? run_pixels - 12'd1 : run_left_q - 12'd1;
        run_end_q  <= run_end_q ? one_pixel : run_left_q == 12'd1;
        if (run_end_q) odd_q <= !odd_q;
      end
    end
  end

  sync_fifo #(
    .Width(LineBits),
    .Depth(PrefetchDepth)
  ) u_lines (
    .clk_i,
    .rst_i  (rst_i || !busy),
    .push_i (arriving_q[1]),
    .data_i (ram_data_i),
    .full_o (prefetch_full),
    .pop_i  (line_pop),
    .valid_o(line_valid),
    .data_o (line),
    .count_o(line_count)
  );

  // ---- beats ----
  logic        w_ready, w_beat, first_q;
  logic [63:0] w_data;
  logic [15:0] w_beats_q;     // beats of the segment after the present one
  logic [12:0] w_segments_q;  // segments of the group after the present one
  logic        w_end_q, w_last_q;  // there are none of the one, of the other
  logic [15:0] open_beats;    // beats per segment of the group that is opened

  assign w_beat      = line_valid && w_ready;
  assign group_end   = w_beat && w_end_q && w_last_q;

  assign open_beats  = last_group ? last_segment_beats : segment_beats;

  if (LineBeats == 1) begin : gen_whole
    assign w_data   = line;
    assign line_pop = w_beat;
  end else begin : gen_parts
    logic [SubBits-1:0] sub_q;
    always_ff @(posedge clk_i) begin
      if (!busy) sub_q <= '0;
      else if (w_beat) sub_q <= sub_q + SubBits'(1);
    end
    assign w_data   = line[64*sub_q +: 64];
    assign line_pop = w_beat && sub_q == SubBits'(LineBeats - 1);
  end

  always_ff @(posedge clk_i) begin
    if (start) first_q <= 1'b1;
    else if (w_beat) first_q <= 1'b0;
    if (open) begin
      w_beats_q    <= open_beats - 16'd1;
      w_end_q      <= open_beats == 16'd1;
      w_segments_q <= segments - 13'd1;
      w_last_q     <= segments == 13'd1;
    end else if (w_beat) begin
      w_beats_q <= w_end_q ? group_beats_q - 16'd1 : w_beats_q - 16'd1;
      w_end_q   <= w_end_q ? group_beats_q == 16'd1 : w_beats_q == 16'd1;
      if (w_end_q) begin
        w_segments_q <= w_segments_q - 13'd1;
        w_last_q     <= w_segments_q == 13'd1;
      end
    end
  end

  logic       response_last;
  logic [1:0] error_response;

  axi_write_master #(
    .Outstanding(Outstanding)
  ) u_master (
    .clk_i,
    .rst_i,
    .halt_i,
    .idle_o,
    .seg_valid_i     (seg_valid),
    .seg_ready_o     (seg_ready),
    .seg_address_i   (seg_address_q),
    .seg_beats_i     ({8'd0, group_beats_q}),
    .seg_last_i      (last_group && last_segment),
    .data_valid_i    (line_valid),
    .data_ready_o    (w_ready),
    .data_i          (w_data),
    .response_last_o (response_last),
    .error_o,
    .error_response_o(error_response),
    .axi_awvalid_o,
    .axi_awready_i,
    .axi_awaddr_o,
    .axi_awlen_o,
    .axi_awsize_o,
    .axi_awburst_o,
    .axi_wvalid_o,
    .axi_wready_i,
    .axi_wdata_o,
    .axi_wstrb_o,
    .axi_wlast_o,
    .axi_bvalid_i,
    .axi_bready_o,
    .axi_bresp_i
  );

  // ---- responses: the oldest command whose last B is still to come ----
  logic                    tag_valid, tag_full, bundle_last, frame_last;
  logic [TagCountBits-1:0] tag_count;

  sync_fifo #(
    .Width(26),
    .Depth(TagDepth)
  ) u_tags (
    .clk_i,
    .rst_i,
    .push_i (start),
    .data_i ({head[program_pkg::StoreFrameLastLsb], head[program_pkg::StoreBundleLastLsb],
              head[program_pkg::TileLsb +: 16], head[program_pkg::BundleLsb +: 8]}),
    .full_o (tag_full),
    .pop_i  (response_last),
    .valid_o(tag_valid),
    .data_o ({frame_last, bundle_last, response_tile_o, response_bundle_o}),
    .count_o(tag_count)
  );

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      stores_done_o <= 16'd0;
    end else if (response_last) begin
      stores_done_o <= stores_done_o + 16'd1;
    end
  end

  // ---- outputs ----
  assign bank_release_o = group_end;
  assign tile_start_o   = start;
  assign first_beat_o   = w_beat && first_q;
  assign last_beat_o    = group_end && last_group;
  assign event_bundle_o = state_q == StIdle ? head[program_pkg::BundleLsb +: 8]
                                            : cmd_q[program_pkg::BundleLsb +: 8];
  assign event_tile_o   = state_q == StIdle ? head[program_pkg::TileLsb +: 16]
                                            : cmd_q[program_pkg::TileLsb +: 16];
  assign tile_end_o     = response_last;
  assign bundle_done_o  = response_last && bundle_last;
  assign frame_done_o   = response_last && frame_last;
  assign error_info_o   = {error_response, response_tile_o, response_bundle_o};

  always_comb begin
    case (state_q)
      StIdle:  class_o = start ? 2'd0 : 2'd1;
      StOpen:  class_o = open ? 2'd0 : 2'd1;
      default: class_o = w_beat ? 2'd0 : 2'd3;
    endcase
  end

  logic unused;
  assign unused = ^{fifo_count, cmd_q, head, prefetch_full, line_count, tag_valid, tag_full,
                    tag_count};

endmodule

`default_nettype wire
