"""One diagonalisation in a small basis: physics that a model of geometry alone has not."""

from elfzoo.transforms.harris.field import Densities as Densities
from elfzoo.transforms.harris.field import HarrisConfig as HarrisConfig
from elfzoo.transforms.harris.field import harris_densities as harris_densities
from elfzoo.transforms.harris.inputs import HarrisInputs as HarrisInputs
from elfzoo.transforms.harris.inputs import harris_inputs as harris_inputs
