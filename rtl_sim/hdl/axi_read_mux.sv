// Merges up to three read masters (0 program, 1 weight, 2 load; those in Mask) into one AXI port.
//
// Round robin: at cycle c, if the output register is empty or accepted by the slave at c, the
// requesting master next after the last granted one (cyclic 0, 1, 2; after reset: 0 first) is
// accepted; ARVALID is up at c+1. R beats go without delay to the owner of the oldest unfinished
// burst; data, response and last are broadcast, r_valid_o selects. OwnerDepth must be at least the
// sum of the masters' Outstanding. RREADY is always 1. All AR outputs are registers.
`default_nettype none

module axi_read_mux #(
  parameter logic [2:0] Mask = 3'b111,
  parameter int OwnerDepth = 16
) (
  input  logic             clk_i,
  input  logic             rst_i,

  input  logic [2:0]       ar_valid_i,
  output logic [2:0]       ar_ready_o,
  input  logic [2:0][31:0] ar_address_i,
  input  logic [2:0][3:0]  ar_len_i,

  output logic [2:0]       r_valid_o,
  output logic [63:0]      r_data_o,
  output logic [1:0]       r_resp_o,
  output logic             r_last_o,

  output logic             axi_arvalid_o,
  input  logic             axi_arready_i,
  output logic [31:0]      axi_araddr_o,
  output logic [3:0]       axi_arlen_o,
  output logic [2:0]       axi_arsize_o,
  output logic [1:0]       axi_arburst_o,

  input  logic             axi_rvalid_i,
  output logic             axi_rready_o,
  input  logic [63:0]      axi_rdata_i,
  input  logic [1:0]       axi_rresp_i,
  input  logic             axi_rlast_i
);

  logic [2:0] request, grant;
  logic [1:0] last_q, winner;
  logic       take;

  assign request = ar_valid_i & Mask;
  assign take    = (!axi_arvalid_o || axi_arready_i) && request != 3'b000;

  always_comb begin
    case (last_q)
      2'd0:    winner = request[1] ? 2'd1 : request[2] ? 2'd2 : 2'd0;
      2'd1:    winner = request[2] ? 2'd2 : request[0] ? 2'd0 : 2'd1;
      default: winner = request[0] ? 2'd0 : request[1] ? 2'd1 : 2'd2;
    endcase
    grant = 3'b000;
    if (take) grant = 3'b001 << winner;
  end

  assign ar_ready_o = grant;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      axi_arvalid_o <= 1'b0;
      last_q        <= 2'd2;
    end else if (take) begin
      axi_arvalid_o <= 1'b1;
      last_q        <= winner;
    end else if (axi_arready_i) begin
      axi_arvalid_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      axi_araddr_o <= (ar_address_i[0] & {32{grant[0]}}) | (ar_address_i[1] & {32{grant[1]}}) |
                      (ar_address_i[2] & {32{grant[2]}});
      axi_arlen_o  <= (ar_len_i[0] & {4{grant[0]}}) | (ar_len_i[1] & {4{grant[1]}}) |
                      (ar_len_i[2] & {4{grant[2]}});
    end
  end

  assign axi_arsize_o  = 3'd3;
  assign axi_arburst_o = 2'b01;
  assign axi_rready_o  = 1'b1;
  assign r_data_o      = axi_rdata_i;
  assign r_resp_o      = axi_rresp_i;
  assign r_last_o      = axi_rlast_i;

  if (Mask == 3'b001 || Mask == 3'b010 || Mask == 3'b100) begin : gen_one
    assign r_valid_o = axi_rvalid_i ? Mask : 3'b000;
  end else begin : gen_many
    localparam int CountBits = $clog2(OwnerDepth + 1);
    logic [1:0]           owner;
    logic                 owner_valid, owner_full;
    logic [CountBits-1:0] owner_count;

    sync_fifo #(
      .Width     (2),
      .Depth     (OwnerDepth),
      .Registered(1)
    ) u_owners (
      .clk_i,
      .rst_i,
      .push_i (take),
      .data_i (winner),
      .full_o (owner_full),
      .pop_i  (axi_rvalid_i && axi_rlast_i),
      .valid_o(owner_valid),
      .data_o (owner),
      .count_o(owner_count)
    );

    assign r_valid_o = axi_rvalid_i ? 3'b001 << owner : 3'b000;

    logic unused_owner;
    assign unused_owner = ^{owner_valid, owner_full, owner_count};
  end

endmodule

`default_nettype wire
