"""Answers the callee: each utterance becomes one reply of a language model, published sentence by sentence."""
