"""Published weights, fetched and named as Sources/Networks names them: each function gives {name: (shape, bytes)}."""
