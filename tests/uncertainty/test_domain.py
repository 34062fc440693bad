"""What is outside of the training data, in one warning."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.card import Card, Domain
from elfzoo.errors import ElfzooWarning
from elfzoo.models import PointModel
from elfzoo.testing import enliven
from elfzoo.uncertainty import LastLayer, domain, predict
from tests.uncertainty.conftest import SMALL, cell, fitted, make

KNOWN = Domain(structures=3, volume_per_atom=(3.0, 5.0), nearest_distance=(0.6, 2.0))


@pytest.fixture
def released(model: PointModel) -> PointModel:
    model.card = Card("grid_mlp.tiny-v0", "grid_mlp", {}, "ab" * 32, elements=("H",), domain=KNOWN)
    yield model
    model.card = None


def test_inside_there_is_no_warning(released: PointModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = domain(released, cell(10))
    assert found.inside and found.unfamiliar is not None and found.unfamiliar <= LastLayer(released).unfamiliar
    assert found.volume_per_atom == pytest.approx(cell(10).volume / 4)
    distances = cell(10).distance_matrix + 9 * np.eye(4)
    assert found.nearest_distance[0] == pytest.approx(min(distances.min(), 2.3))


def test_everything_that_is_outside_is_said_once(released: PointModel) -> None:
    strange = Structure(Lattice.cubic(7.0), ["H", "He", "H"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.07, 0, 0]])
    with pytest.warns(ElfzooWarning) as caught:
        found = domain(released, strange)
    (warning,) = caught
    text = str(warning.message)
    for part in ("H2 He1 is outside of the training data of grid_mlp.tiny-v0", "elements He (trained on H)"):
        assert part in text
    for part in ("114.33 Å³ per atom (trained on 3.00 to 5.00)", "0.49 to 5.79 Å", "of its points are unfamiliar"):
        assert part in text
    assert not found.inside and found.unknown_elements == ("He",) and len(found.reasons) == 4


def test_kinds_of_matter_are_told_apart() -> None:
    known = Domain(
        structures=9,
        volume_per_atom=(1.0, 90.0),
        nearest_distance=(0.5, 5.0),
        groups={
            "hydrogen": {"volume_per_atom": (1.0, 4.0), "nearest_distance": (0.5, 2.4)},
            "others": {"volume_per_atom": (8.0, 90.0), "nearest_distance": (1.5, 5.0)},
        },
    )
    model = make()
    model.card = Card("grid_mlp.tiny-v0", "grid_mlp", {}, "ab" * 32, elements=("H", "Cs", "Li"), domain=known)
    hydrogen, caesium, hydride = (
        Structure(Lattice.cubic(a), names, np.arange(len(names))[:, None] / 2 * np.ones(3))
        for a, names in ((3.0, ["H"]), (3.0, ["Cs"]), (3.0, ["Li", "H"]))
    )
    with pytest.warns(
        ElfzooWarning, match=r"27.00 Å³ per atom \(trained on 1.00 to 4.00\); nearest neighbours at 3.00"
    ):
        domain(model, hydrogen)
    assert domain(model, caesium).inside and domain(model, hydride).inside  # of hydrides all that is known is of all


def test_what_was_not_trained_is_in_no_data() -> None:
    found = domain(elfzoo.load_pretrained("harris.h-v1"), cell(0))
    assert found.untrained and str(found) == "nothing in harris.h-v1 was trained on structures; it takes H4"


def test_a_prediction_warns_too(released: PointModel) -> None:
    with pytest.warns(ElfzooWarning, match="Å³ per atom") as caught:
        predict(released, cell(0, scale=2.0), (4, 4, 4))
    assert len(caught) == 1


def test_models_without_an_uncertainty_know_what_their_card_says() -> None:
    model = make()
    model.card = Card("grid_mlp.tiny-v0", "grid_mlp", {}, "ab" * 32, elements=("H",), domain=KNOWN)
    with pytest.warns(ElfzooWarning, match="Å³ per atom"):
        found = domain(model, cell(0, scale=2.0))
    assert found.unfamiliar is None
    model.card = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert domain(model, cell(0, scale=2.0)).inside


def test_the_share_of_unfamiliar_points_is_counted(released: PointModel) -> None:
    assert released.posterior is not None
    never = released.posterior.replace(quantiles={"0.99": 1e9}, unfamiliar=0.0)
    always = released.posterior.replace(quantiles={"0.99": 0.0}, unfamiliar=0.5)
    assert domain(LastLayer(released, never), cell(0)).unfamiliar == 0.0
    with pytest.warns(
        ElfzooWarning, match=r"100% of its points are unfamiliar \(in validation structures at most 50%\)"
    ):
        assert domain(LastLayer(released, always), cell(0)).unfamiliar == 1.0


def test_a_plain_prediction_warns_of_volumes_far_beyond_the_training_data() -> None:
    model = make()
    model.card = Card("grid_mlp.tiny-v0", "grid_mlp", {}, "ab" * 32, elements=("H",), domain=KNOWN)
    with pytest.warns(ElfzooWarning, match=r"was trained on .* Å³ per atom; at .* its field is an extrapolation"):
        model.predict(cell(0, scale=2.0), (4, 4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ElfzooWarning)
        model.predict(cell(0), (4, 4, 4))
        model.predict(cell(0, scale=1.02), (4, 4, 4))  # a little beyond says little


def test_a_model_in_training_judges_as_it_will() -> None:
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("grid_mlp", SMALL | {"dropout": 0.5}), ("H",)).eval()
    model.posterior = fitted(model)[0]  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElfzooWarning)
        expected = domain(model, cell(10))
        assert expected.unfamiliar is not None
        assert domain(model.train(), cell(10)) == expected
    assert all(module.training for module in model.modules())
