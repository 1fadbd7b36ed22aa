"""Serving: in come a bundle and a window of bars, out comes a signal.

Imports numpy, pydantic and onnxruntime only; import contracts and a slim install hold that.
"""
