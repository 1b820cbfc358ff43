"""Upstream's `s2i` on this tool's engine: the same arguments, the same contract with builder images."""
