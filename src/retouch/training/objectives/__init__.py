"""What is learned: the losses of one training step and whose weights they move."""
