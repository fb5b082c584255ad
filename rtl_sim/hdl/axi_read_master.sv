// Cuts segments (address, beats) into INCR bursts of at most 16 beats that never cross 4 KB.
//
// A segment taken in IDLE at cycle a has its first ARVALID at a+2; a burst accepted at g is followed
// by the next ARVALID at g+2, after the last one a new segment can be taken at g+1. At most
// Outstanding bursts are in flight (+1 the cycle after the accept, -1 the cycle after the last R
// beat). R beats pass through without delay, RREADY is always 1. With halt_i no new burst is
// started; idle_o says that no request is up and nothing is in flight. The low three address bits
// are ignored. ar_len_o is beats - 1. A segment has at least one beat.
`default_nettype none

module axi_read_master #(
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

  output logic        ar_valid_o,
  input  logic        ar_ready_i,
  output logic [31:0] ar_address_o,
  output logic [3:0]  ar_len_o,

  input  logic        r_valid_i,
  input  logic [63:0] r_data_i,
  input  logic [1:0]  r_resp_i,
  input  logic        r_last_i,

  output logic        beat_valid_o,
  output logic [63:0] beat_data_o,
  output logic        error_o,
  output logic [1:0]  error_response_o
);

  localparam int CountBits = $clog2(Outstanding + 1);
  localparam logic [1:0] StIdle = 2'd0;
  localparam logic [1:0] StCalc = 2'd1;
  localparam logic [1:0] StReq = 2'd2;

  logic [1:0]           state_q;
  logic [28:0]          address_q;  // in beats
  logic [23:0]          left_q;
  logic [4:0]           len_q;
  logic                 last_burst_q;
  logic [CountBits-1:0] outstanding_q;

  // Beats to the 4 KB boundary, the segment's end, or 16.
  logic [9:0] boundary;
  logic [4:0] len;

  assign boundary = 10'd512 - {1'b0, address_q[8:0]};

  always_comb begin
    len = 5'd16;
    if (boundary < 10'd16) len = boundary[4:0];
    if (left_q < {19'd0, len}) len = left_q[4:0];
  end

  logic seg_accept, ar_accept, burst_done;

  assign seg_ready_o  = state_q == StIdle;
  assign seg_accept   = seg_valid_i && seg_ready_o;
  assign ar_valid_o   = state_q == StReq;
  assign ar_accept    = ar_valid_o && ar_ready_i;
  assign ar_address_o = {address_q, 3'b000};
  assign ar_len_o     = 4'(len_q - 5'd1);
  assign burst_done   = r_valid_i && r_last_i;
  assign idle_o       = state_q != StReq && outstanding_q == '0;

  assign beat_valid_o     = r_valid_i;
  assign beat_data_o      = r_data_i;
  assign error_o          = r_valid_i && r_resp_i != 2'b00;
  assign error_response_o = r_resp_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q       <= StIdle;
      outstanding_q <= '0;
    end else begin
      case (state_q)
        StIdle: if (seg_accept) state_q <= StCalc;
        StCalc: if (!halt_i && outstanding_q < CountBits'(Outstanding)) state_q <= StReq;
        default: if (ar_accept) state_q <= last_burst_q ? StIdle : StCalc;
      endcase
      if (ar_accept != burst_done) begin
        outstanding_q <= ar_accept ? outstanding_q + CountBits'(1) : outstanding_q - CountBits'(1);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (seg_accept) begin
      address_q <= seg_address_i[31:3];
      left_q    <= seg_beats_i;
    end
    if (state_q == StCalc) begin
      len_q        <= len;
      last_burst_q <= left_q == {19'd0, len};
    end
    if (ar_accept) begin
      address_q <= address_q + {24'd0, len_q};
      left_q    <= left_q - {19'd0, len_q};
    end
  end

  logic unused_address;
  assign unused_address = ^seg_address_i[2:0];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && seg_accept && seg_beats_i == '0) $fatal(1, "%m: segment of no beats");
    if (!rst_i && burst_done && outstanding_q == '0) $fatal(1, "%m: read data nobody asked for");
  end
`endif

endmodule

`default_nettype wire
