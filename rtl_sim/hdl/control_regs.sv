// AXI4-Lite slave: start, status, interrupt, run parameters and the performance counters.
//
// One write at a time (AW and W are taken together, B follows), one read at a time (address, then
// data two cycles later). A write that starts a run is taken at w, start_o is high at w+1: that is
// cycle 0, the sequencer runs from the next cycle. A start while busy changes nothing but status
// bit 3. Counters count the cycles in which running_i is high; they pass one register, so they are
// final two cycles after the end of the run, and they keep their values until the next start.
// IRQ_ENABLE and IRQ_STATUS: bit 0 done, bit 1 error.
`default_nettype none

module control_regs #(
  parameter logic [31:0] BuildId = 32'd0,
  parameter int Units = 7
) (
  input  logic                  clk_i,
  input  logic                  rst_i,

  input  logic                  axil_awvalid_i,
  output logic                  axil_awready_o,
  input  logic [11:0]           axil_awaddr_i,
  input  logic                  axil_wvalid_i,
  output logic                  axil_wready_o,
  input  logic [31:0]           axil_wdata_i,
  input  logic [3:0]            axil_wstrb_i,
  output logic                  axil_bvalid_o,
  input  logic                  axil_bready_i,
  output logic [1:0]            axil_bresp_o,
  input  logic                  axil_arvalid_i,
  output logic                  axil_arready_o,
  input  logic [11:0]           axil_araddr_i,
  output logic                  axil_rvalid_o,
  input  logic                  axil_rready_i,
  output logic [31:0]           axil_rdata_o,
  output logic [1:0]            axil_rresp_o,

  output logic                  irq_o,

  // Sequencer
  output logic                  start_o,
  output logic                  abort_o,
  output logic [31:0]           program_address_o,
  output logic [31:0]           frames_o,
  output logic [31:0]           image_stride_o,
  output logic [31:0]           output_stride_o,
  input  logic                  running_i,
  input  logic                  done_pulse_i,
  input  logic                  error_pulse_i,
  input  logic                  done_i,
  input  logic                  error_i,
  input  logic [7:0]            error_code_i,
  input  logic [25:0]           error_info_i,
  input  logic [31:0]           frames_done_i,

  // One class a unit and cycle
  input  logic [Units-1:0][1:0] class_i
);

  localparam logic [9:0] RegCtrl = 10'h000;
  localparam logic [9:0] RegStatus = 10'h001;
  localparam logic [9:0] RegIrqEnable = 10'h002;
  localparam logic [9:0] RegIrqStatus = 10'h003;
  localparam logic [9:0] RegProgramAddress = 10'h004;
  localparam logic [9:0] RegFrames = 10'h005;
  localparam logic [9:0] RegImageStride = 10'h006;
  localparam logic [9:0] RegOutputStride = 10'h007;
  localparam logic [9:0] RegErrorInfo = 10'h008;
  localparam logic [9:0] RegFramesDone = 10'h009;
  localparam logic [9:0] RegBuildId = 10'h00a;
  localparam logic [9:0] RegTotalCycles = 10'h020;
  localparam logic [9:0] RegCounters = 10'h040;

  // ---- writes ----
  logic       write, busy, ignored_q;
  logic [9:0] waddr;
  logic [1:0] irq_enable_q, irq_status_q;

  assign write          = axil_awvalid_i && axil_wvalid_i && !axil_bvalid_o;
  assign axil_awready_o = write;
  assign axil_wready_o  = write;
  assign axil_bresp_o   = 2'b00;
  assign waddr          = axil_awaddr_i[11:2];
  assign busy           = running_i || start_o;

  logic start_write, abort_write;
  assign start_write = write && waddr == RegCtrl && axil_wstrb_i[0] && axil_wdata_i[0];
  assign abort_write = write && waddr == RegCtrl && axil_wstrb_i[0] && axil_wdata_i[1];

  function automatic logic [31:0] merge(
    input logic [31:0] old, input logic [31:0] data, input logic [3:0] strobe);
    for (int i = 0; i < 4; i++) begin
      merge[8*i +: 8] = strobe[i] ? data[8*i +: 8] : old[8*i +: 8];
    end
  endfunction

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      axil_bvalid_o     <= 1'b0;
      start_o           <= 1'b0;
      abort_o           <= 1'b0;
      ignored_q         <= 1'b0;
      irq_enable_q      <= 2'b00;
      irq_status_q      <= 2'b00;
      program_address_o <= 32'd0;
      frames_o          <= 32'd1;
      image_stride_o    <= 32'd0;
      output_stride_o   <= 32'd0;
    end else begin
      if (write) axil_bvalid_o <= 1'b1;
      else if (axil_bready_i) axil_bvalid_o <= 1'b0;

      start_o <= start_write && !busy;
      abort_o <= abort_write && busy;
      if (start_write) ignored_q <= busy;

      irq_status_q <= (irq_status_q
                       & ~(write && waddr == RegIrqStatus && axil_wstrb_i[0] ? axil_wdata_i[1:0]
                                                                             : 2'b00))
                      | {error_pulse_i, done_pulse_i};

      if (write) begin
        case (waddr)
          RegIrqEnable: if (axil_wstrb_i[0]) irq_enable_q <= axil_wdata_i[1:0];
          RegProgramAddress:
            program_address_o <= merge(program_address_o, axil_wdata_i, axil_wstrb_i);
          RegFrames:       frames_o <= merge(frames_o, axil_wdata_i, axil_wstrb_i);
          RegImageStride:  image_stride_o <= merge(image_stride_o, axil_wdata_i, axil_wstrb_i);
          RegOutputStride: output_stride_o <= merge(output_stride_o, axil_wdata_i, axil_wstrb_i);
          default: ;
        endcase
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) irq_o <= 1'b0;
    else irq_o <= |(irq_status_q & irq_enable_q);
  end

  // ---- counters ----
  logic [Units-1:0][1:0]       class_q;
  logic                        counting_q;
  logic [31:0]                 total_q;
  logic [Units-1:0][3:0][31:0] counter;

  always_ff @(posedge clk_i) begin
    if (rst_i) counting_q <= 1'b0;
    else counting_q <= running_i;
    if (running_i) class_q <= class_i;
  end

  logic clear_q;  // one register: it has a thousand loads; counting starts a cycle later still
  always_ff @(posedge clk_i) clear_q <= rst_i || start_o;

  always_ff @(posedge clk_i) begin
    if (clear_q) total_q <= 32'd0;
    else if (counting_q) total_q <= total_q + 32'd1;
  end

  for (genvar u = 0; u < Units; u++) begin : gen_unit
    for (genvar k = 0; k < 4; k++) begin : gen_class
      logic [31:0] count_q;
      always_ff @(posedge clk_i) begin
        if (clear_q) count_q <= 32'd0;
        else if (counting_q && class_q[u] == 2'(k)) count_q <= count_q + 32'd1;
      end
      assign counter[u][k] = count_q;
    end
  end

  // ---- reads ----
  logic        read_q;
  logic [9:0]  raddr_q;
  logic [31:0] counter_read;  // units there are none of read as zero

  always_comb begin
    counter_read = 32'd0;
    for (int u = 0; u < Units; u++) begin
      if (raddr_q[4:2] == 3'(u)) counter_read = counter[u][raddr_q[1:0]];
    end
  end

  assign axil_arready_o = !read_q && !axil_rvalid_o;
  assign axil_rresp_o   = 2'b00;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      read_q        <= 1'b0;
      axil_rvalid_o <= 1'b0;
    end else begin
      read_q <= axil_arvalid_i && axil_arready_o;
      if (read_q) axil_rvalid_o <= 1'b1;
      else if (axil_rready_i) axil_rvalid_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (axil_arvalid_i && axil_arready_o) raddr_q <= axil_araddr_i[11:2];
    if (read_q) begin
      axil_rdata_o <= 32'd0;
      case (raddr_q)
        RegStatus: axil_rdata_o <= {16'd0, error_code_i, 4'd0, ignored_q, error_i, done_i, busy};
        RegIrqEnable:      axil_rdata_o <= {30'd0, irq_enable_q};
        RegIrqStatus:      axil_rdata_o <= {30'd0, irq_status_q};
        RegProgramAddress: axil_rdata_o <= program_address_o;
        RegFrames:         axil_rdata_o <= frames_o;
        RegImageStride:    axil_rdata_o <= image_stride_o;
        RegOutputStride:   axil_rdata_o <= output_stride_o;
        RegErrorInfo:      axil_rdata_o <= {6'd0, error_info_i};
        RegFramesDone:     axil_rdata_o <= frames_done_i;
        RegBuildId:        axil_rdata_o <= BuildId;
        RegTotalCycles:    axil_rdata_o <= total_q;
        default: if (raddr_q[9:5] == RegCounters[9:5]) axil_rdata_o <= counter_read;
      endcase
    end
  end

  logic unused;
  assign unused = ^{axil_awaddr_i[1:0], axil_araddr_i[1:0]};

endmodule

`default_nettype wire
