"""How exactly a device multiplies: what ``--precision`` chooses from. Sums are float32 in any case."""

FLOAT32 = "float32"
TF32 = "tf32"
PRECISIONS = (FLOAT32, TF32)
