// Sum of Terms signed numbers, one register per level: terms at cycle c, sum at c + Levels, where
// Levels = ceil(log2(Terms)), 0 for one term. Terms are added in pairs; missing ones are zero. One
// sum a cycle; level l moves where enable_i[l] is 1.
`default_nettype none

module adder_tree #(
  parameter int Terms = 4,
  parameter int TermBits = 24,
  localparam int Levels = $clog2(Terms),
  localparam int EnableBits = (Levels > 0) ? Levels : 1
) (
  input  wire                                   clk_i,
  input  wire  [EnableBits-1:0]                 enable_i,
  input  wire  [Terms*TermBits-1:0]             terms_i,
  output logic signed [TermBits+Levels-1:0]     sum_o
);
  for (genvar l = 0; l <= Levels; l++) begin : gen_level
    for (genvar n = 0; n < (1 << (Levels - l)); n++) begin : gen_node
      logic signed [TermBits+l-1:0] value;
      if (l == 0) begin : gen_leaf
        if (n < Terms) begin : gen_term
          assign value = $signed(terms_i[n*TermBits+:TermBits]);
        end else begin : gen_zero
          assign value = '0;
        end
      end else begin : gen_add
        // A node of which only the left child has terms below it is a plain register.
        localparam bit Both = (2 * n + 1) * (1 << (l - 1)) < Terms;
        localparam bit Some = n * (1 << l) < Terms;
        logic signed [TermBits+l-1:0] left, right;
        assign left = (TermBits + l)'(gen_level[l-1].gen_node[2*n].value);
        assign right = (TermBits + l)'(gen_level[l-1].gen_node[2*n+1].value);
        if (Both) begin : gen_both
          always_ff @(posedge clk_i) if (enable_i[l-1]) value <= left + right;
        end else if (Some) begin : gen_left
          always_ff @(posedge clk_i) if (enable_i[l-1]) value <= left;
          logic unused_right;
          assign unused_right = ^right;
        end else begin : gen_none
          assign value = '0;
          logic unused_none;
          assign unused_none = ^{left, right};
        end
      end
    end
  end
  assign sum_o = gen_level[Levels].gen_node[0].value;

  if (Levels == 0) begin : gen_no_level
    logic unused;
    assign unused = ^{clk_i, enable_i};
  end
endmodule

`default_nettype wire
