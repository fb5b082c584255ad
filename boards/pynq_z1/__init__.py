"""What runs on the PYNQ-Z1: it needs Python 3.8, NumPy and pynq, and nothing else of Tandem."""
