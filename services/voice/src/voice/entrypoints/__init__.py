"""Entry points: each decodes its input and makes one call to the application."""
