// Cuts segments (address, beats) into INCR bursts of at most 16 beats that never cross 4 KB: what
// the read and the write master have in common.
//
// States IDLE, CALC, REQ. A segment taken in IDLE at cycle a has its first request (req_valid_o) at
// a+2; a request accepted at g is followed by the next at g+2, after the last one a new segment can
// be taken at g+1. CALC stays while Outstanding bursts are in flight (+1 the cycle after an accept,
// -1 the cycle after done_i) or with halt_i. idle_o: no request is up and nothing is in flight. The
// low three address bits are ignored. req_len_o is beats - 1. A segment has at least one beat.
`default_nettype none

module axi_burst_request #(
  parameter int Outstanding = 4
) (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic        halt_i,
  output logic        idle_o,

  input  logic        seg_valid_i,
  output logic        seg_ready_o,
  input  logic [31:0] seg_address_i,
  input  logic [23:0] seg_beats_i,

  output logic        req_valid_o,
  input  logic        req_ready_i,
  output logic [31:0] req_address_o,
  output logic [3:0]  req_len_o,
  output logic        req_last_o,  // the segment's last burst

  input  logic        done_i  // a burst is finished
);

  localparam int CountBits = $clog2(Outstanding + 1);
  localparam logic [1:0] StIdle = 2'd0;
  localparam logic [1:0] StCalc = 2'd1;
  localparam logic [1:0] StReq = 2'd2;

  logic [1:0]           state_q;
  logic [28:0]          address_q;  // in beats
  logic [23:0]          left_q;
  logic [4:0]           len_q;
  logic [3:0]           len_minus1_q;
  logic                 last_burst_q;
  logic [CountBits-1:0] outstanding_q;
  logic                 seg_accept, req_accept;

  assign seg_ready_o   = state_q == StIdle;
  assign seg_accept    = seg_valid_i && seg_ready_o;
  assign req_valid_o   = state_q == StReq;
  assign req_accept    = req_valid_o && req_ready_i;
  assign req_address_o = {address_q, 3'b000};
  assign req_len_o     = len_minus1_q;
  assign req_last_o    = last_burst_q;
  assign idle_o        = state_q != StReq && outstanding_q == '0;

  // The least of 16, the beats to the 4 KB boundary and the beats left. All but the last 16 beats
  // of a page are 16 or more away from its end.
  logic [4:0] page, len;
  logic       last_burst;

  assign page       = (&address_q[8:4]) ? 5'd16 - {1'b0, address_q[3:0]} : 5'd16;
  assign last_burst = left_q[23:5] == 19'd0 && left_q[4:0] <= page;
  assign len        = last_burst ? left_q[4:0] : page;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q       <= StIdle;
      outstanding_q <= '0;
    end else begin
      case (state_q)
        StIdle: if (seg_accept) state_q <= StCalc;
        StCalc: if (!halt_i && outstanding_q < CountBits'(Outstanding)) state_q <= StReq;
        default: if (req_accept) state_q <= last_burst_q ? StIdle : StCalc;
      endcase
      if (req_accept != done_i) begin
        outstanding_q <= req_accept ? outstanding_q + CountBits'(1)
                                    : outstanding_q - CountBits'(1);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (seg_accept) begin
      address_q <= seg_address_i[31:3];
      left_q    <= seg_beats_i;
    end else if (req_accept) begin
      address_q <= address_q + {24'd0, len_q};
      left_q    <= left_q - {19'd0, len_q};
    end
    if (state_q == StCalc) begin
      len_q        <= len;
      len_minus1_q <= 4'(len - 5'd1);
      last_burst_q <= last_burst;
    end
  end

  logic unused_address;
  assign unused_address = ^seg_address_i[2:0];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && seg_accept && seg_beats_i == '0) $fatal(1, "%m: segment of no beats");
    if (!rst_i && done_i && outstanding_q == '0) $fatal(1, "%m: the end of a burst nobody began");
  end
`endif

endmodule

`default_nettype wire
