"""A run's network for use elsewhere: files that need neither this package nor pickle, checked before they are written.

``formats`` makes the bytes and reads them back, ``timing`` measures, ``network`` has the verb and its result.
"""

from ticketsearch.exporting.formats import FORMATS
from ticketsearch.exporting.network import Exported, Latency, export, lines_of

__all__ = ["FORMATS", "Exported", "Latency", "export", "lines_of"]
