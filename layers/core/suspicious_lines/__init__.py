"""The library of suspicious-lines, shared by all its Lambda functions."""
