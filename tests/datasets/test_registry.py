"""Datasets by name."""

import pytest

from elfzoo import datasets
from elfzoo.datasets import DATASETS, FieldDataset, dataset_class
from elfzoo.errors import UnknownNameError


def test_every_dataset_is_registered_under_a_name_of_its_own():
    exported = {found for name in datasets.__all__ if isinstance(found := getattr(datasets, name), type)}
    assert set(DATASETS) == {found for found in exported if issubclass(found, FieldDataset)} - {FieldDataset}
    assert [dataset_class(dataset.name) for dataset in DATASETS] == list(DATASETS)


def test_what_a_data_folder_may_do_without():
    optional = [dataset.name for dataset in DATASETS if dataset.optional]
    assert optional == ["cavity-h", "packing-h", "density-h", "prototypes"]


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UnknownNameError, match="no dataset is called 'fluid_h'; did you mean fluid-h"):
        dataset_class("fluid_h")
