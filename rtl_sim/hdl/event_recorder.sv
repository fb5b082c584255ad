// Simulation only: writes one line `cycle unit kind bundle tile` per event to the file +events=FILE.
//
// Cycle 0 is the cycle of start_i (the edge that accepts the start write). Nothing is written
// without the argument. An event that is valid at cycle c is stamped c.
`default_nettype none

module event_recorder #(
  parameter int Events = 1
) (
  input  logic                    clk_i,
  input  logic                    rst_i,
  input  logic                    start_i,
  input  logic [Events-1:0]       valid_i,
  input  logic [Events-1:0][ 7:0] bundle_i,
  input  logic [Events-1:0][15:0] tile_i
);
`ifndef SYNTHESIS
  int unsigned cycle_q;
  int          file = 0;
  string       path;

  // Order of the event vector: see the connections in tandem_core.
  function automatic string name_of(input int index);
    case (index)
      0:  name_of = "sequencer dispatch";
      1:  name_of = "load tile_start";
      2:  name_of = "load tile_end";
      3:  name_of = "load first_beat";
      4:  name_of = "load last_beat";
      5:  name_of = "weight tile_start";
      6:  name_of = "weight tile_end";
      7:  name_of = "weight first_beat";
      8:  name_of = "weight last_beat";
      9:  name_of = "weight weight_ready";
      10: name_of = "depthwise tile_start";
      11: name_of = "depthwise tile_end";
      12: name_of = "mac tile_start";
      13: name_of = "mac tile_end";
      14: name_of = "post tile_start";
      15: name_of = "post tile_end";
      16: name_of = "store tile_start";
      17: name_of = "store first_beat";
      18: name_of = "store last_beat";
      19: name_of = "store tile_end";
      20: name_of = "store bundle_done";
      21: name_of = "store frame_done";
      default: name_of = "unknown unknown";
    endcase
  endfunction

  initial begin
    if ($value$plusargs("events=%s", path)) file = $fopen(path, "w");
  end

  always_ff @(posedge clk_i) begin
    cycle_q <= (rst_i || start_i) ? 32'd1 : cycle_q + 32'd1;
    if (file != 0 && !rst_i && valid_i != '0) begin
      for (int i = 0; i < Events; i++) begin
        if (valid_i[i]) begin
          $fwrite(file, "%0d %s %0d %0d\n", cycle_q, name_of(i), bundle_i[i], tile_i[i]);
        end
      end
    end
  end

  final begin
    if (file != 0) $fclose(file);
  end
`endif
endmodule

`default_nettype wire
