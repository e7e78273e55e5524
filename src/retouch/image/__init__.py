"""What a picture is: the Image, its files, colours, sizes, tiles and the sheets that show it."""
