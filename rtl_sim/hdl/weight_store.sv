// Weights and parameters of the groups one convolution unit works on: two rings with credits.
//
// Write side (weight_load): reserve_i takes room for a group out of free_words_o/free_params_o;
// chunks and parameters are then written in order, the ring pointers move at the last chunk of a
// word and the last lane of a parameter word; post_i makes the group visible.
// Read side: an offset counts from the first word of the oldest group whose words (or parameters)
// are not released, wrap-around is handled here. Data two cycles after the offset, whole words.
// release_words_i gives the words of the oldest group back and takes it out of groups_ready_o,
// release_params_i its parameters, at the same cycle or later. Reserve, post and releases may fall
// in one cycle; each shows in the registers of the next. Depths need not be powers of two.
// A word is kept as ceil(WordBits / 64) block RAMs, a parameter word as one 48-bit RAM a lane
// (bias 31:0, mult 47:32), in LUTs up to 64 words.
`default_nettype none

module weight_store #(
  parameter int WordBits = 256,
  parameter int WordDepth = 512,
  parameter int ParamLanes = 4,
  parameter int ParamDepth = 64,
  parameter int OffsetBits = 12,
  localparam int WordBeats = (WordBits + 63) / 64,
  localparam int ChunkBits = (WordBeats > 1) ? $clog2(WordBeats) : 1,
  localparam int LaneBits = (ParamLanes > 1) ? $clog2(ParamLanes) : 1
) (
  input  logic                        clk_i,
  input  logic                        rst_i,

  // Credits and groups
  input  logic                        reserve_i,
  input  logic [11:0]                 reserve_words_i,
  input  logic [7:0]                  reserve_params_i,
  input  logic                        post_i,
  input  logic                        release_words_i,
  input  logic [11:0]                 release_words_count_i,
  input  logic                        release_params_i,
  input  logic [7:0]                  release_params_count_i,
  output logic [15:0]                 free_words_o,
  output logic [15:0]                 free_params_o,
  output logic [12:0]                 groups_ready_o,

  // Write side
  input  logic                        word_we_i,
  input  logic [ChunkBits-1:0]        word_chunk_i,
  input  logic                        word_last_i,
  input  logic                        param_we_i,
  input  logic [LaneBits-1:0]         param_lane_i,
  input  logic                        param_last_i,
  input  logic [63:0]                 data_i,

  // Read side
  input  logic                        word_re_i,
  input  logic [OffsetBits-1:0]       word_offset_i,
  output logic [WordBits-1:0]         word_data_o,
  input  logic                        param_re_i,
  input  logic [OffsetBits-1:0]       param_offset_i,
  output logic [ParamLanes-1:0][47:0] param_data_o
);

  localparam int WordAddrBits = (WordDepth > 1) ? $clog2(WordDepth) : 1;
  localparam int ParamAddrBits = (ParamDepth > 1) ? $clog2(ParamDepth) : 1;

  // base + offset around the ring, for offset <= depth. Both sums side by side keep the path short.
  function automatic logic [WordAddrBits-1:0] word_wrap(
    input logic [WordAddrBits-1:0] base, input logic [WordAddrBits:0] offset);
    logic [WordAddrBits-1:0] sum;
    logic [WordAddrBits+1:0] over;
    sum  = base + WordAddrBits'(offset);
    over = {2'b00, base} + {1'b0, offset} - (WordAddrBits + 2)'(WordDepth);
    word_wrap = over[WordAddrBits+1] ? sum : WordAddrBits'(over);
  endfunction

  function automatic logic [ParamAddrBits-1:0] param_wrap(
    input logic [ParamAddrBits-1:0] base, input logic [ParamAddrBits:0] offset);
    logic [ParamAddrBits-1:0] sum;
    logic [ParamAddrBits+1:0] over;
    sum  = base + ParamAddrBits'(offset);
    over = {2'b00, base} + {1'b0, offset} - (ParamAddrBits + 2)'(ParamDepth);
    param_wrap = over[ParamAddrBits+1] ? sum : ParamAddrBits'(over);
  endfunction

  // ---- credits and bases ----
  logic [WordAddrBits-1:0]  word_base_q;
  logic [ParamAddrBits-1:0] param_base_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      free_words_o   <= 16'(WordDepth);
      free_params_o  <= 16'(ParamDepth);
      groups_ready_o <= 13'd0;
      word_base_q    <= '0;
      param_base_q   <= '0;
    end else begin
      if (reserve_i || release_words_i) begin
        free_words_o <= free_words_o - (reserve_i ? {4'd0, reserve_words_i} : 16'd0)
                                     + (release_words_i ? {4'd0, release_words_count_i} : 16'd0);
      end
      if (reserve_i || release_params_i) begin
        free_params_o <= free_params_o - (reserve_i ? {8'd0, reserve_params_i} : 16'd0)
                                       + (release_params_i ? {8'd0, release_params_count_i} : 16'd0);
      end
      if (post_i != release_words_i) begin
        groups_ready_o <= post_i ? groups_ready_o + 13'd1 : groups_ready_o - 13'd1;
      end
      if (release_words_i) begin
        word_base_q <= word_wrap(word_base_q, (WordAddrBits + 1)'(release_words_count_i));
      end
      if (release_params_i) begin
        param_base_q <= param_wrap(param_base_q, (ParamAddrBits + 1)'(release_params_count_i));
      end
    end
  end

  // ---- write side ----
  logic [WordAddrBits-1:0]  word_write_q;
  logic [ParamAddrBits-1:0] param_write_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      word_write_q  <= '0;
      param_write_q <= '0;
    end else begin
      if (word_we_i && word_last_i) begin
        word_write_q <= word_wrap(word_write_q, (WordAddrBits + 1)'(1));
      end
      if (param_we_i && param_last_i) begin
        param_write_q <= param_wrap(param_write_q, (ParamAddrBits + 1)'(1));
      end
    end
  end

  // ---- memories ----
  logic [WordAddrBits-1:0]  word_addr;
  logic [ParamAddrBits-1:0] param_addr;

  assign word_addr  = word_wrap(word_base_q, (WordAddrBits + 1)'(word_offset_i));
  assign param_addr = param_wrap(param_base_q, (ParamAddrBits + 1)'(param_offset_i));

  for (genvar j = 0; j < WordBeats; j++) begin : gen_chunk
    localparam int Bits = (j == WordBeats - 1) ? WordBits - 64 * j : 64;
    ram_sdp #(
      .Width(Bits),
      .Depth(WordDepth)
    ) u_ram (
      .clk_i,
      .we_i   (word_we_i && word_chunk_i == ChunkBits'(j)),
      .waddr_i(word_write_q),
      .wdata_i(data_i[Bits-1:0]),
      .re_i   (word_re_i),
      .raddr_i(word_addr),
      .rdata_o(word_data_o[64*j +: Bits])
    );
  end

  for (genvar l = 0; l < ParamLanes; l++) begin : gen_param
    ram_sdp #(
      .Width(48),
      .Depth(ParamDepth),
      .Distributed(ParamDepth <= 64 ? 1 : 0)
    ) u_ram (
      .clk_i,
      .we_i   (param_we_i && param_lane_i == LaneBits'(l)),
      .waddr_i(param_write_q),
      .wdata_i(data_i[47:0]),
      .re_i   (param_re_i),
      .raddr_i(param_addr),
      .rdata_o(param_data_o[l])
    );
  end

  logic unused;
  assign unused = ^{word_offset_i, param_offset_i, release_words_count_i, release_params_count_i,
                    data_i};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && reserve_i && (free_words_o < {4'd0, reserve_words_i} ||
                                free_params_o < {8'd0, reserve_params_i}))
      $fatal(1, "%m: reserved more than there is");
    if (!rst_i && release_words_i && groups_ready_o == 13'd0) $fatal(1, "%m: released no group");
  end
`endif

endmodule

`default_nettype wire
