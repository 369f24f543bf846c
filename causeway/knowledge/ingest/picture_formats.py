"""The formats of pictures that are read, as Pillow names them: no other decoder is tried on a file."""

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
