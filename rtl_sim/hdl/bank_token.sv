// Ping-pong bookkeeping of one two-bank buffer: who may write which bank, who may read which.
//
// The producer reserves the bank it is about to fill (reserve_i, only while free_o), and posts it
// when its last word is written (post_i); the consumer gives it back (release_i, only while full_o).
// An event at cycle c shows in the outputs at c+1, all of which depend on registers only. A tag posted
// with a bank comes back at read_tag_o while that bank is the next to be read (which consumer it is
// for; tie to 0 where there is only one).
// A producer that finishes one bank before it starts the next may tie reserve_i to its start; one
// that starts the next bank while the last is still in its pipeline (MAC array and post-process)
// reserves at the start and posts later, write_bank_o follows the posts.
`default_nettype none

module bank_token (
  input  logic clk_i,
  input  logic rst_i,

  input  logic reserve_i,
  input  logic post_i,
  input  logic post_tag_i,
  input  logic release_i,

  output logic free_o,
  output logic full_o,
  output logic write_bank_o,
  output logic read_bank_o,
  output logic read_tag_o
);

  logic [1:0] taken_q;   // banks reserved or full
  logic [1:0] posted_q;  // banks full

  logic [1:0] taken_d, posted_d;

  always_comb begin
    taken_d = taken_q;
    if (reserve_i && !release_i) taken_d = taken_q + 2'd1;
    if (release_i && !reserve_i) taken_d = taken_q - 2'd1;
    posted_d = posted_q;
    if (post_i && !release_i) posted_d = posted_q + 2'd1;
    if (release_i && !post_i) posted_d = posted_q - 2'd1;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      taken_q      <= 2'd0;
      posted_q     <= 2'd0;
      free_o       <= 1'b1;
      full_o       <= 1'b0;
      write_bank_o <= 1'b0;
      read_bank_o  <= 1'b0;
    end else begin
      taken_q      <= taken_d;
      posted_q     <= posted_d;
      free_o       <= taken_d != 2'd2;
      full_o       <= posted_d != 2'd0;
      write_bank_o <= write_bank_o ^ post_i;
      read_bank_o  <= read_bank_o ^ release_i;
    end
  end

  logic [1:0] tags_q;

  always_ff @(posedge clk_i) begin
    if (post_i) tags_q[write_bank_o] <= post_tag_i;
  end

  assign read_tag_o = tags_q[read_bank_o];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && reserve_i && !free_o) $fatal(1, "%m: reserved a bank that is not free");
    if (!rst_i && release_i && !full_o) $fatal(1, "%m: released a bank that is not full");
    if (!rst_i && post_i && posted_q == taken_q) $fatal(1, "%m: posted a bank not reserved");
  end
`endif

endmodule

`default_nettype wire
