"""The look at a project: pictures and measures gathered while a result is made, and one page that shows them."""

from engine.report.look import Lane, Look, LookWriter, read_look
from engine.report.page import Page, Plot, Warned, write_page

__all__ = ["Lane", "Look", "LookWriter", "Page", "Plot", "Warned", "read_look", "write_page"]
