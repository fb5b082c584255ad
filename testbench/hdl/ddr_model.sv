`default_nettype none

// DDR memory, its controller and its AXI ports: the twin of model/ddr.py, cycle for cycle.
//
// Simulation only. Each port is 64 bits wide, INCR bursts of 1 to 16 beats, one ID, in order. All
// outputs are registers. READY comes while fewer than the accepted bursts are outstanding; a burst
// becomes visible to the controller ddr_command_latency cycles after its address (last data beat
// for a write) was accepted; at most one burst is granted a cycle; the beats of a read burst
// follow each other without a gap. Cycle 0 is the first one out of reset, or the one with
// time_zero_i: there the banks are closed and the refresh timer starts anew (nothing may be in
// flight). Memory is read and written at the grant, so a master that reads before its write
// response sees the old data.
//
// Arguments, beside +ddr_NAME=VALUE for each field of model/ddr_timing.py and +ddr_fabric_khz:
//   +memory=FILE       loaded at time 0 ($readmemh, 64-bit words, word 0 at MemBase)
//   +memory_out=FILE   written at a clock edge with dump_i
//   +memory_load=FILE  the words it names (@ADDRESS) are replaced at a clock edge with load_i
//   +fault_port=P +fault_read=N +fault_write=N +fault_response=R
//                      the N-th read or write burst (from 1) of port P answers R, else no fault;
//                      R = 2 SLVERR (default) or 3 DECERR. Outside the memory DECERR always comes.
//   +stall_ar=K, +stall_aw, +stall_w, +stall_r, +stall_b, +stall_seed=S
//                      each cycle that channel stalls with probability K / 256
//   +stall_all_at=C +stall_all_cycles=N   every channel stalls in cycles C to C + N - 1
module ddr_model #(
    parameter int          Ports    = 1,
    parameter int          MemWords = 65536,
    parameter logic [31:0] MemBase  = 32'h1000_0000
) (
    input  logic                    clk_i,
    input  logic                    rst_i,
    input  logic                    time_zero_i,
    input  logic                    dump_i,
    input  logic                    load_i,

    input  logic [Ports-1:0]        arvalid_i,
    output logic [Ports-1:0]        arready_o,
    input  logic [Ports-1:0][31:0]  araddr_i,
    input  logic [Ports-1:0][ 7:0]  arlen_i,
    output logic [Ports-1:0]        rvalid_o,
    input  logic [Ports-1:0]        rready_i,
    output logic [Ports-1:0][63:0]  rdata_o,
    output logic [Ports-1:0][ 1:0]  rresp_o,
    output logic [Ports-1:0]        rlast_o,

    input  logic [Ports-1:0]        awvalid_i,
    output logic [Ports-1:0]        awready_o,
    input  logic [Ports-1:0][31:0]  awaddr_i,
    input  logic [Ports-1:0][ 7:0]  awlen_i,
    input  logic [Ports-1:0]        wvalid_i,
    output logic [Ports-1:0]        wready_o,
    input  logic [Ports-1:0][63:0]  wdata_i,
    input  logic [Ports-1:0][ 7:0]  wstrb_i,
    input  logic [Ports-1:0]        wlast_i,
    output logic [Ports-1:0]        bvalid_o,
    input  logic [Ports-1:0]        bready_i,
    output logic [Ports-1:0][ 1:0]  bresp_o
);
  localparam int Depth = 64;  // bursts a ring holds; at least every acceptance
  localparam int BurstBeats = 16;
  localparam int MaxBanks = 64;
  localparam longint Closed = -1;
  localparam bit [1:0] Okay = 2'd0;
  localparam bit [1:0] Decerr = 2'd3;

  // Plain two-state variables written by one process: this is a model, not a circuit.
  /* verilator lint_off BLKSEQ */

  // ---------------------------------------------------------------- parameters of the run
  longint ddr_khz, fabric_khz, t_rcd, t_rp, t_ras, t_wr, t_refi, t_rfc;
  longint write_gap, turn_read_write, turn_write_read, lookahead, read_delay, write_delay;
  longint command_latency, read_latency, write_latency, burst_ck, burst_bytes;
  longint stall_all_at, stall_all_cycles;
  int banks, page_bytes, read_acceptance, write_acceptance, direction_limit;
  int fault_port, fault_read, fault_write;
  int stall_ar, stall_aw, stall_w, stall_r, stall_b;
  bit [1:0] fault_response;
  bit may_stall;
  bit [31:0] lfsr;
  bit [63:0] mem[MemWords];

  function automatic longint argument(input string name, input longint otherwise);
    longint value;
    if ($value$plusargs({name, "=%d"}, value) == 0) value = otherwise;
    argument = value;
  endfunction

  function automatic longint required(input string name);
    longint value;
    if ($value$plusargs({name, "=%d"}, value) == 0) begin
      $fatal(1, "%m: the argument +%s=VALUE is missing", name);
    end
    required = value;
  endfunction

  initial begin
    string path;
    ddr_khz          = required("ddr_khz");
    fabric_khz       = required("ddr_fabric_khz");
    burst_bytes      = required("ddr_burst_bytes");
    burst_ck         = burst_bytes / required("ddr_bytes_per_ck");
    banks            = int'(required("ddr_banks"));
    page_bytes       = int'(required("ddr_page_bytes"));
    t_rcd            = required("ddr_t_rcd");
    t_rp             = required("ddr_t_rp");
    t_ras            = required("ddr_t_ras");
    t_wr             = required("ddr_t_wr");
    t_refi           = required("ddr_t_refi");
    t_rfc            = required("ddr_t_rfc");
    write_gap        = required("ddr_write_gap");
    turn_read_write  = required("ddr_turn_read_write");
    turn_write_read  = required("ddr_turn_write_read");
    lookahead        = required("ddr_lookahead");
    read_delay       = required("ddr_read_delay");
    write_delay      = required("ddr_write_delay");
    command_latency  = required("ddr_command_latency");
    read_latency     = required("ddr_read_latency");
    write_latency    = required("ddr_write_latency");
    read_acceptance  = int'(required("ddr_read_acceptance"));
    write_acceptance = int'(required("ddr_write_acceptance"));
    direction_limit  = int'(required("ddr_direction_limit"));
    fault_port       = int'(argument("fault_port", 0));
    fault_read       = int'(argument("fault_read", 0));
    fault_write      = int'(argument("fault_write", 0));
    fault_response   = 2'(argument("fault_response", 2));
    stall_ar         = int'(argument("stall_ar", 0));
    stall_aw         = int'(argument("stall_aw", 0));
    stall_w          = int'(argument("stall_w", 0));
    stall_r          = int'(argument("stall_r", 0));
    stall_b          = int'(argument("stall_b", 0));
    lfsr             = 32'(argument("stall_seed", 1)) ^ 32'h9e37_79b9;
    if (lfsr == 0) lfsr = 1;
    stall_all_at     = argument("stall_all_at", 0);
    stall_all_cycles = argument("stall_all_cycles", 0);
    may_stall = (stall_ar | stall_aw | stall_w | stall_r | stall_b) != 0 || stall_all_cycles != 0;
    if (read_acceptance > Depth || write_acceptance > Depth || banks > MaxBanks) begin
      $fatal(1, "%m: at most %0d bursts outstanding and %0d banks", Depth, MaxBanks);
    end
    if (command_latency < 1) $fatal(1, "%m: ddr_command_latency must be at least 1");
    if ($value$plusargs("memory=%s", path) != 0) $readmemh(path, mem);
  end

  // ---------------------------------------------------------------- queues of the ports
  // Rings of bursts. Each burst passes the pointers in this order; equal pointers: nothing waits.
  //   reads:  pushed at AR, granted, done at the last R beat
  //   writes: pushed at AW, filled at the last W beat, granted, done at B
  bit [31:0] rd_addr[Ports][Depth], wr_addr[Ports][Depth];
  int rd_beats[Ports][Depth], wr_beats[Ports][Depth];
  longint rd_cycle[Ports][Depth];  // visible to the controller; after the grant: first R beat
  longint wr_cycle[Ports][Depth];  // visible to the controller; after the grant: B
  bit [1:0] rd_resp[Ports][Depth], wr_resp[Ports][Depth];
  bit [63:0] rd_data[Ports][Depth * BurstBeats], wr_data[Ports][Depth * BurstBeats];
  bit [7:0] wr_strb[Ports][Depth * BurstBeats];
  bit [5:0] rd_pushed[Ports], rd_granted[Ports], rd_done[Ports];
  bit [5:0] wr_pushed[Ports], wr_filled[Ports], wr_granted[Ports], wr_done[Ports];
  int rd_outstanding[Ports], wr_outstanding[Ports], wr_unfilled[Ports];
  int rd_waiting[Ports], wr_waiting[Ports];  // queued for the controller
  int rd_unsent[Ports], wr_unsent[Ports];  // granted, not all presented
  int rd_beat[Ports], wr_beat[Ports];
  int rd_count[Ports], wr_count[Ports];  // bursts since the start of the simulation
  int waiting;  // sum of rd_waiting and wr_waiting

  // ---------------------------------------------------------------- memory and controller
  longint cycle, grant_cycle;
  longint bus_free, next_refresh, refreshed;
  longint open_row[MaxBanks], ras_end[MaxBanks], precharge[MaxBanks];
  longint data_start, data_end;
  bit writing, bus_writing;
  int streak, last_reader, last_writer;
  longint row_hits, row_misses, refreshes, busy_ck;

  // First cycle that is not before the tick ck.
  function automatic longint cycle_of(input longint ck);
    cycle_of = (ck * fabric_khz + ddr_khz - 1) / ddr_khz;
  endfunction

  function automatic longint larger(input longint a, input longint b);
    larger = (a > b) ? a : b;
  endfunction

  task automatic restart_time();
    cycle        = 0;
    grant_cycle  = 0;
    bus_free     = 0;
    refreshed    = 0;
    next_refresh = t_refi;
    writing      = 1'b0;
    bus_writing  = 1'b0;
    streak       = 0;
    last_reader  = Ports - 1;
    last_writer  = Ports - 1;
    row_hits     = 0;
    row_misses   = 0;
    refreshes    = 0;
    busy_ck      = 0;
    for (int b = 0; b < MaxBanks; b++) begin
      open_row[b]  = Closed;
      ras_end[b]   = 0;
      precharge[b] = 0;
    end
  endtask

  task automatic clear_queues();
    waiting = 0;
    for (int p = 0; p < Ports; p++) begin
      rd_pushed[p] = 0;
      rd_granted[p] = 0;
      rd_done[p] = 0;
      wr_pushed[p] = 0;
      wr_filled[p] = 0;
      wr_granted[p] = 0;
      wr_done[p] = 0;
      rd_outstanding[p] = 0;
      wr_outstanding[p] = 0;
      wr_unfilled[p] = 0;
      rd_waiting[p] = 0;
      wr_waiting[p] = 0;
      rd_unsent[p] = 0;
      wr_unsent[p] = 0;
      rd_beat[p] = 0;
      wr_beat[p] = 0;
    end
  endtask

  // Place one burst on the data bus (DdrService.serve): sets data_start and data_end.
  task automatic serve(input longint now_ck, input bit is_write, input bit [31:0] address,
                       input int beats);
    longint earliest, page, row, activate, due, ticks;
    bit [5:0] bank;
    earliest = bus_free;
    if (is_write != bus_writing) begin
      earliest += is_write ? turn_read_write : turn_write_read;
      bus_writing = is_write;
    end
    earliest = larger(earliest, now_ck);
    if (earliest >= next_refresh) begin
      due = (earliest - next_refresh) / t_refi + 1;
      next_refresh += due * t_refi;
      refreshes += due;
      refreshed = larger(next_refresh - t_refi, bus_free) + t_rp + t_rfc;
      for (int b = 0; b < banks; b++) open_row[b] = Closed;
    end
    page = longint'(address) / longint'(page_bytes);
    row  = page / longint'(banks);
    bank = 6'(page % longint'(banks));
    data_start = earliest;
    if (open_row[bank] == row) begin
      row_hits++;
    end else begin
      row_misses++;
      if (open_row[bank] == Closed) activate = larger(now_ck, refreshed);
      else activate = larger(now_ck, precharge[bank]) + t_rp;
      open_row[bank] = row;
      ras_end[bank] = activate + t_ras;
      data_start = larger(earliest, activate + t_rcd);
    end
    ticks = (longint'(address) % burst_bytes + 8 * longint'(beats) + burst_bytes - 1)
            / burst_bytes * burst_ck;
    data_end = data_start + ticks;
    busy_ck += ticks;
    bus_free = data_end + (is_write ? write_gap : 0);
    precharge[bank] = larger(data_end + (is_write ? t_wr : 0), ras_end[bank]);
  endtask

  function automatic bit outside(input bit [31:0] address, input int beats);
    bit [31:0] last;
    last = address + 32'(beats) * 8 - 1;
    outside = address < MemBase || last < address || (last - MemBase) / 8 >= MemWords;
  endfunction

  // The read at the head of port p is on the bus: fetch its data, date its first beat.
  task automatic finish_read(input int p);
    bit [5:0] slot;
    int beats, word;
    slot = rd_granted[p];
    beats = rd_beats[p][slot];
    rd_cycle[p][slot] = larger(cycle_of(data_start + read_delay),
                               cycle_of(data_end + read_delay) - longint'(beats) + 1)
                        + read_latency;
    word = int'((rd_addr[p][slot] - MemBase) / 8);
    for (int i = 0; i < beats; i++) begin
      rd_data[p][int'(slot)*BurstBeats+i] = (rd_resp[p][slot] == Okay) ? mem[word+i] : 64'd0;
    end
    rd_granted[p]++;
    rd_waiting[p]--;
    rd_unsent[p]++;
    rd_count[p]++;
    if (p == fault_port && rd_count[p] == fault_read) rd_resp[p][slot] = fault_response;
  endtask

  // The write at the head of port p is on the bus: store its data, date its response.
  task automatic finish_write(input int p);
    bit [5:0] slot;
    bit [63:0] data;
    bit [7:0] strobe;
    bit [9:0] source;
    int word;
    slot = wr_granted[p];
    wr_cycle[p][slot] = cycle_of(data_end + write_delay) + write_latency;
    wr_count[p]++;
    if (p == fault_port && wr_count[p] == fault_write) wr_resp[p][slot] = fault_response;
    if (wr_resp[p][slot] == Okay) begin
      word = int'((wr_addr[p][slot] - MemBase) / 8);
      for (int i = 0; i < wr_beats[p][slot]; i++) begin
        source = 10'(int'(slot) * BurstBeats + i);
        data   = wr_data[p][source];
        strobe = wr_strb[p][source];
        if (strobe == 8'hff) begin
          mem[word+i] = data;
        end else begin
          for (int k = 0; k < 8; k++) if (strobe[k]) mem[word+i][8*k+:8] = data[8*k+:8];
        end
      end
    end
    wr_granted[p]++;
    wr_waiting[p]--;
    wr_unsent[p]++;
  endtask

  // Choose direction and port, serve one burst. Nothing happens where nothing is visible yet.
  task automatic grant();
    bit reads_wait, writes_wait;
    int p;
    reads_wait  = 1'b0;
    writes_wait = 1'b0;
    for (int q = 0; q < Ports; q++) begin
      if (rd_waiting[q] != 0 && rd_cycle[q][rd_granted[q]] <= cycle) reads_wait = 1'b1;
      if (wr_waiting[q] != 0 && wr_cycle[q][wr_granted[q]] <= cycle) writes_wait = 1'b1;
    end
    if (reads_wait && writes_wait) begin
      if (streak >= direction_limit) begin
        writing = !writing;
        streak  = 0;
      end
      streak++;
    end else if (reads_wait || writes_wait) begin
      writing = writes_wait;
      streak  = 0;
    end
    if (reads_wait || writes_wait) begin
      p = writing ? last_writer : last_reader;
      do begin
        p = (p + 1 < Ports) ? p + 1 : 0;
      end while (writing ? (wr_waiting[p] == 0 || wr_cycle[p][wr_granted[p]] > cycle)
                         : (rd_waiting[p] == 0 || rd_cycle[p][rd_granted[p]] > cycle));
      if (writing) begin
        last_writer = p;
        serve(cycle * ddr_khz / fabric_khz + 1, 1'b1, wr_addr[p][wr_granted[p]],
              wr_beats[p][wr_granted[p]]);
        finish_write(p);
      end else begin
        last_reader = p;
        serve(cycle * ddr_khz / fabric_khz + 1, 1'b0, rd_addr[p][rd_granted[p]],
              rd_beats[p][rd_granted[p]]);
        finish_read(p);
      end
      waiting--;
      grant_cycle = cycle + 1;
      if (bus_free > lookahead) grant_cycle = larger(grant_cycle, cycle_of(bus_free - lookahead));
    end
  endtask

  // ---------------------------------------------------------------- stalls
  // Whether a channel with that probability stalls in the next cycle.
  function automatic bit stalls(input int chance);
    stalls = 1'b0;
    if (may_stall) begin
      lfsr ^= lfsr << 13;
      lfsr ^= lfsr >> 17;
      lfsr ^= lfsr << 5;
      stalls = int'(lfsr[15:8]) < chance ||
               (cycle + 1 >= stall_all_at && cycle + 1 < stall_all_at + stall_all_cycles);
    end
  endfunction

  // ---------------------------------------------------------------- the clock
  // Inside the process `cycle` is the cycle that this edge ends.
  always @(posedge clk_i) begin
    if (rst_i) begin
      restart_time();
      clear_queues();
      arready_o <= '1;
      awready_o <= '1;
      wready_o  <= '0;
      rvalid_o  <= '0;
      bvalid_o  <= '0;
    end else begin
      if (time_zero_i) restart_time();
      if (waiting != 0 && cycle >= grant_cycle) grant();

      for (int p = 0; p < Ports; p++) begin
        if (time_zero_i && (rd_outstanding[p] != 0 || wr_outstanding[p] != 0)) begin
          $fatal(1, "%m: time_zero_i while port %0d has bursts in flight", p);
        end
        // AR
        if (arvalid_i[p] && arready_o[p]) begin
          if (arlen_i[p] >= 8'(BurstBeats) || araddr_i[p][2:0] != 0) begin
            $fatal(1, "%m: port %0d reads %0d beats at %h", p, arlen_i[p] + 9'd1, araddr_i[p]);
          end
          rd_addr[p][rd_pushed[p]] = araddr_i[p];
          rd_beats[p][rd_pushed[p]] = int'(arlen_i[p]) + 1;
          rd_cycle[p][rd_pushed[p]] = cycle + command_latency;
          rd_resp[p][rd_pushed[p]] = outside(araddr_i[p], int'(arlen_i[p]) + 1) ? Decerr : Okay;
          rd_pushed[p]++;
          rd_waiting[p]++;
          rd_outstanding[p]++;
          waiting++;
        end
        // AW
        if (awvalid_i[p] && awready_o[p]) begin
          if (awlen_i[p] >= 8'(BurstBeats) || awaddr_i[p][2:0] != 0) begin
            $fatal(1, "%m: port %0d writes %0d beats at %h", p, awlen_i[p] + 9'd1, awaddr_i[p]);
          end
          wr_addr[p][wr_pushed[p]] = awaddr_i[p];
          wr_beats[p][wr_pushed[p]] = int'(awlen_i[p]) + 1;
          wr_resp[p][wr_pushed[p]] = outside(awaddr_i[p], int'(awlen_i[p]) + 1) ? Decerr : Okay;
          wr_pushed[p]++;
          wr_unfilled[p]++;
          wr_outstanding[p]++;
        end
        // W
        if (wvalid_i[p] && wready_o[p]) begin
          wr_data[p][int'(wr_filled[p])*BurstBeats+wr_beat[p]] = wdata_i[p];
          wr_strb[p][int'(wr_filled[p])*BurstBeats+wr_beat[p]] = wstrb_i[p];
          wr_beat[p]++;
          if (wlast_i[p] != (wr_beat[p] == wr_beats[p][wr_filled[p]])) begin
            $fatal(1, "%m: port %0d gives wlast %b at beat %0d of %0d", p, wlast_i[p], wr_beat[p],
                   wr_beats[p][wr_filled[p]]);
          end
          if (wlast_i[p]) begin
            wr_beat[p] = 0;
            wr_cycle[p][wr_filled[p]] = cycle + command_latency;
            wr_filled[p]++;
            wr_unfilled[p]--;
            wr_waiting[p]++;
            waiting++;
          end
        end
        // R
        if (rvalid_o[p] && rready_i[p] && rlast_o[p]) rd_outstanding[p]--;
        if (!rvalid_o[p] || rready_i[p]) begin
          if (rd_unsent[p] != 0 && (rd_beat[p] != 0 || rd_cycle[p][rd_done[p]] <= cycle + 1)
              && !stalls(stall_r)) begin
            rvalid_o[p] <= 1'b1;
            rdata_o[p]  <= rd_data[p][int'(rd_done[p])*BurstBeats+rd_beat[p]];
            rresp_o[p]  <= rd_resp[p][rd_done[p]];
            rd_beat[p]++;
            if (rd_beat[p] == rd_beats[p][rd_done[p]]) begin
              rlast_o[p] <= 1'b1;
              rd_beat[p] = 0;
              rd_done[p]++;
              rd_unsent[p]--;
            end else begin
              rlast_o[p] <= 1'b0;
            end
          end else begin
            rvalid_o[p] <= 1'b0;
          end
        end
        // B
        if (bvalid_o[p] && bready_i[p]) wr_outstanding[p]--;
        if (!bvalid_o[p] || bready_i[p]) begin
          if (wr_unsent[p] != 0 && wr_cycle[p][wr_done[p]] <= cycle + 1
              && !stalls(stall_b)) begin
            bvalid_o[p] <= 1'b1;
            bresp_o[p]  <= wr_resp[p][wr_done[p]];
            wr_done[p]++;
            wr_unsent[p]--;
          end else begin
            bvalid_o[p] <= 1'b0;
          end
        end
        arready_o[p] <= rd_outstanding[p] < read_acceptance && !stalls(stall_ar);
        awready_o[p] <= wr_outstanding[p] < write_acceptance && !stalls(stall_aw);
        wready_o[p]  <= wr_unfilled[p] != 0 && !stalls(stall_w);
      end
      cycle++;
    end
  end

  always @(posedge clk_i) begin
    string path;
    if (dump_i) begin
      if ($value$plusargs("memory_out=%s", path) == 0) $fatal(1, "%m: +memory_out=FILE is missing");
      $writememh(path, mem);
    end
    if (load_i) begin
      if ($value$plusargs("memory_load=%s", path) == 0) begin
        $fatal(1, "%m: +memory_load=FILE is missing");
      end
      $readmemh(path, mem);
    end
  end
  /* verilator lint_on BLKSEQ */
endmodule

`default_nettype wire
