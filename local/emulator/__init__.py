"""ministack, patched where it differs from AWS in ways this product would notice."""
