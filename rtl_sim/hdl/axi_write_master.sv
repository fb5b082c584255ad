// Writes segments (address, beats) from a data stream in INCR bursts of at most 16 beats, never
// across 4 KB.
//
// Requests are timed as axi_burst_request says: a segment taken at a has AWVALID at a+2, the next burst
// follows an accept at g with AWVALID at g+2. Its W beats start at
// max(g + 2, last beat of the burst before + 1), one a cycle while WREADY, and for as long as
// data_valid_i holds (the source must prefetch so that it does). At most Outstanding bursts are
// between AW accept and B. A segment's seg_last_i comes back as response_last_o at the B of its last
// burst. response_error_o: a B that is not OKAY. With halt_i no new burst is started, W beats of
// accepted bursts are still sent; idle_o: no request up, every B received. BREADY is always 1.
`default_nettype none

module axi_write_master #(
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
  input  logic        seg_last_i,

  input  logic        data_valid_i,
  output logic        data_ready_o,
  input  logic [63:0] data_i,

  output logic        response_last_o,
  output logic        error_o,
  output logic [1:0]  error_response_o,

  output logic        axi_awvalid_o,
  input  logic        axi_awready_i,
  output logic [31:0] axi_awaddr_o,
  output logic [3:0]  axi_awlen_o,
  output logic [2:0]  axi_awsize_o,
  output logic [1:0]  axi_awburst_o,

  output logic        axi_wvalid_o,
  input  logic        axi_wready_i,
  output logic [63:0] axi_wdata_o,
  output logic [7:0]  axi_wstrb_o,
  output logic        axi_wlast_o,

  input  logic        axi_bvalid_i,
  output logic        axi_bready_o,
  input  logic [1:0]  axi_bresp_i
);

  localparam int CountBits = $clog2(Outstanding + 1);

  // ---- requests ----
  logic seg_last_q, aw_accept, last_burst;

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
    .req_valid_o  (axi_awvalid_o),
    .req_ready_i  (axi_awready_i),
    .req_address_o(axi_awaddr_o),
    .req_len_o    (axi_awlen_o),
    .req_last_o   (last_burst),
    .done_i       (axi_bvalid_i)
  );

  assign aw_accept     = axi_awvalid_o && axi_awready_i;
  assign axi_awsize_o  = 3'd3;
  assign axi_awburst_o = 2'b01;

  always_ff @(posedge clk_i) begin
    if (seg_valid_i && seg_ready_o) seg_last_q <= seg_last_i;
  end

  // ---- write data ----
  logic       queue_valid, queue_full, queue_pop;
  logic [3:0] queue_len;
  logic       sending_q;
  logic [3:0] beats_q;  // after the present one
  logic       w_accept, w_accept_last;
  logic [CountBits-1:0] queue_count;

  sync_fifo #(
    .Width(4),
    .Depth(Outstanding)
  ) u_bursts (
    .clk_i,
    .rst_i,
    .push_i (aw_accept),
    .data_i (axi_awlen_o),
    .full_o (queue_full),
    .pop_i  (queue_pop),
    .valid_o(queue_valid),
    .data_o (queue_len),
    .count_o(queue_count)
  );

  assign axi_wvalid_o  = sending_q && data_valid_i;
  assign axi_wdata_o   = data_i;
  assign axi_wstrb_o   = 8'hff;
  assign axi_wlast_o   = beats_q == 4'd0;
  assign data_ready_o  = sending_q && axi_wready_i;
  assign w_accept      = axi_wvalid_o && axi_wready_i;
  assign w_accept_last = w_accept && axi_wlast_o;
  assign queue_pop     = queue_valid && (!sending_q || w_accept_last);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      sending_q <= 1'b0;
    end else if (queue_pop) begin
      sending_q <= 1'b1;
    end else if (w_accept_last) begin
      sending_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (queue_pop) beats_q <= queue_len;
    else if (w_accept) beats_q <= beats_q - 4'd1;
  end

  // ---- responses ----
  logic tag_valid, tag_full, tag;
  logic [CountBits-1:0] tag_count;

  sync_fifo #(
    .Width(1),
    .Depth(Outstanding)
  ) u_tags (
    .clk_i,
    .rst_i,
    .push_i (aw_accept),
    .data_i (seg_last_q && last_burst),
    .full_o (tag_full),
    .pop_i  (axi_bvalid_i),
    .valid_o(tag_valid),
    .data_o (tag),
    .count_o(tag_count)
  );

  assign axi_bready_o     = 1'b1;
  assign response_last_o  = axi_bvalid_i && tag;
  assign error_o          = axi_bvalid_i && axi_bresp_i != 2'b00;
  assign error_response_o = axi_bresp_i;

  logic unused;
  assign unused = ^{queue_full, queue_count, tag_valid, tag_full, tag_count};

endmodule

`default_nettype wire
