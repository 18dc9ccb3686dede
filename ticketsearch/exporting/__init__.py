"""A run's network for use elsewhere: files that need neither this package nor pickle, checked before they are written.

``formats`` makes the bytes and reads them back, ``timing`` measures, ``export`` is the verb and its result.
"""

from ticketsearch.exporting.export import Exported, export, lines_of
from ticketsearch.exporting.formats import FORMATS

__all__ = ["FORMATS", "Exported", "export", "lines_of"]
