"""How people reach Retouch: the command line over files and folders."""
