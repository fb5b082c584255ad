// Simple dual-port RAM: one write port, one read port, one clock.
//
// Latency: an address with re_i at cycle c gives rdata_o at c+2 (memory register, output register);
// rdata_o keeps its value until the next read arrives. One read and one write a cycle. A read sees
// every write of earlier cycles; reading the word that is written in the same cycle is undefined.
// Distributed = 0 asks for block RAM, 1 for LUT RAM. No reset.
`default_nettype none

module ram_sdp #(
  parameter int Width = 64,
  parameter int Depth = 512,
  parameter int Distributed = 0,
  localparam int AddrBits = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  logic                clk_i,

  input  logic                we_i,
  input  logic [AddrBits-1:0] waddr_i,
  input  logic [Width-1:0]    wdata_i,

  input  logic                re_i,
  input  logic [AddrBits-1:0] raddr_i,
  output logic [Width-1:0]    rdata_o
);

  logic [Width-1:0] read_q;
  logic             re_q;

  if (Distributed != 0) begin : gen_distributed
    (* ram_style = "distributed" *) logic [Width-1:0] mem [Depth];
    always_ff @(posedge clk_i) begin
      if (we_i) mem[waddr_i] <= wdata_i;
      if (re_i) read_q <= mem[raddr_i];
    end
  end else begin : gen_block
    (* ram_style = "block" *) logic [Width-1:0] mem [Depth];
    always_ff @(posedge clk_i) begin
      if (we_i) mem[waddr_i] <= wdata_i;
      if (re_i) read_q <= mem[raddr_i];
    end
  end

  always_ff @(posedge clk_i) begin
    re_q <= re_i;
    if (re_q) rdata_o <= read_q;
  end

endmodule

`default_nettype wire
