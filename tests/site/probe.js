// What test_browser.py asks of a page.
"use strict";

globalThis.probe = (() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const dot = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
  const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];

  // how many colours a picture has, of every fourth pixel
  function colours(selector) {
    const seen = document.querySelector(selector).querySelector("canvas");
    if (!seen?.width || !seen.height) return 0;
    const copy = new OffscreenCanvas(seen.width, seen.height).getContext("2d");
    copy.drawImage(seen, 0, 0);
    const pixels = new Uint32Array(copy.getImageData(0, 0, seen.width, seen.height).data.buffer);
    return new Set(pixels.filter((_, i) => i % 4 === 0)).size;
  }

  // texts with too little contrast to what is behind them (WCAG 2.2, level AA)
  function faint() {
    const channel = (c) => (c <= 0.04045 * 255 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => dot([0.2126, 0.7152, 0.0722], colour.map(channel));
    const behind = (element) => {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      return colour.length === 3 || colour[3] > 0 ? colour : behind(element.parentElement);
    };
    const contrast = (element) => {
      const style = getComputedStyle(element);
      const both = [numbers(element.closest("svg") ? style.fill : style.color), behind(element)].map(light);
      return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    };
    const written = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
    return all("body *")
      .filter((e) => written(e) && e.getClientRects().length && !e.closest("script") && contrast(e) < 4.5)
      .map((e) => `${e.tagName} ${e.textContent.trim().slice(0, 30)} ${contrast(e).toFixed(2)}`);
  }

  // what a screen reader could not name, or finds in the wrong order
  function nameless() {
    const found = [];
    const reached = "a, button, input, select, summary, [tabindex='0'], svg, [role=region]";
    const named = (e) => e.textContent.trim() || e.ariaLabel || e.labels?.length || e.getAttribute("aria-labelledby");
    for (const e of all(reached)) if (!named(e)) found.push(e.outerHTML.slice(0, 80));
    for (const id of all("[aria-labelledby]").map((e) => e.getAttribute("aria-labelledby")))
      if (!document.getElementById(id)) found.push(`no ${id}`);
    if (all("main > :not(.card) table:not(:has(caption))").length) found.push("a table without a caption");
    const levels = all("h1, h2, h3, h4, h5, h6").map((h) => Number(h.tagName[1]));
    if (levels.filter((level) => level === 1).length !== 1) found.push(`not one heading of the first level: ${levels}`);
    if (levels.some((level, i) => i && level > levels[i - 1] + 1)) found.push(`a level is left out: ${levels}`);
    const ids = all("[id]").map((e) => e.id);
    if (new Set(ids).size !== ids.length) found.push(`an id twice: ${ids}`);
    if (!document.documentElement.lang || !document.title) found.push("no language or title");
    if (all("main").length !== 1) found.push("not one main part");
    return found;
  }

  // The isosurface of cos + cos + cos in a skewed cell: how far vertices are off, how far normals are turned (1 - cos),
  // the share of the cell that the meshes enclose, how far they leave the cell, and the area that is turned inside out.
  function waves(n, isovalue) {
    const lattice = [[3, 0.2, -0.3], [1.2, 2.5, 0.4], [-0.5, 0.6, 2.8]];
    const wave = (i) => Math.cos((2 * Math.PI * i) / n);
    const value = (_, i) => wave(Math.floor(i / n / n)) + wave(Math.floor(i / n) % n) + wave(i % n);
    const field = { shape: [n, n, n], values: Float32Array.from({ length: n ** 3 }, value) };
    const { surface, cut } = elfzoo.isosurface(field, lattice, isovalue);

    const planes = [0, 1, 2].map((i) => cross(lattice[(i + 1) % 3], lattice[(i + 2) % 3]));
    const size = dot(lattice[0], planes[0]);
    const list = ({ x, y, z }) => [x, y, z];
    const frac = (vertex) => planes.map((plane) => dot(list(vertex), plane) / size);
    const found = { off: 0, turned: 0, share: 0, outside: 0, wrong: 0 };
    surface.vertexArr.forEach((vertex, i) => {
      const angles = frac(vertex).map((f) => 2 * Math.PI * f);
      const slope = [0, 1, 2].map((c) => dot(planes.map((plane) => plane[c]), angles.map(Math.sin)));
      const cosine = dot(list(surface.normalArr[i]), slope) / Math.hypot(...slope);
      found.off = Math.max(found.off, Math.abs(dot(angles.map(Math.cos), [1, 1, 1]) - isovalue));
      found.turned = Math.max(found.turned, 1 - cosine);
    });
    for (const { vertexArr, normalArr, faceArr } of [surface, cut]) {
      for (const vertex of vertexArr)
        for (const f of frac(vertex)) found.outside = Math.max(found.outside, -f, f - 1);
      for (let i = 0; i < faceArr.length; i += 3) {
        const [a, b, c] = [0, 1, 2].map((k) => list(vertexArr[faceArr[i + k]]));
        const face = cross(b.map((x, k) => x - a[k]), c.map((x, k) => x - a[k]));
        found.share += dot(a, cross(b, c)) / 6 / size;
        found.wrong += dot(face, list(normalArr[faceArr[i]])) < 0 ? Math.hypot(...face) / 2 : 0;
      }
    }
    return found;
  }

  return { colours, faint, nameless, waves };
})();
