"""The report of an evaluation: one HTML file that carries its pictures and style, and asks nothing of a network."""

from __future__ import annotations

from edge_cns.evaluation.pictures import encode_example
from edge_cns.evaluation.report.content import Example, GateState, Report
from edge_cns.evaluation.report.page import render, write_report

__all__ = ["Example", "GateState", "Report", "encode_example", "render", "write_report"]
