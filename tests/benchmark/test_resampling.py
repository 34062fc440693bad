"""Intervals over what is independent."""

from __future__ import annotations

import numpy as np
import pytest

from elfzoo.analysis import bootstrap_interval
from elfzoo.benchmark.resampling import cluster_of, counts_of, interval_of_mean, interval_of_ratio


@pytest.mark.parametrize(
    ("file", "formula", "cluster"),
    [
        ("hydrides/CaYH12_Pm-3m_v0.95.npz", "Ca1 Y1 H12", "Ca-H-Y"),
        ("hydrides/CaYH12_Pm-3m_eq.npz", "Ca1 Y1 H12", "Ca-H-Y"),
        ("metals/Al_fcc_V1.0.npz", "Al1", "Al"),
        ("fluid-h/fluid_115.1GPa_D_f02700.npz", "H128", "fluid_115.1GPa_D"),
        ("fluid-h/fluid_115.1GPa_N500_f02000.npz", "H500", "fluid_115.1GPa_N500"),
        ("crystal-h/cubic_011.npz", "H16", "cubic_011"),
        ("mine.npz", None, "mine"),
    ],
)
def test_compounds_trajectories_and_crystals_are_drawn_as_a_whole(file: str, formula: str | None, cluster: str) -> None:
    assert cluster_of(file, formula) == cluster


def test_without_clusters_it_is_the_bootstrap_over_structures() -> None:
    values = np.random.default_rng(1).normal(size=30)
    names = [f"{i:02d}" for i in range(30)]
    expected = bootstrap_interval(values)
    assert interval_of_mean(values, names) == pytest.approx([expected.low, expected.high])  # the same draws
    assert interval_of_ratio(values**2, np.ones(30), names)[0] > 0


def test_copies_of_a_structure_do_not_narrow_an_interval() -> None:
    values = np.random.default_rng(2).normal(size=8)
    names = [f"{i}" for i in range(8)]
    once, copied = interval_of_mean(values, names), interval_of_mean(np.repeat(values, 5), np.repeat(names, 5).tolist())
    assert copied == pytest.approx(once)
    apart = interval_of_mean(np.repeat(values, 5), [f"{i}" for i in range(40)])
    assert apart[1] - apart[0] < 0.6 * (once[1] - once[0])


def test_a_cluster_comes_whole_and_one_alone_says_nothing() -> None:
    counts = counts_of(["a", "a", "b"])
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 0] + counts[:, 2] == 2).all()
    assert np.isnan(interval_of_mean([1.0, 2.0], ["a", "a"])).all()
    assert interval_of_ratio([1, 0], [2, 0], ["a", "b"]) == [0.5, 0.5]  # draws of b alone have nothing below
