"""The model: in comes a dataset, out comes a bundle (ONNX, UBJ, manifest, golden vectors).

`model.manifest`, `model.bundle` and `model.onnx_model` need numpy, pydantic and onnxruntime only, and the serving container imports them.
"""
