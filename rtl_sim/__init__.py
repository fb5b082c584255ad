"""The hardware: SystemVerilog library, generation, Verilator and Yosys runs."""
