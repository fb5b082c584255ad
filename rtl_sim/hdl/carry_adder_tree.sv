// Sum of Terms signed numbers and as many carries, one register per level: terms at cycle c, sum at
// c + Levels, Levels = log2(Terms). A power of two has one adder less than terms: each adder takes
// one carry in, and the last carry leaves beside the sum: the whole is sum_o + carry_o. Where each
// term + its carry fits TermBits, sum_o fits its bits. One sum a cycle; level l moves where
// enable_i[l] is 1.
`default_nettype none

module carry_adder_tree #(
  parameter int Terms = 4,
  parameter int TermBits = 16,
  localparam int Levels = $clog2(Terms),
  localparam int EnableBits = (Levels > 0) ? Levels : 1
) (
  input  wire                               clk_i,
  input  wire  [EnableBits-1:0]             enable_i,
  input  wire  [Terms*TermBits-1:0]         terms_i,
  input  wire  [Terms-1:0]                  carries_i,
  output logic signed [TermBits+Levels-1:0] sum_o,
  output logic                              carry_o
);
  for (genvar l = 0; l <= Levels; l++) begin : gen_level
    localparam int Bits = TermBits + l;
    for (genvar n = 0; n < (Terms >> l); n++) begin : gen_node
      logic signed [Bits-1:0] value;
      logic carry;
      if (l == 0) begin : gen_leaf
        assign value = $signed(terms_i[n*TermBits+:TermBits]);
        assign carry = carries_i[n];
      end else begin : gen_add
        // One bit more at the bottom brings the carry in through the adder's own chain.
        logic signed [Bits:0] left, right, total;
        assign left = {Bits'(gen_level[l-1].gen_node[2*n].value), 1'b1};
        assign right = {Bits'(gen_level[l-1].gen_node[2*n+1].value),
                        gen_level[l-1].gen_node[2*n].carry};
        assign total = left + right;
        always_ff @(posedge clk_i) begin
          if (enable_i[l-1]) begin
            value <= total[Bits:1];
            carry <= gen_level[l-1].gen_node[2*n+1].carry;
          end
        end
        logic unused;
        assign unused = total[0];
      end
    end
  end
  assign sum_o = gen_level[Levels].gen_node[0].value;
  assign carry_o = gen_level[Levels].gen_node[0].carry;

  if (Levels == 0) begin : gen_no_level
    logic unused;
    assign unused = ^{clk_i, enable_i};
  end

`ifndef SYNTHESIS
  initial if (Terms != 1 << Levels) $fatal(1, "%m: Terms %0d is no power of two", Terms);
`endif
endmodule

`default_nettype wire
