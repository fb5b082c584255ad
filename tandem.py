"""The command line of Tandem: its table of contents. Each command calls one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model.console import guarded
from testbench.bench_command import bench_command
from testbench.simulate_command import simulate_command
from testbench.verify_command import Request, verify_command

app = typer.Typer(
    help="Tandem: a neural network and its FPGA accelerator, designed together. "
    "One design file, simulated exactly to the bit and to the clock cycle.",
    epilog="Exit status: 0 all held, 1 a comparison failed, 2 the input was wrong.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # paragraphs are reflowed
    pretty_exceptions_enable=False,
)

DesignFile = Annotated[
    Path, typer.Argument(metavar="DESIGN", help="Design file, such as designs/dnn_a.toml.")
]
Frames = Annotated[
    int, typer.Option(help="Frames, back to back; from 2 on FPS are those of the steady state.")
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output instead of tables.")
]
Out = Annotated[
    Path, typer.Option(help="Folder for compiled simulations and logs; all is written below it.")
]


@app.command()
@guarded
def simulate(
    design: DesignFile,
    frames: Frames = 1,
    engine: Annotated[str, typer.Option(help="simpy; fast is not built yet.")] = "simpy",
    events: Annotated[
        Path | None, typer.Option(help="Write every timed event to this file.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Cycle level: latency, frames per second, what each unit waits for, resources, power.

    No weights and no image are needed: timing does not depend on them. Takes about a second.
    """
    return simulate_command(design, frames, engine, events, as_json)


@app.command()
@guarded
def verify(
    design: DesignFile,
    network: Annotated[
        Path | None, typer.Option(help="Integer network (.npz); random weights without it.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help=".npy, .ppm, .png, ... of the network's input size.")
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Resize the image to the network, nearest neighbour.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of random weights and images.")] = 1,
    frames: Frames = 1,
    out: Out = Path("build"),
    as_json: Json = False,
) -> int:
    """All three levels: functional model, SimPy and generated RTL, compared without tolerance.

    Every value of every feature map in memory, every timed event and every hardware counter. The
    RTL is compiled once per accelerator (a minute), then found compiled.
    """
    return verify_command(Request(design, network, image, seed, frames, out, resize), as_json)


@app.command()
@guarded
def bench(
    out: Out = Path("build"),
    seed: Annotated[int, typer.Option(min=0, help="Of random weights and images.")] = 1,
    as_json: Json = False,
) -> int:
    """The project's measured numbers against their targets.

    DNN-A's full frame at all three levels, steady state of DNN-A, B and C, and the campaign's
    totals where one was run with these sources.
    """
    return bench_command(out, seed, as_json)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
