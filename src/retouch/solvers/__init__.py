"""One picture and no training set: (measurement, degradation) -> Image."""
