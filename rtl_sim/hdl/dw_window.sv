// Sliding window of the depth-wise unit: a line buffer of Kernel - 1 rows and Kernel x Kernel cells.
//
// A position (read_i, col_i) is announced at cycle c; its features come in pixel_i at c + 2; the
// window holds it in cell (0, 0) from c + 3 on and stays until the next position. Cell (i, j) is at
// window_o[(i*Kernel + j)*PixelBits +: PixelBits], i rows up and j columns left of the newest. One
// position a cycle, in raster order; what lies before the first row or column is left over from
// before, so the user must not emit there. No reset.
`default_nettype none

module dw_window #(
  parameter int Kernel = 3,
  parameter int PixelBits = 32,
  parameter int LineWords = 512,
  localparam int ColBits = (LineWords > 1) ? $clog2(LineWords) : 1
) (
  input  wire                                   clk_i,
  input  wire                                   read_i,
  input  wire  [ColBits-1:0]                    col_i,
  input  wire  [PixelBits-1:0]                  pixel_i,
  output logic [Kernel*Kernel*PixelBits-1:0]    window_o
);
  localparam int LineBits = (Kernel - 1) * PixelBits;

  logic read1_q, read2_q;
  logic [ColBits-1:0] col1_q, col2_q;
  logic [LineBits-1:0] line;
  logic [Kernel*PixelBits-1:0] column;  // newest row lowest

  always_ff @(posedge clk_i) begin
    read1_q <= read_i;
    read2_q <= read1_q;
    if (read_i) col1_q <= col_i;
    if (read1_q) col2_q <= col1_q;
  end

  assign column = {line, pixel_i};

  ram_sdp #(
    .Width(LineBits),
    .Depth(LineWords)
  ) u_line (
    .clk_i,
    .we_i   (read2_q),
    .waddr_i(col2_q),
    .wdata_i(column[LineBits-1:0]),
    .re_i   (read_i),
    .raddr_i(col_i),
    .rdata_o(line)
  );

  for (genvar i = 0; i < Kernel; i++) begin : gen_row
    for (genvar j = 0; j < Kernel; j++) begin : gen_cell
      logic [PixelBits-1:0] cell_q;
      if (j == 0) begin : gen_newest
        always_ff @(posedge clk_i) if (read2_q) cell_q <= column[i*PixelBits+:PixelBits];
      end else begin : gen_older
        always_ff @(posedge clk_i) if (read2_q) cell_q <= gen_row[i].gen_cell[j-1].cell_q;
      end
      assign window_o[(i*Kernel+j)*PixelBits+:PixelBits] = cell_q;
    end
  end
endmodule

`default_nettype wire
