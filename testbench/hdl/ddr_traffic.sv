`default_nettype none

// Replays a table of bursts on every port of ddr_model and logs the cycle of each handshake.
//
// +table=FILE has one burst a line: "kind port gap address beats wait stride", kind 0 read, 1
// write. The burst's address is valid gap cycles after the cycle that follows the accept of the one
// before it, but not while limit bursts are outstanding. A write burst's data starts wait cycles
// after the cycle that follows the accept of its address, or when the data before it has ended;
// stride idle cycles lie between its beats. +read_limit=N and +write_limit=N bound the outstanding
// bursts of a port. Cycle 0 is the first one out of reset; with +idle_cycles=N it comes N cycles
// later, with the memory's time_zero_i.
// Beat i of a write to address a carries (a + 8 i) in both halves, the upper one inverted.
// +master_stall=K drops RREADY and BREADY with probability K / 256 in each cycle.
// +log=FILE gets a line "kind port cycle value" for each handshake; kinds: 0 AR (value: address),
// 1 R (data), 2 AW (address), 3 B (response), 4 R with an error response (response). At the end
// come lines "5 index count 0": row hits, row misses, refreshes, ticks with data.
// A reset begins table and log anew. done_o rises when every burst has ended.
module ddr_traffic #(
    parameter int Ports    = 1,
    parameter int MemWords = 65536
) (
    input  logic clk_i,
    input  logic rst_i,
    input  logic dump_i,
    output logic done_o
);
  localparam int Bursts = 4096;  // most in one direction of one port
  localparam logic [31:0] MemBase = 32'h1000_0000;

  // Plain variables written by one process; indices are ints wider than their ranges.
  /* verilator lint_off BLKSEQ */
  /* verilator lint_off UNUSEDSIGNAL */
  int gap[2][Ports][Bursts], beats[2][Ports][Bursts], address[2][Ports][Bursts];
  int pause[Ports][Bursts], stride[Ports][Bursts];
  int count[2][Ports], limit[2];
  string log_path;
  int log_file, master_stall, idle_cycles;

  initial begin
    string path;
    int file, kind, port, fields, n, g, a, b, w, s;
    if ($value$plusargs("table=%s", path) == 0) $fatal(1, "%m: +table=FILE is missing");
    if ($value$plusargs("read_limit=%d", limit[0]) == 0) limit[0] = 64;
    if ($value$plusargs("write_limit=%d", limit[1]) == 0) limit[1] = 64;
    if ($value$plusargs("master_stall=%d", master_stall) == 0) master_stall = 0;
    if ($value$plusargs("idle_cycles=%d", idle_cycles) == 0) idle_cycles = 0;
    file = $fopen(path, "r");
    if (file == 0) $fatal(1, "%m: cannot read %s", path);
    fields = $fscanf(file, "%d %d %d %h %d %d %d\n", kind, port, g, a, b, w, s);
    while (fields == 7) begin
      if (kind > 1 || port >= Ports || count[kind[0]][port] == Bursts) begin
        $fatal(1, "%m: a burst of kind %0d for port %0d does not fit", kind, port);
      end
      n = count[kind[0]][port];
      gap[kind[0]][port][n] = g;
      address[kind[0]][port][n] = a;
      beats[kind[0]][port][n] = b;
      if (kind == 1) begin
        pause[port][n]  = w;
        stride[port][n] = s;
      end
      count[kind[0]][port]++;
      fields = $fscanf(file, "%d %d %d %h %d %d %d\n", kind, port, g, a, b, w, s);
    end
    $fclose(file);
    if ($value$plusargs("log=%s", log_path) == 0) $fatal(1, "%m: +log=FILE is missing");
    log_file = $fopen(log_path, "w");
  end

  final begin
    $fwrite(log_file, "5 0 %0d 0\n5 1 %0d 0\n", u_ddr.row_hits, u_ddr.row_misses);
    $fwrite(log_file, "5 2 %0d 0\n5 3 %0d 0\n", u_ddr.refreshes, u_ddr.busy_ck);
    $fclose(log_file);
  end

  logic time_zero;
  int idle;  // cycles until cycle 0

  logic [Ports-1:0] arvalid, arready, rvalid, rready, rlast;
  logic [Ports-1:0] awvalid, awready, wvalid, wready, wlast, bvalid, bready;
  logic [Ports-1:0][31:0] araddr, awaddr;
  logic [Ports-1:0][7:0] arlen, awlen, wstrb;
  logic [Ports-1:0][63:0] rdata, wdata;
  logic [Ports-1:0][1:0] rresp, bresp;

  ddr_model #(
      .Ports(Ports),
      .MemWords(MemWords),
      .MemBase(MemBase)
  ) u_ddr (
      .clk_i,
      .rst_i,
      .time_zero_i(time_zero),
      .dump_i,
      .load_i(1'b0),
      .arvalid_i(arvalid),
      .arready_o(arready),
      .araddr_i(araddr),
      .arlen_i(arlen),
      .rvalid_o(rvalid),
      .rready_i(rready),
      .rdata_o(rdata),
      .rresp_o(rresp),
      .rlast_o(rlast),
      .awvalid_i(awvalid),
      .awready_o(awready),
      .awaddr_i(awaddr),
      .awlen_i(awlen),
      .wvalid_i(wvalid),
      .wready_o(wready),
      .wdata_i(wdata),
      .wstrb_i(wstrb),
      .wlast_i(wlast),
      .bvalid_o(bvalid),
      .bready_i(bready),
      .bresp_o(bresp)
  );

  // ---------------------------------------------------------------- masters
  int cycle;
  int offered[2][Ports], outstanding[2][Ports], ended[2][Ports];  // by direction: read, write
  int earliest[2][Ports];  // first cycle at which the next address may be valid
  int accepted[Ports], accept_cycle[Ports][Bursts];  // writes with an accepted address
  int filled[Ports], beat[Ports], beat_cycle[Ports];  // write data: next burst, beat, its cycle

  function automatic bit may_offer(input bit kind, input int port);
    may_offer = offered[kind][port] < count[kind][port] && cycle + 1 >= earliest[kind][port]
                && outstanding[kind][port] < limit[kind];
  endfunction

  function automatic int next_gap(input bit kind, input int port);
    next_gap = (offered[kind][port] < count[kind][port]) ? gap[kind][port][offered[kind][port]] : 0;
  endfunction

  function automatic bit all_ended();
    all_ended = 1'b1;
    for (int p = 0; p < Ports; p++) begin
      if (ended[0][p] != count[0][p] || ended[1][p] != count[1][p]) all_ended = 1'b0;
    end
  endfunction

  always @(posedge clk_i) begin
    if (rst_i) begin
      if (cycle != 0) begin
        $fclose(log_file);
        log_file = $fopen(log_path, "w");
      end
      cycle = 0;
      idle = idle_cycles;
      time_zero <= 1'b0;
      arvalid <= '0;
      awvalid <= '0;
      wvalid  <= '0;
      wlast   <= '0;
      rready  <= '1;
      bready  <= '1;
      wstrb   <= '1;
      done_o  <= 1'b0;
      for (int p = 0; p < Ports; p++) begin
        for (int k = 0; k < 2; k++) begin
          offered[k][p] = 0;
          outstanding[k][p] = 0;
          ended[k][p] = 0;
          earliest[k][p] = next_gap(k[0], p);
        end
        accepted[p] = 0;
        filled[p] = 0;
        beat[p] = 0;
        beat_cycle[p] = 0;
      end
    end else if (idle != 0) begin
      idle--;
      time_zero <= idle == 0;
    end else begin
      time_zero <= 1'b0;
      for (int p = 0; p < Ports; p++) begin
        // What this cycle's handshakes were.
        if (rvalid[p] && rready[p]) begin
          $fwrite(log_file, "1 %0d %0d %h\n", p, cycle, rdata[p]);
          if (rresp[p] != 0) $fwrite(log_file, "4 %0d %0d %h\n", p, cycle, rresp[p]);
          if (rlast[p]) begin
            outstanding[0][p]--;
            ended[0][p]++;
          end
        end
        if (bvalid[p] && bready[p]) begin
          $fwrite(log_file, "3 %0d %0d %h\n", p, cycle, bresp[p]);
          outstanding[1][p]--;
          ended[1][p]++;
        end
        if (arvalid[p] && arready[p]) begin
          $fwrite(log_file, "0 %0d %0d %h\n", p, cycle, araddr[p]);
          outstanding[0][p]++;
          earliest[0][p] = cycle + 1 + next_gap(1'b0, p);
        end
        if (awvalid[p] && awready[p]) begin
          $fwrite(log_file, "2 %0d %0d %h\n", p, cycle, awaddr[p]);
          outstanding[1][p]++;
          earliest[1][p] = cycle + 1 + next_gap(1'b1, p);
          accept_cycle[p][accepted[p]] = cycle;
          accepted[p]++;
        end
        // Addresses of the next cycle.
        if (!arvalid[p] || arready[p]) begin
          arvalid[p] <= may_offer(1'b0, p);
          if (may_offer(1'b0, p)) begin
            araddr[p] <= address[0][p][offered[0][p]];
            arlen[p]  <= 8'(beats[0][p][offered[0][p]] - 1);
            offered[0][p]++;
          end
        end
        if (!awvalid[p] || awready[p]) begin
          awvalid[p] <= may_offer(1'b1, p);
          if (may_offer(1'b1, p)) begin
            awaddr[p] <= address[1][p][offered[1][p]];
            awlen[p]  <= 8'(beats[1][p][offered[1][p]] - 1);
            offered[1][p]++;
          end
        end
        // Write data of the next cycle.
        if (wvalid[p] && wready[p]) begin
          beat_cycle[p] = cycle + 1 + (wlast[p] ? 0 : stride[p][filled[p]]);
          beat[p]++;
          if (wlast[p]) begin
            beat[p] = 0;
            filled[p]++;
          end
        end
        if (!wvalid[p] || wready[p]) begin
          wvalid[p] <= 1'b0;
          if (filled[p] < accepted[p] && cycle + 1 >= beat_cycle[p] && (beat[p] != 0
              || cycle + 1 >= accept_cycle[p][filled[p]] + 1 + pause[p][filled[p]])) begin
            wvalid[p] <= 1'b1;
            wlast[p]  <= beat[p] + 1 == beats[1][p][filled[p]];
            wdata[p]  <= {~(address[1][p][filled[p]] + 8 * beat[p]),
                         address[1][p][filled[p]] + 8 * beat[p]};
          end
        end
        rready[p] <= master_stall == 0 || int'($urandom_range(255)) >= master_stall;
        bready[p] <= master_stall == 0 || int'($urandom_range(255)) >= master_stall;
      end
      done_o <= all_ended();
      cycle++;
    end
  end
  /* verilator lint_on UNUSEDSIGNAL */
  /* verilator lint_on BLKSEQ */
endmodule

`default_nettype wire
