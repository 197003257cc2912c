"""The mathematics again, as plain Python loops over numbers in float64: what the tensors must agree with."""
