"""What went wrong with a picture: y = A(x), seeded, composable, linear ones with an adjoint."""
