"""Text and metadata out of files of any kind, piece by piece: see `walk.extract`."""

from casb.inspection.extraction.context import Piece, Report
from casb.inspection.extraction.walk import extract

__all__ = ["Piece", "Report", "extract"]
