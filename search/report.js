"use strict";
// The timeline and the choice of colours; all else of the page is plain HTML.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
document.getElementById("theme").addEventListener("click", () => {
  const now = root.dataset.theme || (system.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  later();
});
const data = JSON.parse(document.getElementById("report").textContent);
const line = data.timeline;
const LABEL = 78, ROW = 30, GAP = 6, AXIS = 24, LEAST = 40, STILL = 6;
let canvas, what, units = [], END = 1, from = 1, to = 1, mark = null, row = 0, waiting = false;

// Spans come as lengths in base 36 and one digit a cause; here they become starts.
function unpacked(unit) {
  const lengths = unit.lengths.split(" ");
  const starts = new Float64Array(lengths.length + 1);
  starts[0] = 1;
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = starts[i] + parseInt(lengths[i], 36);
  const bundles = []; // runs of tiles of one bundle, in the form of a tile
  for (const [start, end, bundle] of unit.tiles) {
    const run = bundles[bundles.length - 1];
    if (run && run[2] === bundle && run[1] === start) run[1] = end;
    else bundles.push([start, end, bundle]);
  }
  return { name: unit.name, starts, causes: Uint8Array.from(unit.causes, Number), tiles: unit.tiles, bundles };
}

function last(values, x) { // index of the last value that is not above x
  let low = 0, high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= x) low = middle; else high = middle - 1;
  }
  return low;
}

function later() { // many events, one picture
  if (!line || waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  const style = getComputedStyle(root), colour = (name) => style.getPropertyValue("--" + name).trim();
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth;
  const height = AXIS + units.length * (ROW + GAP);
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const c = canvas.getContext("2d");
  c.scale(scale, scale);
  c.textBaseline = "middle";
  c.lineJoin = "round";
  const plot = width - LABEL, step = (to - from) / plot, causes = line.causes.map(colour);
  c.font = "12px system-ui, sans-serif";
  axis(c, plot, colour("soft"));
  units.forEach((unit, number) => {
    const top = AXIS + number * (ROW + GAP);
    c.font = (number === row && mark !== null ? "bold " : "") + "12px system-ui, sans-serif";
    c.fillStyle = colour("text");
    c.fillText(unit.name, 0, top + ROW / 2, LABEL - 6);
    bars(c, unit, top, step, plot, causes);
    names(c, unit, top + ROW / 2, step, plot, colour);
  });
  if (mark !== null && from <= mark && mark <= to) {
    c.fillStyle = colour("text");
    c.fillRect(LABEL + (mark - from) / step, AXIS, 1, height - AXIS);
  }
}

function axis(c, plot, colour) {
  const wish = (to - from) / Math.max(2, plot / 90);
  let tick = 10 ** Math.floor(Math.log10(wish));
  if (tick < wish) tick *= [2, 5, 10].find((times) => tick * times >= wish);
  tick = Math.max(1, tick);
  let free = LABEL; // right of the last number
  c.fillStyle = colour;
  c.fillText("cycle", 0, AXIS / 2);
  for (let x = Math.ceil(from / tick) * tick; x < to; x += tick) {
    const at = LABEL + ((x - from) / (to - from)) * plot, text = x.toLocaleString("en");
    const room = c.measureText(text).width, left = Math.min(at + 3, LABEL + plot - room);
    c.fillRect(at, AXIS - 6, 1, 4);
    if (left < free) continue;
    c.fillText(text, left, AXIS / 2);
    free = left + room + 8;
  }
}

function bars(c, unit, top, step, plot, colours) {
  // A column of pixels shows the causes of its cycles one above the other, as shares.
  const shares = new Float64Array(colours.length);
  let i = last(unit.starts, from);
  for (let pixel = 0; pixel < plot; pixel++) {
    const begin = from + pixel * step, end = Math.min(begin + step, END);
    while (i + 1 < unit.causes.length && unit.starts[i + 1] <= begin) i++;
    if (unit.starts[i + 1] >= end) { // one span, perhaps for many pixels
      let run = pixel + 1;
      while (run < plot && from + (run + 1) * step <= unit.starts[i + 1]) run++;
      c.fillStyle = colours[unit.causes[i]];
      c.fillRect(LABEL + pixel, top, run - pixel, ROW);
      pixel = run - 1;
      continue;
    }
    shares.fill(0);
    for (let at = begin; at < end && i < unit.causes.length;) {
      const stop = Math.min(end, unit.starts[i + 1]);
      shares[unit.causes[i]] += stop - at;
      at = stop;
      if (at < end) i++;
    }
    let y = top + ROW;
    for (let cause = 0; cause < shares.length; cause++) {
      if (!shares[cause]) continue;
      const high = (shares[cause] / (end - begin)) * ROW;
      y -= high;
      c.fillStyle = colours[cause];
      c.fillRect(LABEL + pixel, y, 1, high);
    }
  }
}

function names(c, unit, middle, step, plot, colour) {
  c.font = "12px system-ui, sans-serif";
  c.lineWidth = 3;
  c.strokeStyle = colour("card"); // a rim, so that the name can be read on every colour
  c.fillStyle = colour("text");
  const put = (text, [start, end], least) => {
    if (end < from || start > to || (end - start) / step < least) return false;
    const left = Math.max(LABEL + (start - from) / step, LABEL) + 4;
    const room = Math.min(LABEL + (end - from) / step, LABEL + plot) - left;
    if (c.measureText(text).width > room) return false;
    c.strokeText(text, left, middle);
    c.fillText(text, left, middle);
    return true;
  };
  let named = false;
  for (const tile of unit.tiles) named = put(`${tile[2]}/${tile[3]}`, tile, 40) || named;
  if (!named) for (const run of unit.bundles) put(`bundle ${run[2]}`, run, 60);
}

function show(start, end) {
  const span = Math.min(Math.max(end - start, LEAST), END - 1);
  from = Math.min(Math.max(start, 1), END - span);
  to = from + span;
  later();
}
const zoom = (factor, at = (from + to) / 2) => show(at - (at - from) * factor, at + (to - at) * factor);
const move = (share) => show(from + (to - from) * share, to + (to - from) * share);

function tell(cycle, number) {
  mark = cycle;
  row = number;
  const unit = units[row], i = last(unit.starts, cycle), cause = line.causes[unit.causes[i]];
  const tile = unit.tiles.find(([start, end]) => start <= cycle && cycle < end);
  const work = tile ? `, bundle ${tile[2]} tile ${tile[3]}` : "";
  const cycles = unit.starts[i + 1] - unit.starts[i], whole = Math.floor(cycle);
  what.textContent = `Cycle ${whole.toLocaleString("en")} (${(whole / data.clock_mhz / 1000).toFixed(5)} ms), ${unit.name}: ` +
    `${line.words[cause]} for ${cycles.toLocaleString("en")} cycle${cycles === 1 ? "" : "s"}${work}`;
  later();
}

function place(x, y) { // of a point of the window: cycle and unit
  const box = canvas.getBoundingClientRect();
  const cycle = from + ((x - box.left - LABEL) / (box.width - LABEL)) * (to - from);
  const number = Math.floor((y - box.top - AXIS) / (ROW + GAP));
  return [Math.min(Math.max(cycle, 1), END - 1), Math.min(Math.max(number, 0), units.length - 1)];
}

function listen() {
  const fingers = new Map();
  let far = 0; // pixels that the pointer has moved since it came down
  canvas.addEventListener("wheel", (event) => {
    // A page that is read must not be caught by a picture: the wheel is the timeline's once chosen.
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / canvas.clientWidth);
    else zoom(event.deltaY > 0 ? 1.25 : 0.8, place(event.clientX, 0)[0]);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) far = 0;
    fingers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) { // no button: look
      tell(...place(event.clientX, event.clientY));
      return;
    }
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    fingers.set(event.pointerId, event);
    far += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
    move((before.clientX - event.clientX) / (canvas.clientWidth - LABEL) / fingers.size);
    if (!other) return;
    far = Infinity;
    const apart = (one) => Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
    zoom(apart(before) / apart(event), place((event.clientX + other.clientX) / 2, 0)[0]);
  });
  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (far < STILL && !fingers.size) tell(...place(event.clientX, event.clientY)); // a tap
  });
  canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("dblclick", (event) => zoom(0.5, place(event.clientX, 0)[0]));
  const keys = {
    ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), Home: () => show(1, END),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
    ArrowUp: () => { row = Math.max(0, row - 1); },
    ArrowDown: () => { row = Math.min(units.length - 1, row + 1); },
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return; // the browser's own
    event.preventDefault();
    keys[event.key]();
    tell((from + to) / 2, row);
  });
  const buttons = {
    "zoom-in": () => zoom(0.5), "zoom-out": () => zoom(2), left: () => move(-0.5),
    right: () => move(0.5), all: () => show(1, END),
  };
  for (const [id, act] of Object.entries(buttons)) document.getElementById(id).addEventListener("click", act);
  new ResizeObserver(later).observe(canvas.parentElement);
  system.addEventListener("change", later);
}

root.dataset.ready = "1";
if (line) {
  canvas = document.getElementById("timeline");
  what = document.getElementById("what");
  units = line.units.map(unpacked);
  END = to = line.cycles + 1;
  listen();
  draw();
}
