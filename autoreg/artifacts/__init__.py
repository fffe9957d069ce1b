"""The artifact that leaves: a finished network as a file that runs, compared with the trial it came from.

Import from the modules: `deployable` turns a carried model into plain weights and integer codes, `onnx_graph` and
`onnx_int8` write it as ONNX that runs in integers, `torch_export` and `packed` write the other formats, `export`
puts them together and compares what the file computes with what the trial recorded.
"""
