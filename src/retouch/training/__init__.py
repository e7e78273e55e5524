"""Learning from many pictures: one loop for every objective."""
