// The viewer: isosurfaces of a reference, a prediction and their residual, turned together. 3Dmol draws.
"use strict";

(() => {
  const TURN = 15; // degrees for a press of an arrow key
  const ZOOM = 1.2;
  const EDGE = 0.012; // of the cell edges, radius over the half diagonal of the cell
  const ROOM = 0.97; // half width of the picture, of the half diagonal
  const LIGHT = { x: 0, y: 0.35, z: 0.94 }; // from before the picture and a little above
  const GLOW = 1.35; // of colours: 3Dmol's light leaves what is turned away from it dark
  const CONFIG = { backgroundAlpha: 0, antialias: true, orthographic: true, disableFog: true };
  const KEYS = {
    ArrowLeft: ["rotate", -TURN, "vy"],
    ArrowRight: ["rotate", TURN, "vy"],
    ArrowUp: ["rotate", -TURN, "vx"],
    ArrowDown: ["rotate", TURN, "vx"],
    "+": ["zoom", ZOOM],
    "=": ["zoom", ZOOM],
    "-": ["zoom", 1 / ZOOM],
    0: ["reset"],
  };

  const sum = (...vectors) => [0, 1, 2].map((i) => vectors.reduce((total, v) => total + v[i], 0));
  const times = (factor, vector) => vector.map((x) => factor * x);
  const point = ([x, y, z]) => ({ x, y, z });
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  // The cell: its corners, and where it is seen from.
  class Cell {
    constructor({ lattice: [a, b, c], view }) {
      const corner = (n) => sum(times(n >> 2, a), times((n >> 1) & 1, b), times(n & 1, c));
      this.corners = [0, 1, 2, 3, 4, 5, 6, 7].map(corner);
      this.centre = times(0.5, this.corners[7]);
      this.radius = Math.max(...this.corners.map((corner) => Math.hypot(...sum(corner, times(-1, this.centre)))));
      // 3Dmol's camera stands at 150; half of what it sees at the distance d is d tan 20°
      this.view = [...times(-1, this.centre), 150 - (ROOM * this.radius) / Math.tan(Math.PI / 9), ...view];
    }

    get edges() {
      const from = (start, n) => [1, 2, 4].filter((bit) => !(n & bit)).map((bit) => [start, this.corners[n | bit]]);
      return this.corners.flatMap(from);
    }
  }

  // One canvas with the cell and its atoms, and surfaces that come and go. It is made when it is first seen: 3Dmol
  // cannot draw where there is no room.
  class Panel {
    constructor(figure, scene, cell, follow) {
      Object.assign(this, { figure, scene, cell, follow, shapes: [], made: null });
      this.stage = figure.querySelector(".stage");
    }

    get visible() {
      return this.stage.offsetWidth > 0 && this.stage.offsetHeight > 0;
    }

    get picture() {
      return (this.made ??= this.make());
    }

    make() {
      const picture = $3Dmol.createViewer(this.stage, { ...CONFIG, id: `canvas-${this.figure.dataset.shows}` });
      Object.assign(picture.scene.__lights[0].position, LIGHT);
      const model = picture.addModel();
      model.addAtoms(this.scene.atoms.map(({ element, position }) => ({ elem: element, ...point(position) })));
      for (const { element, radius, colour } of this.scene.atoms)
        model.setStyle({ elem: element }, { sphere: { radius, color: colour } });
      picture.setViewChangeCallback(this.follow);
      return picture;
    }

    // of the style sheet
    colour(name) {
      const { r, g, b } = $3Dmol.CC.color(getComputedStyle(this.figure).getPropertyValue(`--${name}`).trim());
      const glow = Math.min(GLOW, 1 / Math.max(r, g, b)); // beyond 1 a colour becomes another one
      return new $3Dmol.Color(glow * r, glow * g, glow * b);
    }

    // surfaces: [[field, isovalue, name of a colour], ...]
    draw(surfaces) {
      for (const shape of this.shapes.splice(0)) this.picture.removeShape(shape);
      let triangles = 0;
      for (const [field, isovalue, name] of surfaces) {
        const { surface, cut } = elfzoo.isosurface(field, this.scene.lattice, isovalue);
        for (const [mesh, colour] of [[surface, name], [cut, `${name}-cut`]]) {
          if (mesh.faceArr.length) this.shapes.push(this.picture.addCustom({ ...mesh, color: this.colour(colour) }));
          triangles += mesh.faceArr.length / 3;
        }
      }
      const edge = { radius: EDGE * this.cell.radius, color: this.colour("edge"), fromCap: 2, toCap: 2 };
      for (const [start, end] of this.cell.edges)
        this.shapes.push(this.picture.addCylinder({ ...edge, start: point(start), end: point(end) }));
      this.figure.dataset.triangles = triangles;
      this.picture.render();
    }

    say(text) {
      this.figure.querySelector("[data-volume]").textContent = text;
    }
  }

  // All panels of a page, and their controls.
  class Viewer {
    constructor(root) {
      this.root = root;
      this.scene = JSON.parse(root.querySelector("script[type='application/json']").textContent);
      this.cell = new Cell(this.scene);
      this.view = this.cell.view;
      const follow = (view) => this.follow(view);
      const panel = (figure) => [figure.dataset.shows, new Panel(figure, this.scene, this.cell, follow)];
      this.panels = new Map([...root.querySelectorAll(".panel")].map(panel));
      this.fields = {};
      this.isovalue = this.scene.isovalue;
      this.level = null;
      this.stale = new Set();
      this.listen();
    }

    find(name) {
      return this.root.querySelector(`[data-control="${name}"]`);
    }

    listen() {
      const on = (name, kind, action) => this.find(name)?.addEventListener(kind, action);
      on("isovalue", "input", (event) => this.setIsovalue(Number(event.target.value)));
      on("phi", "click", () => this.setIsovalue(this.scene.phi));
      on("level", "input", (event) => this.setLevel(Number(event.target.value)));
      on("prediction", "change", () => this.choose());
      for (const button of this.root.querySelectorAll("[data-key]"))
        button.addEventListener("click", () => this.move(...KEYS[button.dataset.key]));
      for (const radio of this.root.querySelectorAll("input[name=shown]"))
        radio.addEventListener("change", () => (this.root.dataset.shown = radio.value)); // the style sheet shows it
      const all = () => this.redraw(...this.panels.keys());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
      const room = new ResizeObserver(() => this.redraw());
      for (const { stage } of this.panels.values()) {
        stage.addEventListener("keydown", (event) => this.press(event));
        stage.addEventListener("wheel", (event) => this.wheel(event, stage), { capture: true });
        room.observe(stage);
      }
    }

    press(event) {
      const step = KEYS[event.key];
      if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.move(...step);
    }

    // the page scrolls until a picture was clicked or reached by key
    wheel(event, stage) {
      if (!stage.contains(document.activeElement) && !event.ctrlKey) event.stopPropagation();
    }

    move(what, ...how) {
      const picture = [...this.panels.values()].find((panel) => panel.visible)?.picture;
      if (what === "reset") picture?.setView(this.cell.view);
      else picture?.[what](...how);
    }

    // what one panel shows is seen from the same side in all others
    follow(view) {
      if (view.every((x, i) => x === this.view[i])) return;
      this.view = view;
      for (const panel of this.panels.values()) if (panel.made && panel.visible) panel.picture.setView(view);
    }

    async start() {
      this.fields.reference = await this.load(this.scene.shown[0]);
      await this.choose();
      this.root.dataset.state = "ready";
    }

    // fields that are not in the page come by a script of their own
    async load({ key, script }) {
      if (!(key in elfzoo.fields)) {
        await new Promise((resolve, reject) => {
          const element = Object.assign(document.createElement("script"), { src: script, onload: resolve });
          element.onerror = () => reject(new Error(`${script} is missing`));
          document.head.append(element);
        });
      }
      return elfzoo.fields[key];
    }

    async choose() {
      const key = this.find("prediction")?.value ?? this.scene.shown[1]?.key;
      const shown = this.scene.shown.find((one) => one.key === key);
      if (shown !== undefined) {
        this.fields.prediction = await this.load(shown);
        for (const name of this.root.querySelectorAll("[data-name]")) name.textContent = shown.label;
        this.fields.residual = elfzoo.difference(this.fields.prediction, this.fields.reference);
        this.setRange();
      }
      this.setIsovalue(this.isovalue);
    }

    // the slider of the residual ends at the largest one
    setRange() {
      const largest = this.fields.residual.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
      const slider = this.find("level");
      slider.max = largest.toPrecision(3);
      slider.min = slider.step = (largest / 100).toPrecision(3);
      this.setLevel(Math.min(this.level ?? this.scene.level ?? largest / 2, largest / 2));
    }

    setIsovalue(value) {
      this.isovalue = value;
      this.tell("isovalue", value, value.toFixed(3));
      this.redraw("reference", "prediction");
    }

    setLevel(value) {
      this.level = value;
      this.tell("level", value, `± ${value.toPrecision(3)}`);
      this.redraw("residual");
    }

    tell(name, value, text) {
      const slider = this.find(name);
      slider.value = value;
      slider.setAttribute("aria-valuetext", text);
      this.root.querySelector(`[data-output="${name}"]`).textContent = text;
    }

    // at most once for each frame of the screen; what is not seen waits until it is
    redraw(...names) {
      for (const name of names) this.stale.add(name);
      this.pending ??= requestAnimationFrame(() => {
        this.pending = null;
        for (const [name, panel] of this.panels) if (panel.visible && name in this.fields) this.show(name, panel);
      });
    }

    show(name, panel) {
      panel.picture.setView(this.view);
      if (this.stale.delete(name)) this.draw(name, panel, this.fields[name]);
    }

    draw(name, panel, field) {
      if (name === "residual") return this.drawResidual(panel, field);
      panel.draw([[field, this.isovalue, "surface"]]);
      panel.say(`${percent(elfzoo.share(field, this.isovalue))} of the volume lies above ${this.isovalue.toFixed(3)}.`);
    }

    drawResidual(panel, field) {
      const negative = elfzoo.negative(field);
      panel.draw([[field, this.level, "over"], [negative, this.level, "under"]]);
      const [over, under] = [field, negative].map((one) => percent(elfzoo.share(one, this.level)));
      const limit = this.level.toPrecision(3);
      panel.say(`${over} of the volume is predicted too high by more than ${limit}, ${under} too low.`);
    }
  }

  function fail(root, message) {
    root.dataset.state = "failed";
    root.querySelector("[data-message]").textContent = message;
  }

  for (const root of document.querySelectorAll(".viewer")) {
    const able = document.createElement("canvas").getContext("webgl2") && "DecompressionStream" in window;
    if (!able) fail(root, "This browser cannot draw in three dimensions (WebGL 2). All numbers are in the tables.");
    else
      Promise.resolve()
        .then(() => new Viewer(root).start())
        .catch((error) => fail(root, `The fields could not be shown: ${error.message}.`));
  }
})();
