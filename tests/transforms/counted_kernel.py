"""The compiled kernel's arithmetic once more, on numbers that count what is done to them.

A transcription of ``native/kernel_impl.h``, ``fields_impl.h`` and ``latent_impl.h`` for one point and some neighbours.
Its values are those of the kernel, so that what it counts is what the kernel does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from elfzoo.nn.pauli import CHI, DENSITY, UNIFORM
from elfzoo.transforms.atomic_orbitals import BOHR, orbital_norm
from elfzoo.transforms.latent_fields import LatentLayout
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig
from elfzoo.transforms.probe_fields import FieldLayout, n_steps


class Tally:
    """Operations so far."""

    flops = 0


class Counted:
    """A number; every sum and product counts one, with a constant, too."""

    def __init__(self, value: float):
        self.value = value

    def _done(self, value: float) -> Counted:
        Tally.flops += 1
        return Counted(value)

    def __add__(self, other: Any) -> Counted:
        return self._done(self.value + plain(other))

    def __sub__(self, other: Any) -> Counted:
        return self._done(self.value - plain(other))

    def __rsub__(self, other: Any) -> Counted:
        return self._done(plain(other) - self.value)

    def __mul__(self, other: Any) -> Counted:
        return self._done(self.value * plain(other))

    __radd__, __rmul__ = __add__, __mul__


def plain(x: Any) -> float:
    return x.value if isinstance(x, Counted) else float(x)


def reciprocal(x: Counted) -> Counted:
    guess = x._done(1 / x.value)
    return guess * (2.0 - x * guess)


def rsqrt(x: Counted) -> Counted:
    guess = x._done(1 / math.sqrt(x.value))
    return guess * (1.5 - 0.5 * x * guess * guess)


def exp(x: Counted) -> Counted:
    shifted = x * 1.44269504 + 12582912.0
    n = shifted - 12582912.0
    n.value = float(round(x.value * 1.44269504))  # what the rounding of single precision does to the sum
    f = x - n * 0.693359375 + n * 2.12194440e-4
    p: Any = 1.9875691500e-4
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = f * p + c
    p = p * (f * f) + (f + 1.0)
    return Counted(p.value * 2.0**n.value)


def cutoff(s: Counted) -> Counted:
    c: Any = -1.1470745597e-11
    for term in (2.0876756988e-9, -2.7557319224e-7, 2.4801587302e-5, -1.3888888889e-3, 4.1666666667e-2, -0.5, 1.0):
        c = s * c + term
    return c * c


def harmonics(x: Counted, y: Counted, z: Counted, l_max: int) -> list[Any]:
    out: list[Any] = [0.28209479177]
    if l_max >= 1:
        out += [0.48860251190 * y, 0.48860251190 * z, 0.48860251190 * x]
    if l_max >= 2:
        xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
        d = xx - yy
        out += [1.09254843059 * xy, 1.09254843059 * yz, 0.31539156525 * (zz + zz - xx - yy)]
        out += [1.09254843059 * xz, 0.54627421529 * d]
    if l_max >= 3:
        rr, u, v = xx + yy + zz, 3 * xx - yy, xx - 3 * yy
        zz5, rr3 = 5 * zz, 3 * rr
        w = zz5 - rr
        out += [0.59004358993 * (y * u), 2.89061144264 * (xy * z), 0.45704579946 * (y * w)]
        out += [0.37317633259 * (z * (zz5 - rr3)), 0.45704579946 * (x * w)]
        out += [1.44530572132 * (z * d), 0.59004358993 * (x * v)]
    if l_max >= 4:
        zz7 = 7 * zz
        a, b = zz7 - rr, zz7 - rr3
        out += [2.50334294180 * (xy * d), 1.77013076978 * (yz * u), 0.94617469576 * (xy * a), 0.66904654355 * (yz * b)]
        out += [0.10578554692 * (35 * zz * zz - 30 * zz * rr + rr3 * rr), 0.66904654355 * (xz * b)]
        out += [0.47308734788 * (d * a), 1.77013076978 * (xz * v), 0.62583573545 * (xx * v - yy * u)]
    return out


def radial(config: PowerSpectrumConfig, r: Counted, weight: Counted) -> list[Counted]:
    half_inverse, spacing, n_radial = 0.5 / config.sigma**2, config.spacing, config.n_radial
    x, middle = spacing**2 * half_inverse, n_radial // 2
    up = [math.exp(-(2 * n + 1) * x) for n in range(n_radial)]
    down = [math.exp((2 * n - 1) * x) for n in range(n_radial)]
    q = exp(r * (2 * spacing * half_inverse))
    p, distance = reciprocal(q), r - middle * spacing
    out: list[Any] = [None] * n_radial
    out[middle] = image = weight * exp(distance * distance * -half_inverse)
    for n in range(middle, n_radial - 1):
        out[n + 1] = out[n] * (q * up[n])
    for n in range(middle, 0, -1):
        out[n - 1] = image = image * (p * down[n])
    for n in range(sum(n * n * x < 20 for n in range(n_radial)) if config.smooth else 0):
        out[n] = out[n] + image
        image = image * (p * up[n])
    return out


def pair(config: PowerSpectrumConfig, vector: np.ndarray, weights: Sequence[float], c: list[list[Any]]) -> None:
    """Add one neighbour's part to the coefficients c[a][lm]."""
    x, y, z = (Counted(a) - 0.0 for a in vector)
    rr = x * x + y * y + z * z
    inverse = rsqrt(rr)
    r = rr * inverse
    angle = r * (math.pi / 2 / config.r_cut)
    inside = cutoff(angle * angle)
    if config.smooth:
        inverse = rsqrt(rr + config.softening**2)
    angular = harmonics(x * inverse, y * inverse, z * inverse, config.l_max)
    if len(weights) == 1:
        rows = radial(config, r, inside * weights[0])
    else:
        rows = [row * w for row in radial(config, r, inside) for w in weights]
        rows = [rows[n * len(weights) + k] for k in range(len(weights)) for n in range(config.n_radial)]
    for a, row in enumerate(rows):
        for lm, value in enumerate(angular):
            c[a][lm] = row * value + c[a][lm]


def spectrum(config: PowerSpectrumConfig, c: list[list[Any]]) -> list[Counted]:
    out = []
    for degree in range(config.l_max + 1):
        for a in range(len(c)):
            for b in range(a, len(c)):
                total: Any = None
                for m in range(degree**2, (degree + 1) ** 2):
                    total = c[a][m] * c[b][m] if total is None else total + c[a][m] * c[b][m]
                out.append(total)
    return out


def network(
    features: list[Counted], mean: np.ndarray, scale: np.ndarray, layers: Sequence[tuple[np.ndarray, np.ndarray]]
) -> float:
    values = [(f - m) * s for f, m, s in zip(features, mean, scale, strict=True)]
    for i, (weight, bias) in enumerate(layers):
        if i:
            values = [v * reciprocal(1.0 + exp(Counted(-v.value))) for v in values]
        sums: list[Any] = list(bias)
        for row in range(len(sums)):
            for v, w in zip(values, weight[row], strict=True):
                sums[row] = v * w + sums[row]
        values = sums
    return values[0].value


def field_pair(layout: FieldLayout, table: np.ndarray, vector: np.ndarray, stretch: float, sums: list[Any]) -> None:
    """Add one neighbour's part to the columns; ``native/fields_impl.h``."""
    config, steps = layout.expansion, n_steps(layout.expansion)
    x, y, z = ((Counted(a) - 0.0) * (1 / stretch) for a in vector)
    rr = x * x + y * y + z * z
    r = rr * rsqrt(rr)
    place = r * (steps / config.r_cut)
    step = min(int(place.value), steps - 1)
    u = place - step
    w = 1.0 - u
    spline = [
        w * w * w * (1 / 6),
        ((3.0 * u - 6.0) * u * u + 4.0) * (1 / 6),
        ((3.0 * w - 6.0) * w * w + 4.0) * (1 / 6),
        u * u * u * (1 / 6),
    ]
    inverse = rsqrt(rr + config.softening**2)
    angular = harmonics(z * inverse, x * inverse, y * inverse, config.l_max)
    for k, value in enumerate(spline):
        for lm, component in enumerate(angular):
            factor = component * value
            for column, entry in enumerate(table[step + k, lm, : layout.n_columns].tolist()):
                sums[column] = factor * entry + sums[column]


def field_products(layout: FieldLayout, sums: list[Any]) -> list[Any]:
    """Scalars, and the mean products of pairs of every other kind."""
    out, start = list(sums[: layout.kinds[0][0]]), layout.kinds[0][0]
    for mul, dim in layout.kinds[1:]:
        for a in range(mul):
            for b in range(a, mul):
                total = sums[start + a] * sums[start + b]
                for m in range(1, dim):
                    total = sums[start + m * mul + a] * sums[start + m * mul + b] + total
                out.append(total * (1 / dim))
        start += mul * dim
    return out


def log(x: Counted) -> Counted:
    mantissa, e = math.frexp(x.value)
    if mantissa < math.sqrt(0.5):
        mantissa, e = 2 * mantissa, e - 1
    m = Counted(mantissa) - 1.0
    z = m * m
    p: Any = 7.0376836292e-2
    for c in (-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1):
        p = m * p + c
    p = m * p - 2.4999993993e-1
    p = m * p + 3.3333331174e-1
    n = Counted(float(e))
    return m + (p * z * m - 0.5 * z + n * -2.12194440e-4) + n * 0.693359375 + (x - x)


def solid_harmonics(degree: int, x: Counted, y: Counted, z: Counted) -> tuple[list[Any], list[list[Any]]]:
    if degree == 0:
        return [1.0], [[0.0, 0.0, 0.0]]
    if degree == 1:
        return [x, y, z], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    q, xx, yy = 1 / (2 * math.sqrt(3)), x * x, y * y
    values = [x * y, y * z, z * x, 0.5 * (xx - yy), q * (2.0 * z * z - xx - yy)]
    slopes: list[list[Any]] = [[y, x, 0.0], [0.0, z, y], [z, 0.0, x], [x, -1 * y.value, 0.0]]
    return values, [*slopes, [-2 * q * x, -2 * q * y, 4 * q * z]]


def latent_pair(layout: LatentLayout, coefficients: np.ndarray, vector: np.ndarray, sums: list[list[Any]]) -> None:
    """Add one neighbour's part to sums[part][function]; ``native/orbitals_impl.h`` and ``native/latent_impl.h``.

    Args:
        layout: of the functions.
        coefficients: (orbitals of the kernel, functions).
        vector: from the atom to the point, Å.
        sums: values and derivatives.
    """
    config = layout.orbitals
    x, y, z = r = [(Counted(a) - 0.0) * (1 / BOHR) for a in vector]
    u = x * x + y * y + z * z
    inverse_s = rsqrt(u + config.softening**2)
    inverse_end, row = (BOHR / config.r_cut) ** 2, 0
    for degree, zeta in layout.shells:
        s, half = reciprocal(inverse_s), 0.5 * inverse_s
        e = orbital_norm(degree, zeta) * exp(-zeta * s)
        de = -zeta * half * e
        inside = 1.0 - u * inverse_end
        c, dc = inside * inside * inside, -3 * inverse_end * inside * inside
        f, df = e * c, de * c + e * dc
        for p, slope in zip(*solid_harmonics(degree, x, y, z), strict=True):
            stretch = 2.0 * df * p
            parts = [f * p, *(stretch * a + f * b for a, b in zip(r, slope, strict=True))]
            for part, value in enumerate(parts):
                for function, weight in enumerate(coefficients[row].tolist()):
                    sums[part][function] = value * weight + sums[part][function]
            row += 1


def pauli(layout: LatentLayout, sums: list[list[Any]]) -> list[Any]:
    """The features; ``native/latent_impl.h``."""
    f, slopes = sums[0], sums[1:]
    n: Any = DENSITY
    g: list[Any] = [0.0, 0.0, 0.0]
    for k, value in enumerate(f):
        n = value * value + n
        g = [value * slope[k] + total for slope, total in zip(slopes, g, strict=True)]
    log_n, inverse_n, root = log(n), reciprocal(n), rsqrt(n)
    uniform = UNIFORM * exp(5 / 3 * log_n)
    inverse_uniform, scale, steep = reciprocal(uniform), rsqrt(2.0 * uniform), root * rsqrt(uniform)
    boson = 0.5 * (g[0] * g[0] + g[1] * g[1] + g[2] * g[2]) * inverse_n * inverse_uniform
    chi = DENSITY * boson * inverse_n
    drift, along = [x * inverse_n for x in g], [x * steep for x in g]
    a: list[list[Any]] = [[], [], []]
    for k, value in enumerate(f):
        for i in range(3):
            a[i].append((slopes[i][k] - value * drift[i]) * scale)
            chi = a[i][k] * a[i][k] + chi
    values = [value * root for value in f]
    found = [-2.0 * log(chi + CHI), log_n, log(boson + CHI), *values[: layout.scalars]]
    starts = [0]
    for mul, dim in layout.kinds:
        starts.append(starts[-1] + mul * dim)
    for parts, kinds in (([values], range(1, len(layout.kinds))), (a, range(len(layout.kinds)))):
        for kind in kinds:
            (mul, dim), start = layout.kinds[kind], starts[kind]
            for one in range(mul):
                for other in range(one, mul):
                    total: Any = 0.0
                    for part in parts:
                        for m in range(dim):
                            row = start + m * mul
                            total = part[row + one] * part[row + other] + total
                    found.append(total)
    for k in range(layout.scalars):
        total = 0.0
        for i in range(3):
            total = a[i][k] * along[i] + total
        found.append(total)
    return found
