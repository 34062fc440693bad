"""How wrong a prediction may be: standard deviations of fields, error bars of φ, and what lies outside of the data.

From the last layer of one model (what its training data leave open of it, :class:`elfzoo.posterior.Posterior`), or from
several models (:class:`Ensemble`). All of it is calibrated on validation data, and none of it knows of the errors that
such data do not have: those of the DFT labels, and those of a kind of structure that no data set has.
"""

from elfzoo.posterior import Posterior as Posterior
from elfzoo.uncertainty.domain import DomainReport as DomainReport
from elfzoo.uncertainty.domain import domain as domain
from elfzoo.uncertainty.fields import Members as Members
from elfzoo.uncertainty.fields import member_fields as member_fields
from elfzoo.uncertainty.fields import predict as predict
from elfzoo.uncertainty.fit import fit as fit
from elfzoo.uncertainty.fit import spread_scale as spread_scale
from elfzoo.uncertainty.phi import NetworkingWithError as NetworkingWithError
from elfzoo.uncertainty.phi import networking_with_error as networking_with_error
from elfzoo.uncertainty.source import Ensemble as Ensemble
from elfzoo.uncertainty.source import LastLayer as LastLayer
from elfzoo.uncertainty.source import Source as Source

__all__ = [
    "DomainReport",
    "Ensemble",
    "LastLayer",
    "Members",
    "NetworkingWithError",
    "Posterior",
    "Source",
    "domain",
    "fit",
    "member_fields",
    "networking_with_error",
    "predict",
    "spread_scale",
]
