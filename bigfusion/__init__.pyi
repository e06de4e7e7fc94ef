"""The types of the public face, for type checkers and editors; `__init__.py` loads the names when they are used."""

from bigfusion.flows.project.extracting import extract as extract
from bigfusion.flows.project.file_runs import evaluate as evaluate
from bigfusion.flows.project.file_runs import train as train
from bigfusion.flows.project.find_model import load as load
from bigfusion.flows.project.load import load_learning as load_learning
from bigfusion.flows.project.load import load_project as load_project
from bigfusion.flows.stages.retrain import retrain as retrain
from bigfusion.pipeline.feature_files.reader import read_features as read_features
