"""A run for people: one self-contained HTML page, and its results table as plain text."""

from model.report.material import Line, ReportContext
from model.report.page import write_report
from model.report.table import table

__all__ = ["Line", "ReportContext", "table", "write_report"]
