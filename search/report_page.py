"""The page of ``tandem report``: one HTML file that needs nothing else, from the report's JSON.

All that can be plain HTML is: tables, bars and the roofline are there without scripts. Every text
of a user's is escaped, also inside the JSON that the timeline's script reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

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


def page(report: Record) -> str:
    """The whole file."""
    name = escape(report["design"])
    parts = "\n".join(_sections(report))
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
F{report["feature_bits"]}; simulated {escape(report["when"])}</p>
<button id="theme" type="button">Light or dark</button>
</header>
<main>
{parts}
</main>
<footer><p>Cycles are exact: the simulator agrees with the RTL in every one. LUT, FF and power are
models. Written by tandem report.</p></footer>
<script id="report" type="application/json">{embedded(report)}</script>
{_script(report)}
</body>
</html>
"""


def embedded(report: Record) -> str:
    """JSON that may stand inside a script element: no ``<`` can end it."""
    return json.dumps(report, separators=(",", ":")).replace("<", "\\u003c")


def _script(report: Record) -> str:
    return f"<script>\n{_file('report.js')}</script>" if report["timeline"] else ""


def _file(name: str) -> str:
    return files("search").joinpath(name).read_text(encoding="utf-8")


def _sections(report: Record) -> Iterator[str]:
    yield _section("headline", "At a glance", _headline(report))
    if report["timeline"]:
        yield _section("timeline-part", "Timeline", _timeline(report))
    if report["stalls"]:
        yield _section("stalls", "Where the cycles went", _stalls(report))
    yield _section("bundles", "Bundles", _bundles(report))
    yield _section("roofline", "Roofline", roofline(report["roofline"]))
    yield _section("resources", "Resources", _resources(report["simulation"]["resources"]))
    yield _section("energy", "Energy of a frame", _energy(report["energy_mj"]))
    if report["sensitivities"]:
        yield _section("changes", "What to change next", _changes(report["sensitivities"]))
    yield _section("verified", "What was verified", _verified(report["verified"]))


def _section(name: str, title: str, body: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{title}</h2>\n{body}\n</section>'
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
        f'<dl class="cards">{cards}</dl>\n<p>{escape(report["bottleneck"])}</p>'
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
        f'<canvas id="timeline" tabindex="0" role="img" aria-label="{label}"></canvas>\n'
        f'<p id="what" role="status">{frames} frames, {cycles:,} cycles. Point at a bar; wheel, '
        "pinch or + and - zoom, drag or arrow keys move. A name is bundle/tile.</p>\n"
        + _legend(report)
    )


def _legend(report: Record) -> str:
    causes = report["stalls"]["causes"] if report["stalls"] else report["words"]
    items = "".join(
        f'<li><i style="background:var(--{cause})"></i>{escape(report["words"][cause])}</li>'
        for cause in causes
    )
    return f'<ul class="legend">{items}</ul>'


def _stack(name: str, account: Record, words: Record) -> str:
    total = sum(account.values()) or 1
    bars = "".join(
        f'<i style="width:{100 * cycles / total:.3f}%;background:var(--{cause})" '
        f'title="{escape(words[cause])}: {cycles:,} cycles, {cycles / total:.1%}"></i>'
        for cause, cycles in account.items()
        if cycles
    )
    busy = account["busy"] / total
    return (
        f'<span>{escape(name)}</span><div class="bar" role="img" '
        f'aria-label="{escape(name)}: busy {busy:.1%}">{bars}</div>'
    )


def _stalls(report: Record) -> str:
    stalls, words = report["stalls"], report["words"]
    units = "".join(_stack(name, account, words) for name, account in stalls["units"].items())
    bundles = {
        name: "".join(_stack(f"bundle {key}", account, words) for key, account in found.items())
        for name, found in stalls["bundles"].items()
    }
    others = "".join(
        f'<h3>{escape(name)}</h3><div class="stack">{bars}</div>'
        for name, bars in bundles.items()
        if name != "mac"
    )
    heads = ["unit", *(words[cause] for cause in stalls["causes"]), "sum"]
    rows = [
        [name, *(f"{account[cause]:,}" for cause in stalls["causes"]), f"{sum(account.values()):,}"]
        for name, account in stalls["units"].items()
    ]
    return (
        f'<div class="stack">{units}</div>\n{_legend(report)}\n'
        f'<h2 style="margin-top:16px">The MAC array by bundle</h2>\n<div class="stack">'
        f"{bundles['mac']}</div>\n"
        f"<details><summary>The other units by bundle</summary>{others}</details>\n"
        f"<details><summary>All figures, in cycles</summary>{_table(heads, rows)}</details>"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    """A table that scrolls by itself where the screen is narrow."""
    head = "".join(
        f'<th scope="col"{" class=text" if index in text else ""}>{escape(item)}</th>'
        for index, item in enumerate(heads)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="text">{escape(item)}</td>' if index in text else f"<td>{escape(item)}</td>"
            for index, item in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _bundles(report: Record) -> str:
    heads = ["bundle", "layers", "tiles", "ms", "cycles", "M MACs", "useful", "MB", "MACs a byte"]
    rows = [
        [
            str(item["bundle"]), item["layers"], f"{item['tiles']:,}", _or_dash(item["ms"], ".3f"),
            _or_dash(item["cycles"], ",.0f"), f"{item['macs'] / 1e6:.2f}",
            _or_dash(item["useful"], ".1%"), f"{item['ddr_bytes'] / 1e6:.3f}",
            f"{item['macs_per_byte']:.1f}",
        ]
        for item in report["bundles"]
    ]  # fmt: skip
    note = '<p class="soft">Of a frame; cycles of the MAC array that went to the bundle.</p>'
    return _table(heads, rows, (1,)) + note


def _resources(found: Record) -> str:
    bars = []
    for key, title in RESOURCES:
        need, limit = found[key], found["limits"][key]
        share = need / limit
        colour = "var(--busy)" if share <= 1 else "var(--bad)"
        bars.append(
            f'<span>{title}</span><div class="bar" role="img" aria-label="{need:,} of {limit:,}">'
            f'<i style="width:{min(100.0, 100 * share):.2f}%;background:{colour}" '
            f'title="{need:,} of {limit:,}"></i></div>'
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
    return f'<div class="stack">{"".join(bars)}</div>{lacks}{_table(heads, rows)}'


def _energy(energy: Record) -> str:
    total = sum(energy.values())
    rows = [
        [PARTS.get(name, name), f"{value:.3f}", f"{value / total:.1%}"]
        for name, value in sorted(energy.items(), key=lambda item: -item[1])
    ]
    rows.append(["all", f"{total:.3f}", "100.0%"])
    return _table(["part", "mJ a frame", "share"], rows)


def _changes(study: Record) -> str:
    heads = ["change", "FPS", "gain", "DSP48E1", "RAMB18", "LUT", "FF", "W", "what it takes"]
    rows = [
        [
            item["sentence"], f"{item['fps']:.2f}", f"{item['fps_gain']:+.2f}",
            *(f"{item['paid'].get(key, 0):+,}" for key, _ in RESOURCES),
            f"{item['power_change_w']:+.3f}", item["needs"],
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
    return _table(heads, rows, (0, 8)) + note + more


def _verdict(found: Record) -> str:
    differ = found["value_mismatches"] + found["event_mismatches"] + found["counter_mismatches"]
    verdict = "0 differ" if found["exact"] else f"{differ:,} differ"
    return f"verified on the RTL on {found['when']}: {verdict}"


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
        f"<p>Weights: {escape(str(weights))}. Image: {escape(str(found['image_source']))}. "
        f"Frames: {found['frames']}.</p>" + _table(["compared", "number", "differ"], rows)
    )
