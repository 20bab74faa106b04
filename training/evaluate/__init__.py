"""How good a model is: its answers kept, measured with intervals, beside the numbers of the paper."""
