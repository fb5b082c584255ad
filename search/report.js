"use strict";
// The timeline and the choice of colours; all else of the page is plain HTML.
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  draw();
});

const data = JSON.parse(document.getElementById("report").textContent);
const line = data.timeline;
const canvas = document.getElementById("timeline");
const what = document.getElementById("what");
const LABEL = 78, ROW = 30, GAP = 6, AXIS = 24, LEAST = 40;

// Spans come as lengths in base 36 and one digit a cause; here they become starts.
const units = line.units.map((unit) => {
  const lengths = unit.lengths.split(" ");
  const starts = new Float64Array(lengths.length + 1);
  starts[0] = 1;
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = starts[i] + parseInt(lengths[i], 36);
  const causes = Uint8Array.from(unit.causes, Number);
  const tiles = unit.tiles; // [start, end, bundle, tile]
  return { name: unit.name, starts, causes, tiles };
});
const END = line.cycles + 1;
let from = 1, to = END, mark = null;

function last(values, x) { // index of the last value that is not above x
  let low = 0, high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= x) low = middle; else high = middle - 1;
  }
  return low;
}

function draw() {
  const style = getComputedStyle(root);
  const colours = line.causes.map((cause) => style.getPropertyValue("--" + cause).trim());
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth;
  const height = AXIS + units.length * (ROW + GAP);
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const c = canvas.getContext("2d");
  c.scale(scale, scale);
  c.clearRect(0, 0, width, height);
  c.font = "12px system-ui, sans-serif";
  c.textBaseline = "middle";
  const plot = width - LABEL, step = (to - from) / plot;
  axis(c, style, plot);
  units.forEach((unit, row) => {
    const top = AXIS + row * (ROW + GAP);
    c.fillStyle = style.getPropertyValue("--text");
    c.fillText(unit.name, 0, top + ROW / 2);
    bars(c, unit, top, plot, step, colours);
    names(c, unit, top, step, style);
  });
  if (mark !== null) {
    c.fillStyle = style.getPropertyValue("--text");
    c.fillRect(LABEL + (mark - from) / step, AXIS, 1, height - AXIS);
  }
}

function axis(c, style, plot) {
  const wish = (to - from) / Math.max(2, plot / 110);
  let tick = 10 ** Math.floor(Math.log10(wish));
  while (tick < wish) tick *= tick * 2 >= wish ? 2 : 5;
  c.fillStyle = style.getPropertyValue("--soft");
  for (let x = Math.ceil(from / tick) * tick; x < to; x += tick) {
    const at = LABEL + ((x - from) / (to - from)) * plot;
    c.fillRect(at, AXIS - 6, 1, 4);
    if (at < LABEL + plot - 40) c.fillText(x.toLocaleString("en"), at + 3, AXIS / 2);
  }
}

function bars(c, unit, top, plot, step, colours) {
  // A column of pixels shows the causes of its cycles one above the other, as shares.
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
    const shares = new Float64Array(colours.length);
    let at = begin;
    while (at < end && i < unit.causes.length) {
      const stop = Math.min(end, unit.starts[i + 1]);
      shares[unit.causes[i]] += stop - at;
      at = stop;
      if (at < end) i++;
    }
    let y = top + ROW;
    shares.forEach((cycles, cause) => {
      if (!cycles) return;
      const high = (cycles / (end - begin)) * ROW;
      y -= high;
      c.fillStyle = colours[cause];
      c.fillRect(LABEL + pixel, y, 1, high);
    });
  }
}

function names(c, unit, top, step, style) {
  c.fillStyle = style.getPropertyValue("--card");
  for (const [start, end, bundle, tile] of unit.tiles) {
    const x = LABEL + (start - from) / step, wide = (end - start) / step;
    if (wide < 44 || end < from || start > to) continue;
    c.fillText(`${bundle}/${tile}`, Math.max(x, LABEL) + 4, top + ROW / 2);
  }
}

function show(start, end) {
  const span = Math.min(Math.max(end - start, LEAST), END - 1);
  from = Math.min(Math.max(start, 1), END - span);
  to = from + span;
  draw();
}
const zoom = (factor, at = (from + to) / 2) =>
  show(at - (at - from) * factor, at + (to - at) * factor);
const move = (share) => show(from + (to - from) * share, to + (to - from) * share);

function tell(cycle, row) {
  const unit = units[row], i = last(unit.starts, cycle), cause = line.causes[unit.causes[i]];
  const tile = unit.tiles.find(([start, end]) => start <= cycle && cycle < end);
  const work = tile ? `, bundle ${tile[2]} tile ${tile[3]}` : "";
  const cycles = unit.starts[i + 1] - unit.starts[i];
  what.textContent = `Cycle ${Math.floor(cycle).toLocaleString("en")}, ${unit.name}: ` +
    `${line.words[cause]} for ${cycles.toLocaleString("en")} cycles${work}`;
}

const place = (event) => {
  const box = canvas.getBoundingClientRect();
  const cycle = from + ((event.clientX - box.left - LABEL) / (box.width - LABEL)) * (to - from);
  const row = Math.floor((event.clientY - box.top - AXIS) / (ROW + GAP));
  return [Math.min(Math.max(cycle, 1), END - 1), Math.min(Math.max(row, 0), units.length - 1)];
};
const fingers = new Map();
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.25 : 0.8, place(event)[0]);
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
});
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) { // no button: look
    const [cycle, row] = place(event);
    mark = cycle;
    tell(cycle, row);
    draw();
    return;
  }
  const others = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
  fingers.set(event.pointerId, event);
  if (others.length) { // two fingers: apart or together
    const was = Math.abs(before.clientX - others[0].clientX) || 1;
    const is = Math.abs(event.clientX - others[0].clientX) || 1;
    zoom(was / is, place({ clientX: (event.clientX + others[0].clientX) / 2, clientY: 0 })[0]);
  } else {
    move((before.clientX - event.clientX) / (canvas.clientWidth - LABEL));
  }
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
let row = 0;
canvas.addEventListener("keydown", (event) => {
  const keys = {
    ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), "+": () => zoom(0.5), "=": () => zoom(0.5),
    "-": () => zoom(2), Home: () => show(1, END),
    ArrowUp: () => { row = Math.max(0, row - 1); }, ArrowDown: () => { row = Math.min(units.length - 1, row + 1); },
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
  mark = (from + to) / 2;
  tell(mark, row);
  draw();
});
const buttons = { "zoom-in": () => zoom(0.5), "zoom-out": () => zoom(2), left: () => move(-0.5), right: () => move(0.5), all: () => show(1, END) };
for (const [id, act] of Object.entries(buttons)) document.getElementById(id).addEventListener("click", act);
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
root.dataset.ready = "1";
