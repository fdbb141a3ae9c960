"""What is true of every service. Functions over the frameworks' own objects; no base class, no business word."""
