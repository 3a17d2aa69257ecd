"""Appendices: what stands around the chapters and is used by none of them."""
