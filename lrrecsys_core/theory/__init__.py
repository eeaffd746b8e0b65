"""Simulations of the theory of Section 4 and Appendix 9."""
