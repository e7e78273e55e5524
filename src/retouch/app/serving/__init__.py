"""What ``retouch serve`` is made of, beside the routes (``app.server``) and the queue (``app.jobs``)."""
