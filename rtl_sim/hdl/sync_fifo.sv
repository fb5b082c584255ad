// FIFO on one clock, as used for commands, prefetched beats and tags.
//
// A word pushed at cycle c is at data_o with valid_o at c+1 at the earliest; a word popped at c is
// gone at c+1. full_o, valid_o and count_o are registers (full: count == Depth), so a
// pop at c makes room that the pusher sees at c+1. One push and one pop a cycle. Pushing while full
// or popping while empty is the caller's mistake. Depth need not be a power of two. data_o comes from
// LUT RAM, or with Registered = 1 from a register that holds the oldest word; the cycles are the same.
`default_nettype none

module sync_fifo #(
  parameter int Width = 32,
  parameter int Depth = 4,
  parameter int Registered = 0,
  localparam int CountBits = $clog2(Depth + 1)
) (
  input  logic                 clk_i,
  input  logic                 rst_i,

  input  logic                 push_i,
  input  logic [Width-1:0]     data_i,
  output logic                 full_o,

  input  logic                 pop_i,
  output logic                 valid_o,
  output logic [Width-1:0]     data_o,

  output logic [CountBits-1:0] count_o
);

  localparam int PointerBits = (Depth > 1) ? $clog2(Depth) : 1;
  localparam logic [PointerBits-1:0] LastPointer = PointerBits'(Depth - 1);

  (* ram_style = "distributed" *) logic [Width-1:0] mem [Depth];

  logic [PointerBits-1:0] write_q, read_q;
  logic [CountBits-1:0]   count_q;
  logic                   full_q, valid_q;

  assign full_o  = full_q;
  assign valid_o = valid_q;
  assign count_o = count_q;

  if (Registered != 0) begin : gen_registered
    // The RAM is read one word ahead; a word that finds the FIFO empty, or is the only one after a
    // pop, passes it by.
    logic [Width-1:0]       head_q;
    logic [PointerBits-1:0] second;
    assign second = (read_q == LastPointer) ? '0 : read_q + PointerBits'(1);
    assign data_o = head_q;
    always_ff @(posedge clk_i) begin
      if (push_i && (!valid_q || (pop_i && count_q == CountBits'(1)))) head_q <= data_i;
      else if (pop_i) head_q <= mem[second];
    end
  end else begin : gen_direct
    assign data_o = mem[read_q];
  end

  always_ff @(posedge clk_i) begin
    if (push_i) mem[write_q] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q <= '0;
      read_q  <= '0;
      count_q <= '0;
      full_q  <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      if (push_i) write_q <= (write_q == LastPointer) ? '0 : write_q + PointerBits'(1);
      if (pop_i) read_q <= (read_q == LastPointer) ? '0 : read_q + PointerBits'(1);
      if (push_i && !pop_i) begin
        count_q <= count_q + CountBits'(1);
        full_q  <= count_q == CountBits'(Depth - 1);
        valid_q <= 1'b1;
      end else if (pop_i && !push_i) begin
        count_q <= count_q - CountBits'(1);
        full_q  <= 1'b0;
        valid_q <= count_q != CountBits'(1);
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && push_i && full_o) $fatal(1, "%m: push while full");
    if (!rst_i && pop_i && !valid_o) $fatal(1, "%m: pop while empty");
  end
`endif

endmodule

`default_nettype wire
