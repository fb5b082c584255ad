"""What the accelerator is and when things happen in it, in integers and cycles. No torch."""
