"""The page of ``tandem report``: one HTML file that needs nothing else, from the report's JSON.

All that can be plain HTML is: tables, bars and the roofline are there without scripts. Every text
of a user's is escaped, also inside the JSON that the timeline's script reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

from search.differences import told
from search.report_parts import legend, lines, share, stack, table
from search.report_roofline import roofline

Record = Mapping[str, Any]
RESOURCES = (
    ("dsp", "DSP48E1"),
    ("bram18", "RAMB18"),
    ("lut", "LUT"),
    ("ff", "flip-flops"),
)
PARTS = {
    "processing_system": "processor side",
    "static": "static",
    "clock": "clock",
    "dsp": "DSP",
    "bram": "block RAM",
    "logic": "logic",
    "ddr": "DDR traffic",
}


TOO_LONG = (
    '<p class="soft">This run is too long to be looked at burst by burst: no timeline, no stalls '
    "by cause, no time by bundle. Fewer --frames have them.</p>"
)
SECTIONS = {
    "headline": "At a glance",
    "timeline-part": "Timeline",
    "stalls": "Where the cycles went",
    "bundles": "Bundles",
    "roofline": "Roofline",
    "resources": "Resources",
    "energy": "Energy of a frame",
    "changes": "What to change next",
    "verified": "What was verified",
}


def page(report: Record) -> str:
    """The whole file."""
    name = escape(report["design"])
    bodies = dict(_sections(report))
    parts = "\n".join(_section(key, body) for key, body in bodies.items())
    links = "\n".join(f'<a href="#{key}">{SECTIONS[key]}</a>' for key in list(bodies)[1:])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: Tandem report</title>
<link rel="icon" href="data:,">
<style>
{_file("report.css")}</style>
</head>
<body>
<header>
<h1>{name}</h1>
<p>{escape(report["device"])}, {report["clock_mhz"]:g} MHz, W{report["weight_bits"]}
F{report["feature_bits"]}; simulated {_when(report["when"])}</p>
<button id="theme" type="button">Light or dark</button>
<nav aria-label="Sections">
{links}
</nav>
</header>
<main>
{parts}
</main>
<footer><p>Cycles are exact: the simulator agrees with the RTL in every one. LUT, FF and power are
models. Written by tandem report.</p></footer>
<script id="report" type="application/json">{embedded(report)}</script>
<script>
{_file("report.js")}</script>
</body>
</html>
"""


def _when(stamp: str) -> str:
    """A time of ISO 8601 in UTC, for people."""
    return escape(stamp[:16].replace("T", " ") + " UTC" if stamp.endswith("+00:00") else stamp)


def embedded(report: Record) -> str:
    """JSON that may stand inside a script element: no ``<`` can end it."""
    return json.dumps(report, separators=(",", ":")).replace("<", "\\u003c")


def _file(name: str) -> str:
    return files("search").joinpath(name).read_text(encoding="utf-8")


def _sections(report: Record) -> Iterator[tuple[str, str]]:
    yield "headline", _headline(report)
    yield "timeline-part", _timeline(report) if report["timeline"] else TOO_LONG
    if report["stalls"]:
        yield "stalls", _stalls(report)
    yield "bundles", _bundles(report)
    yield "roofline", roofline(report["roofline"])
    yield "resources", _resources(report["simulation"]["resources"])
    yield "energy", _energy(report["energy_mj"])
    if report["sensitivities"]:
        yield "changes", _changes(report["sensitivities"])
    yield "verified", _verified(report["verified"])


def _section(name: str, body: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{SECTIONS[name]}</h2>\n{body}\n</section>'
    )


def _figure(key: str, title: str, value: float, text: str) -> str:
    """A figure with its exact value beside the rounded one, for machines."""
    return f'<div><dt>{title}</dt><dd data-figure="{key}" data-value="{value!r}">{text}</dd></div>'


def _headline(report: Record) -> str:
    run = report["simulation"]
    figures = (
        ("fps", "frames a second", run["fps"], f"{run['fps']:.1f}"),
        ("latency_ms", "latency", run["latency_ms"], f"{run['latency_ms']:.2f} ms"),
        ("power_w", "power", run["power_w"], f"{run['power_w']:.2f} W"),
        ("images_per_joule", "images a joule", run["images_per_joule"],
         f"{run['images_per_joule']:.1f}"),
        ("mac_utilisation", "MAC array useful", run["mac_utilisation"],
         f"{run['mac_utilisation']:.1%}"),
        ("ddr_bytes", "DDR traffic a frame", run["ddr_bytes"], f"{run['ddr_bytes'] / 1e6:.2f} MB"),
    )  # fmt: skip
    cards = "\n".join(_figure(*figure) for figure in figures)
    verdict = report["verified"]
    state = "not verified on the RTL" if verdict is None else _verdict(verdict)
    return (
        f'<dl class="cards">{cards}</dl>\n<p><strong>Bottleneck:</strong> '
        f"{escape(report['bottleneck'])}</p>"
        f'\n<p class="soft">{escape(state)}</p>'
    )


def _timeline(report: Record) -> str:
    buttons = (
        ("zoom-in", "Zoom in"), ("zoom-out", "Zoom out"), ("left", "Earlier"), ("right", "Later"),
        ("all", "All"),
    )  # fmt: skip
    tools = "".join(f'<button id="{key}" type="button">{text}</button>' for key, text in buttons)
    frames, cycles = report["simulation"]["frames"], report["timeline"]["cycles"]
    label = (
        f"Timeline of {cycles} cycles. Arrow keys move and choose a unit, plus and minus zoom, "
        "Home shows all."
    )
    return (
        f'<div class="tools">{tools}</div>\n'
        "<noscript><p>The timeline needs JavaScript; its sums are in tables below.</p></noscript>\n"
        f'<canvas id="timeline" tabindex="0" role="application" aria-label="{label}"></canvas>\n'
        f'<p id="what" role="status">{frames} frames, {cycles:,} cycles. Point at a bar or tap it. '
        "Drag or arrow keys move; pinch, + and - zoom, and the wheel after a click. "
        "A name is bundle/tile.</p>\n" + legend(_used(report), report["words"])
    )


def _used(report: Record) -> list[str]:
    """Causes that some unit has cycles of."""
    accounts = report["stalls"]["units"].values()
    return [key for key in report["stalls"]["causes"] if any(item[key] for item in accounts)]


def _stalls(report: Record) -> str:
    stalls, words = report["stalls"], report["words"]
    units = "".join(stack(name, account, words) for name, account in stalls["units"].items())
    bundles = {
        name: lines("".join(stack(f"bundle {key}", part, words) for key, part in found.items()))
        for name, found in stalls["bundles"].items()
    }
    others = "".join(
        f"<h3>{escape(name)}</h3>{bars}" for name, bars in bundles.items() if name != "mac"
    )
    heads = ["unit", *(words[cause] for cause in stalls["causes"]), "sum"]
    rows = [
        [name, *(f"{account[cause]:,}" for cause in stalls["causes"]), f"{sum(account.values()):,}"]
        for name, account in stalls["units"].items()
    ]
    figures = table(SECTIONS["stalls"], heads, rows)
    return (
        f"{lines(units)}\n{legend(_used(report), words)}\n"
        f"<h3>The MAC array by bundle</h3>\n{bundles['mac']}\n"
        f"<details><summary>The other units by bundle</summary>{others}</details>\n"
        f"<details><summary>All figures, in cycles</summary>{figures}</details>"
    )


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _bundles(report: Record) -> str:
    heads = [
        "bundle", "layers", "tiles", "ms", "cycles", "M MACs", "useful", "MB", "MACs a byte",
        "G MAC/s",
    ]  # fmt: skip
    rows = [
        [
            str(item["bundle"]), item["layers"], f"{item['tiles']:,}", _or_dash(item["ms"], ".3f"),
            _or_dash(item["cycles"], ",.0f"), f"{item['macs'] / 1e6:.2f}",
            _or_dash(item["useful"], ".1%"), f"{item['ddr_bytes'] / 1e6:.3f}",
            f"{item['macs_per_byte']:.1f}", _or_dash(item["gmacs_per_s"], ".2f"),
        ]
        for item in report["bundles"]
    ]  # fmt: skip
    return table(SECTIONS["bundles"], heads, rows, (1,)) + (
        '<p class="soft">Of a frame; cycles of the MAC array that went to the bundle. MACs a byte '
        "and G MAC/s count what the MAC array does. The program, which the sequencer reads, is "
        "traffic of no bundle.</p>"
    )


def _resources(found: Record) -> str:
    bars = "".join(
        share(title, found[key] / found["limits"][key], _of(found[key], found["limits"][key]))
        for key, title in RESOURCES
    )
    rows = [[part["name"], *(f"{part[key]:,}" for key, _ in RESOURCES)] for part in found["parts"]]
    rows.append(["all", *(f"{found[key]:,}" for key, _ in RESOURCES)])
    rows.append(["device", *(f"{found['limits'][key]:,}" for key, _ in RESOURCES)])
    lacks = "".join(
        f'<p class="bad">{escape(item["resource"])}: needs {item["need"]:,}, the device has '
        f"{item['limit']:,}: {escape(item['advice'])}</p>"
        for item in found["shortages"]
    )
    heads = ["part", *(title for _, title in RESOURCES)]
    return f"{lines(bars)}{lacks}{table(SECTIONS['resources'], heads, rows)}"


def _of(need: int, limit: int) -> str:
    return f"{need:,} of {limit:,}, {need / limit:.0%}"


def _energy(energy: Record) -> str:
    total = sum(energy.values())
    ranked = sorted(energy.items(), key=lambda item: -item[1])
    bars = "".join(
        share(PARTS.get(name, name), value / total, f"{value:.3f} mJ, {value / total:.1%}")
        for name, value in ranked
    )
    return f"{lines(bars)}\n<p>{total:.3f} mJ in all.</p>"


def _changes(study: Record) -> str:
    heads = ["change", "FPS", "gain", "DSP48E1", "RAMB18", "LUT", "FF", "W", "what it takes"]
    rows = [
        [
            _change(item), f"{item['fps']:.2f}", _signed(item["fps_gain"], 2),
            *(_signed(item["paid"].get(key, 0)) for key, _ in RESOURCES),
            _signed(item["power_change_w"], 3), item["needs"],
        ]
        for item in study["sensitivities"]
    ]  # fmt: skip
    refused = "".join(
        f"<li>{escape(item['title'])}: {escape(item['reason'])}</li>"
        for item in study["not_possible"]
    )
    more = (
        f"<details><summary>Not possible</summary><ul>{refused}</ul></details>" if refused else ""
    )
    note = f'<p class="soft">{study["simulations"]} designs simulated, each to the cycle.</p>'
    return table(SECTIONS["changes"], heads, rows, (0, 8)) + note + more


def _change(item: Record) -> str:
    caveat = f"; {item['caveat']}" if item["caveat"] else ""
    return f"{item['title']} ({told(item['edits'])}){caveat}"


def _signed(value: float, digits: int = 0) -> str:
    """With its sign; what is nothing at this precision is a plain 0."""
    shown = f"{value:+,.{digits}f}"
    return shown if shown.strip("+-0.,") else "0"


def _verdict(found: Record) -> str:
    differ = found["value_mismatches"] + found["event_mismatches"] + found["counter_mismatches"]
    verdict = "0 differ" if found["exact"] else f"{differ:,} differ"
    return f"verified on the RTL on {_when(found['when'])}: {verdict}"


def _verified(found: Record | None) -> str:
    if found is None:
        return (
            "<p>This design was not compared with its RTL here. <code>tandem verify</code> does "
            "that, and the next report says so.</p>"
        )
    rows = [
        [what, f"{found[f'{what}s']:,}", f"{found[f'{what}_mismatches']:,}"]
        for what in ("value", "event", "counter")
    ]
    rows.append(["cycles of the RTL", f"{found['rtl_cycles']:,}", "0" if found["exact"] else "-"])
    colour = "good" if found["exact"] else "bad"
    weights = found["network"] or f"random, seed {found['seed']}"
    return (
        f'<p class="{colour}">{escape(_verdict(found))}</p>'
        f"<p>Weights: {escape(weights)}. Image: {escape(found['image_source'])}. "
        f"Frames: {found['frames']}.</p>"
        + table(SECTIONS["verified"], ["compared", "number", "differ"], rows)
    )
