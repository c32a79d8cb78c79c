"""Planted truth against every score, every verdict and dishonest explainers: what the checks can see, in numbers."""
