"""Networks as plain ``nn.Module``: no files, no losses, no optimisers; one paper a file."""
