// Reads segments (address, beats) in INCR bursts of at most 16 beats, never across 4 KB.
//
// Requests are timed as axi_burst_request says: a segment taken at a has its first ARVALID at a+2, a
// burst accepted at g is followed by the next ARVALID at g+2, after the last one a new segment can
// be taken at g+1. A burst is in flight until the cycle of its last R beat. R beats pass through
// without delay, RREADY is always 1. With halt_i no new burst is started; idle_o says that no
// request is up and nothing is in flight.
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

  logic last_burst;

  axi_burst_request #(
    .Outstanding(Outstanding)
  ) u_request (
    .clk_i,
    .rst_i,
    .halt_i,
    .idle_o,
    .seg_valid_i,
    .seg_ready_o,
    .seg_address_i,
    .seg_beats_i,
    .req_valid_o  (ar_valid_o),
    .req_ready_i  (ar_ready_i),
    .req_address_o(ar_address_o),
    .req_len_o    (ar_len_o),
    .req_last_o   (last_burst),
    .done_i       (r_valid_i && r_last_i)
  );

  assign beat_valid_o     = r_valid_i;
  assign beat_data_o      = r_data_i;
  assign error_o          = r_valid_i && r_resp_i != 2'b00;
  assign error_response_o = r_resp_i;

  logic unused;
  assign unused = last_burst;

endmodule

`default_nettype wire
