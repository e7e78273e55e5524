"""Pictures made by gradient ascent on what a trained network sees: dreams, inversions, and what a unit looks for."""
