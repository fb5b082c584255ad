"""What runs inside the simulator: cocotb drivers, monitors, scoreboards and benches."""
