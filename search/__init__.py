"""The co-design search: bundles, their selection, coordinate descent, accelerator sizing."""
