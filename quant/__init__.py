"""Networks in PyTorch, quantisers, training and export; needs the extra ``[quant]``."""
