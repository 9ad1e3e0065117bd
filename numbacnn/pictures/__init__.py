"""People's pictures, brought into the form in which MNIST's digits are."""
