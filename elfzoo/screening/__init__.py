"""Many structures through a model and the analysis of its fields: resumable, on one machine or a cluster.

Needs Dask distributed and pyarrow: ``pip install 'elfzoo[screen]'``. Nothing but the command line imports this.
"""

from elfzoo.screening.identity import structure_hash as structure_hash
from elfzoo.screening.inputs import find_files as find_files
from elfzoo.screening.run import Part as Part
from elfzoo.screening.run import Screening as Screening
from elfzoo.screening.run import Work as Work
from elfzoo.screening.run import screen as screen
from elfzoo.screening.run import work_folder as work_folder
from elfzoo.screening.settings import ScreenSettings as ScreenSettings
from elfzoo.screening.table import read_facts as read_facts
from elfzoo.screening.verdict import Criterion as Criterion

__all__ = [
    "Criterion",
    "Part",
    "ScreenSettings",
    "Screening",
    "Work",
    "find_files",
    "read_facts",
    "screen",
    "structure_hash",
    "work_folder",
]
