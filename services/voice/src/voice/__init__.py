"""Telephone calls and speech: dials, hangs up, settles attempts, synthesizes speech and serves it."""
