"""Which structures to compute next by DFT, and the input files for that.

:func:`select` chooses, :func:`calculation_for` takes the recipe of a release's labels, :func:`write_inputs` writes a
folder of inputs for Quantum ESPRESSO, VASP or GPAW, and :func:`collect` makes labels of what they computed.
"""

from elfzoo.selection.calculation import Calculation as Calculation
from elfzoo.selection.calculation import calculation_for as calculation_for
from elfzoo.selection.choose import Chosen as Chosen
from elfzoo.selection.choose import Selection as Selection
from elfzoo.selection.choose import SelectSettings as SelectSettings
from elfzoo.selection.choose import select as select
from elfzoo.selection.collect import Collected as Collected
from elfzoo.selection.collect import collect as collect
from elfzoo.selection.inputs import write_inputs as write_inputs
from elfzoo.selection.pool import Named as Named

__all__ = [
    "Calculation",
    "Chosen",
    "Collected",
    "Named",
    "SelectSettings",
    "Selection",
    "calculation_for",
    "collect",
    "select",
    "write_inputs",
]
