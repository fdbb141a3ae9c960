"""The pages of the console, one module for each group of addresses."""
