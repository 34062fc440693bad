// Fields as the pages carry them, and their isosurfaces: naive surface nets of one closed periodic cell.
"use strict";

const elfzoo = (() => {
  const OUTSIDE = Math.fround(-1e30); // height of the points around the cell
  const AXES = [0, 1, 2];
  const CORNERS = [0, 1, 2, 3, 4, 5, 6, 7].map((c) => [c >> 2, (c >> 1) & 1, c & 1]);
  const EDGES = CORNERS.flatMap((_, a) => [1, 2, 4].filter((bit) => !(a & bit)).map((bit) => [a, a | bit]));
  const fields = {}; // promises, by key

  const dot = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
  const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];

  // See scene.py: deflated differences along the last axis, low bytes before high bytes.
  async function unpacked({ shape, low, high, levels, data }) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const values = new Float32Array(shape[0] * shape[1] * shape[2]);
    for (let start = 0; start < values.length; start += shape[2]) {
      let level = 0;
      for (let i = start; i < start + shape[2]; i++) {
        level = (level + planes[i] + 256 * planes[values.length + i]) & 0xffff;
        values[i] = low + (level * (high - low)) / levels;
      }
    }
    return { shape, values };
  }

  // Values minus isovalue on the n + 1 points of the closed cell, with points outside of it on either side.
  function padded({ shape: [nx, ny, nz], values }, isovalue) {
    const size = [nx + 3, ny + 3, nz + 3];
    const step = [size[1] * size[2], size[2], 1];
    const height = new Float32Array(size[0] * step[0]).fill(OUTSIDE);
    for (let i = 0; i <= nx; i++)
      for (let j = 0; j <= ny; j++) {
        const to = (i + 1) * step[0] + (j + 1) * step[1] + 1;
        const from = ((i % nx) * ny + (j % ny)) * nz;
        for (let k = 0; k <= nz; k++) height[to + k] = values[from + (k % nz)] - isovalue;
      }
    return { size, step, height };
  }

  // Mean of where the surface crosses the edges of a box, in grid steps. Crossings towards points outside of the cell
  // lie on its face and count only where there are no others: a cut ends where the surface meets the face.
  function crossing(height, offset, index, box) {
    const sums = [[0, 0, 0, 0], [0, 0, 0, 0]];
    for (const [a, b] of EDGES) {
      const [f, g] = [height[index + offset[a]], height[index + offset[b]]];
      if (f >= 0 === g >= 0) continue;
      const sum = sums[f === OUTSIDE || g === OUTSIDE ? 1 : 0];
      for (const c of AXES) sum[c] += box[c] - 1 + CORNERS[a][c] + (f / (f - g)) * (CORNERS[b][c] - CORNERS[a][c]);
      sum[3]++;
    }
    const [x, y, z, count] = sums[0][3] ? sums[0] : sums[1];
    return [x / count, y / count, z / count];
  }

  // One vertex for each box of eight points that the surface passes through: places, and their numbers by box.
  function vertices({ size, step, height }) {
    const offset = CORNERS.map((corner) => AXES.reduce((sum, c) => sum + corner[c] * step[c], 0));
    const places = [];
    const number = new Int32Array(height.length).fill(-1);
    for (let i = 0; i < size[0] - 1; i++)
      for (let j = 0; j < size[1] - 1; j++)
        for (let k = 0; k < size[2] - 1; k++) {
          const index = i * step[0] + j * step[1] + k;
          let inside = 0;
          for (let c = 0; c < 8; c++) inside += height[index + offset[c]] >= 0;
          if (inside === 0 || inside === 8) continue;
          number[index] = places.length;
          places.push(crossing(height, offset, index, [i, j, k]));
        }
    return { places, number };
  }

  // Trilinear between the points of the periodic grid; places are in grid steps, from -1 to n + 1.
  function interpolated({ shape: [nx, ny, nz], values }, p, q, r) {
    const [i, j, k] = [Math.floor(p), Math.floor(q), Math.floor(r)];
    const [u, v, w] = [p - i, q - j, r - k];
    const a = (i + nx) % nx, b = (j + ny) % ny, c = (k + nz) % nz;
    const x0 = a * ny, x1 = ((a + 1) % nx) * ny, y1 = (b + 1) % ny, z1 = (c + 1) % nz;
    const row = (start) => values[start + c] * (1 - w) + values[start + z1] * w;
    const plane = (x) => row((x + b) * nz) * (1 - v) + row((x + y1) * nz) * v;
    return plane(x0) * (1 - u) + plane(x1) * u;
  }

  // Unit vector against the gradient, out of the region.
  function normal(field, inverse, [p, q, r]) {
    const at = (x, y, z) => interpolated(field, x, y, z);
    const [nx, ny, nz] = field.shape;
    const a = (at(p - 1, q, r) - at(p + 1, q, r)) * nx;
    const b = (at(p, q - 1, r) - at(p, q + 1, r)) * ny;
    const c = (at(p, q, r - 1) - at(p, q, r + 1)) * nz;
    return unit(inverse.map((row) => dot(row, [a, b, c])));
  }

  function unit([x, y, z]) {
    const length = Math.hypot(x, y, z) || 1;
    return { x: x / length, y: y / length, z: z / length };
  }

  // Inverse of three rows; its columns are the reciprocal vectors, without 2π.
  function inverted([a, b, c]) {
    const columns = [cross(b, c), cross(c, a), cross(a, b)];
    return AXES.map((i) => columns.map((column) => column[i] / dot(a, columns[0])));
  }

  // A mesh as 3Dmol takes it, of corners that are added one by one.
  class Mesh {
    vertexArr = [];
    normalArr = [];
    faceArr = [];

    vertex([x, y, z], normal) {
      this.normalArr.push(normal);
      return this.vertexArr.push({ x, y, z }) - 1;
    }

    // two triangles, along the diagonal that lies inside
    square([a, b, c, d]) {
      const inside = dot(this.area(a, b, c), this.area(a, c, d)) >= 0;
      this.faceArr.push(...(inside ? [a, b, c, a, c, d] : [a, b, d, b, c, d]));
    }

    area(...corners) {
      const [p, q, r] = corners.map((corner) => this.vertexArr[corner]);
      return cross([q.x - p.x, q.y - p.y, q.z - p.z], [r.x - p.x, r.y - p.y, r.z - p.z]);
    }
  }

  // The region {value >= isovalue} of one cell as two meshes: its surface, and the cuts where the cell ends.
  // Positions are in the unit of the lattice (rows); faces go counterclockwise seen from outside of the region.
  function isosurface(field, lattice, isovalue) {
    const grid = padded(field, isovalue);
    const { places, number } = vertices(grid);
    const inverse = inverted(lattice);
    const columns = AXES.map((c) => lattice.map((row, axis) => row[c] / field.shape[axis]));
    const points = places.map((place) => columns.map((column) => dot(place, column)));
    const [surface, cut] = [new Mesh(), new Mesh()];
    const shared = new Map();
    const onSurface = (v) => {
      if (!shared.has(v)) shared.set(v, surface.vertex(points[v], normal(field, inverse, places[v])));
      return shared.get(v);
    };
    for (const { around, face } of squares(grid, number)) {
      if (face === null) surface.square(around.map(onSurface));
      else {
        const outward = unit(inverse.map((row) => face.sign * row[face.axis]));
        cut.square(around.map((v) => cut.vertex(points[v], outward)));
      }
    }
    return { surface, cut };
  }

  // Of every edge of the grid that leaves the region: the vertices of the four boxes around it, and the face of the
  // cell that it leaves through, if it does.
  function* squares({ step, height }, number) {
    for (const axis of AXES) {
      const [b, c] = [step[(axis + 1) % 3], step[(axis + 2) % 3]];
      for (let index = b + c; index < height.length - step[axis]; index++) {
        const [f, g] = [height[index], height[index + step[axis]]];
        if (f >= 0 === g >= 0) continue;
        const around = [index, index - b, index - b - c, index - c].map((box) => number[box]);
        const face = f === OUTSIDE || g === OUTSIDE ? { axis, sign: f >= 0 ? 1 : -1 } : null;
        yield { around: f >= 0 ? around : around.reverse(), face };
      }
    }
  }

  return {
    fields,
    isosurface,
    add: (key, packed) => (fields[key] = unpacked(packed)),
    // share of the points at or above a value
    share: ({ values }, isovalue) => values.reduce((count, value) => count + (value >= isovalue), 0) / values.length,
    difference: (a, b) => ({ shape: a.shape, values: a.values.map((value, i) => value - b.values[i]) }),
    negative: ({ shape, values }) => ({ shape, values: values.map((value) => -value) }),
  };
})();
