// Simulation only: writes what the units, buffers and ports do to the file +activity=FILE.
//
// Four whole numbers a line, cycles as in event_recorder (the accepted start is cycle 0):
//   0 CYCLE UNIT CLASS    from this cycle on the unit is in this class of the counters
//   1 CYCLE BUFFER BANKS  from this cycle on so many banks are full; 0 input, 1 mid, 2 output buffer
//   2 FIRST LAST PORT     a read burst: cycles of its first and of its last beat
//   3 FIRST LAST PORT     a write burst, likewise
//   4 TOTAL 0 0           the last cycle that is counted
`default_nettype none

module activity_recorder #(
  parameter int Ports = 1,
  parameter int Units = 7,
  parameter int Buffers = 3
) (
  input  logic                    clk_i,
  input  logic                    rst_i,
  input  logic                    start_i,
  input  logic                    running_i,
  input  logic [Units-1:0][1:0]   class_i,
  input  logic [Buffers-1:0][1:0] banks_i,
  input  logic [Ports-1:0]        rbeat_i,
  input  logic [Ports-1:0]        rlast_i,
  input  logic [Ports-1:0]        wbeat_i,
  input  logic [Ports-1:0]        wlast_i
);
  int unsigned             cycle_q;
  int                      file = 0;
  string                   path;
  logic                    counted_q;
  logic [Units-1:0][1:0]   class_q;
  logic [Buffers-1:0][1:0] banks_q;
  logic [Ports-1:0]        reading_q, writing_q;  // inside a burst
  int unsigned             rfirst_q[Ports];
  int unsigned             wfirst_q[Ports];

  initial begin
    if ($value$plusargs("activity=%s", path)) file = $fopen(path, "w");
  end

  always_ff @(posedge clk_i) begin
    cycle_q   <= (rst_i || start_i) ? 32'd1 : cycle_q + 32'd1;
    counted_q <= running_i && !rst_i;
    class_q   <= class_i;
    banks_q   <= (rst_i || start_i) ? '0 : banks_i;
    if (file != 0 && !rst_i && running_i) begin
      for (int u = 0; u < Units; u++) begin
        if (!counted_q || class_i[u] != class_q[u]) begin
          $fwrite(file, "0 %0d %0d %0d\n", cycle_q, u, class_i[u]);
        end
      end
      for (int b = 0; b < Buffers; b++) begin
        if (banks_i[b] != banks_q[b]) $fwrite(file, "1 %0d %0d %0d\n", cycle_q, b, banks_i[b]);
      end
    end
    if (file != 0 && counted_q && !running_i) $fwrite(file, "4 %0d 0 0\n", cycle_q - 32'd1);
  end

  always_ff @(posedge clk_i) begin
    for (int p = 0; p < Ports; p++) begin
      if (rst_i) begin
        reading_q[p] <= 1'b0;
        writing_q[p] <= 1'b0;
      end else begin
        if (rbeat_i[p]) begin
          reading_q[p] <= !rlast_i[p];
          if (!reading_q[p]) rfirst_q[p] <= cycle_q;
          if (rlast_i[p] && file != 0) begin
            $fwrite(file, "2 %0d %0d %0d\n", reading_q[p] ? rfirst_q[p] : cycle_q, cycle_q, p);
          end
        end
        if (wbeat_i[p]) begin
          writing_q[p] <= !wlast_i[p];
          if (!writing_q[p]) wfirst_q[p] <= cycle_q;
          if (wlast_i[p] && file != 0) begin
            $fwrite(file, "3 %0d %0d %0d\n", writing_q[p] ? wfirst_q[p] : cycle_q, cycle_q, p);
          end
        end
      end
    end
  end

  final begin
    if (file != 0) $fclose(file);
  end
endmodule

`default_nettype wire
