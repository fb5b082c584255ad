"""Accelerators on boards: published ones as a regression, and our own with its run logs."""
