"""The deployed artifact: a finished network as a file that runs, compared with the trial it came from.

Import from the modules: `deployable` turns a trained model into plain weights and integer codes, `onnx` writes it as
ONNX that runs in integers, `torch` and `packed` write the other formats, `export` puts them together, `verify`
compares what the file computes with what the trial recorded.
"""
