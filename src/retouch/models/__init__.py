"""What a trained network is known by: its card, its file, the catalogue that finds it, and how it is run."""
