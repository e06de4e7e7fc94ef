"""A small conversation corpus in MELD's layout that the project makes itself: ``build(folder)``."""

from pipeline.demo.build import Built, build
from pipeline.demo.script import EXPECTED

__all__ = ["EXPECTED", "Built", "build"]
