"""Measure methods by the protocols of the papers: data set x degradation x metric."""
