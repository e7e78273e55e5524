"""Retouch: restore, translate and imagine pictures with deep networks."""
