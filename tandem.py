"""The command line of Tandem: its table of contents. Each command calls one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boards.compare_command import Comparing, compare_board_command
from boards.package_command import Packaging, package_command, rehearse_command
from boards.regress_command import board_regress_command
from model.console import guarded
from model.errors import TandemError
from quant.evaluate_command import Evaluation, evaluate_command
from quant.import_command import (
    CALIBRATION,
    SKYNET_BITS,
    import_skrskr_command,
    import_skynet_command,
)
from quant.scenes_command import Scenes, scenes_command
from quant.study_command import StudyArguments, study_command
from quant.train_command import TrainArguments, train_command
from rtl_sim.resource_campaign import resource_campaign_command
from rtl_sim.synth_command import synth_command
from search.bundles_command import BundleArguments, bundles_command
from search.compare_command import compare_command
from search.explore_command import ExploreArguments, explore_command
from search.hardware_study import bram_command, dsp_command
from search.inloop_bench import search_bench
from search.report_command import report_command
from search.report_data import Asked
from search.rescue_command import rescue_command
from search.scaling_command import scaling_command
from search.search_command import SearchArguments, search_command
from search.sensitivity_command import sensitivity_command
from search.study_search import search_study_command
from testbench.bench_command import bench_command
from testbench.rtl_inference import run_rtl_heads
from testbench.scaling import SCALED, scaling_bench
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

importing = typer.Typer(
    help="Published networks: an integer network and a design file that runs it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(importing, name="import")

study = typer.Typer(
    help="The observations that the design rests on, measured anew: figure, CSV and JSON.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(study, name="study")

board = typer.Typer(
    help="Accelerators on boards: the folder for a board, its run logs against the simulator.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(board, name="board")

DesignFile = Annotated[
    Path, typer.Argument(metavar="DESIGN", help="Design file, such as designs/dnn_a.toml.")
]
Frames = Annotated[
    int, typer.Option(help="Frames, back to back; from 2 on FPS are those of the steady state.")
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output instead of tables.")
]
Data = Annotated[
    str,
    typer.Option(
        help="Labelled images: .csv, COCO .json, folder of Pascal VOC .xml, or synthetic:N."
    ),
]
OnBad = Annotated[
    str, typer.Option(help="Images that cannot be used: refuse or skip, each is named.")
]
Out = Annotated[
    Path, typer.Option(help="Folder for compiled simulations and logs; all is written below it.")
]

PublishedFile = Annotated[Path, typer.Argument(metavar="FILE", help="The published weights.")]
SearchOut = Annotated[
    Path, typer.Option(help="Folder of the search; everything is written below it.")
]
ImportOut = Annotated[Path, typer.Option(help="Folder for the network and the design file.")]


@app.command()
@guarded
def simulate(
    design: DesignFile,
    frames: Frames = 1,
    engine: Annotated[
        str, typer.Option(help="simpy, or fast: the same cycles from compiled code.")
    ] = "simpy",
    events: Annotated[
        Path | None, typer.Option(help="Write every timed event to this file.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a trace for Perfetto (Chrome JSON) to this file.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Cycle level: latency, frames per second, what each unit waits for and why, resources, power.

    No weights and no image are needed: timing does not depend on them. Takes about a second.
    """
    return simulate_command(design, frames, engine, events, as_json, trace)


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
    trace: Annotated[
        Path | None,
        typer.Option(help="Write a trace of simulator and RTL (Chrome JSON) to this file."),
    ] = None,
    fst: Annotated[
        Path | None, typer.Option(help="Write the RTL's waveform to this FST file; small designs.")
    ] = None,
    out: Out = Path("build"),
    as_json: Json = False,
) -> int:
    """All three levels: functional model, SimPy and generated RTL, compared without tolerance.

    Every value of every feature map in memory, every timed event and every hardware counter. The
    RTL is compiled once per accelerator (a minute), then found compiled.
    """
    request = Request(design, network, image, seed, frames, out, resize, trace, fst)
    return verify_command(request, as_json)


@app.command()
@guarded
def evaluate(
    design: DesignFile,
    network: Annotated[
        Path, typer.Option(help="Integer network (.npz); float: a checkpoint or SkyNet's .h5.")
    ],
    data: Data,
    level: Annotated[str, typer.Option(help="float, functional or rtl.")] = "functional",
    limit: Annotated[int | None, typer.Option(min=1, help="The first images only.")] = None,
    on_bad: OnBad = "refuse",
    only: Annotated[
        list[str] | None, typer.Option(help="Boxes of this class only; may be repeated.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for contact sheets with true and found boxes.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of synthetic scenes.")] = 1,
    out: Out = Path("build"),
    as_json: Json = False,
) -> int:
    """The box a network finds in each labelled image, and the mean IoU.

    Of each image the most confident box, clipped to it, rounded to pixels, max exclusive.
    """
    asked = Evaluation(
        design, network, data, level, limit, on_bad, tuple(only or ()), seed, pictures, out
    )
    return evaluate_command(asked, run_rtl_heads, as_json)


@app.command()
@guarded
def scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for pictures and CSV file.")],
    count: Annotated[int, typer.Option(help="How many.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes.")] = 1,
    height: Annotated[int, typer.Option(help="Pixels.")] = 360,
    width: Annotated[int, typer.Option(help="Pixels.")] = 640,
    as_json: Json = False,
) -> int:
    """Synthetic aerial scenes, one small object each, as labelled images to try things with."""
    return scenes_command(Scenes(out, count, seed, height, width), as_json)


@app.command()
@guarded
def synth(
    design: Annotated[Path | None, typer.Argument(help="Design file.")] = None,
    out: Out = Path("build"),
    campaign: Annotated[
        bool, typer.Option("--campaign", help="Many designs in place of one: table and picture.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Yosys on the generated RTL beside the resource model: DSP48E1, RAMB18, LUT, FF.

    DSP and RAMB18 have to be equal, LUT and FF within 15 %.
    """
    if campaign == (design is not None):
        raise TandemError("tandem synth: give either a design file or --campaign.")
    if design is None:
        return resource_campaign_command(out, as_json)
    return synth_command(design, out, as_json)


@app.command()
@guarded
def bench(
    out: Out = Path("build"),
    seed: Annotated[int, typer.Option(min=0, help="Of random weights and images.")] = 1,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Time and memory of an evaluation against tiles.")
    ] = False,
    search: Annotated[
        bool, typer.Option("--search", help="Exact evaluations a minute inside a search.")
    ] = False,
    as_json: Json = False,
) -> int:
    """The project's measured numbers against their targets.

    DNN-A's full frame at all three levels, steady state of DNN-A, B and C, and the campaign's
    totals where one was run with these sources.
    """
    if search:
        return search_bench(Path("designs/search_pynq_z1.toml"), as_json)
    return scaling_bench(SCALED, as_json) if scaling else bench_command(out, seed, as_json)


@app.command()
@guarded
def explore(
    design: DesignFile,
    fps: Annotated[float | None, typer.Option(help="Frames per second to reach.")] = None,
    power: Annotated[float | None, typer.Option(help="Watts not to exceed.")] = None,
    dsp: Annotated[int | None, typer.Option(help="Most DSP48E1; the device's.")] = None,
    bram18: Annotated[int | None, typer.Option(help="Most RAMB18; the device's.")] = None,
    lut: Annotated[int | None, typer.Option(help="Most LUT; 84.5 % of the device's.")] = None,
    ff: Annotated[int | None, typer.Option(help="Most FF; 84.5 % of the device's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for designs, points and the journal; build/explore_NAME."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Simulated for each point, at least 2.")] = 3,
    evaluations: Annotated[int, typer.Option(help="Most simulations of a guided search.")] = 1500,
    method: Annotated[
        str, typer.Option(help="auto (exhaustive under a minute), guided or exhaustive.")
    ] = "auto",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    as_json: Json = False,
) -> int:
    """The best accelerators for a design's network, precision, device and clock.

    Lanes, multipliers, buffers, ports, bursts and tile limits are searched with the exact simulator
    and the resource model. The fronts of FPS against each resource and power become design files.
    """
    return explore_command(
        ExploreArguments(
            design, out, fps, power, dsp, bram18, lut, ff, frames, evaluations, method, jobs
        ),
        as_json,
    )


@app.command()
@guarded
def sensitivities(
    design: DesignFile,
    frames: Annotated[int, typer.Option(help="Simulated for each change.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Write each improved design to this folder.")
    ] = None,
    as_json: Json = False,
) -> int:
    """What to change next: each change simulated to the cycle, ranked, with its price.

    Ports, tiles, weight stores, lanes, packing, bursts, clock, bits, DDR. Changes that need
    training, another board or a larger chip, or cannot be made, are listed as such.
    """
    return sensitivity_command(design, frames, out, as_json)


@app.command()
@guarded
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Design file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Design file.")],
    frames: Annotated[int, typer.Option(help="Simulated for each design.")] = 3,
    together: Annotated[
        list[str] | None, typer.Option(help="Causes to take as one, such as network,memories.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Why B is faster or slower than A: cycles, time and FPS by cause, adding up exactly.

    Fields of A are changed into those of B, each design between the two is simulated. Counters,
    stall causes, bundles, resources and power stand beside each other.
    """
    return compare_command(a, b, frames, together or [], as_json)


@app.command()
@guarded
def bundles(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="Specification of a search: pool, stem, head.")
    ] = Path("designs/search_pynq_z1.toml"),
    whole: Annotated[
        bool, typer.Option("--all", help="Every bundle of the pool instead of those drawn.")
    ] = False,
    pool: Annotated[
        str | None, typer.Option(help="Layers, such as dw3,conv1,avgpool, instead of the SPEC's.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Compute layers, at most, likewise.")] = None,
    draw: Annotated[int | None, typer.Option(help="Bundles to draw, likewise.")] = None,
    seed: Annotated[int | None, typer.Option(help="What they are drawn from, likewise.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write CSV and picture to this folder.")] = None,
    as_json: Json = False,
) -> int:
    """The bundles that a search draws, each estimated analytically and simulated.

    Latency, traffic and resources at several parallel factors and precisions; how far the
    estimates are off and how well they rank.
    """
    return bundles_command(BundleArguments(spec, whole, pool, layers, draw, seed, out), as_json)


@app.command()
@guarded
def search(
    spec: Annotated[
        Path | None,
        typer.Argument(metavar="SPEC", help="Specification, such as designs/search_small.toml."),
    ] = None,
    out: SearchOut = Path("build/search"),
    data: Annotated[str | None, typer.Option(help="Training images instead of the SPEC's.")] = None,
    val: Annotated[str | None, typer.Option(help="Images to score with, likewise.")] = None,
    start: Annotated[Path | None, typer.Option(help="Weights to inherit, likewise.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="SkyNet's weights, likewise.")] = None,
    jobs: Annotated[int, typer.Option(help="Worker processes, or Ray tasks at once.")] = 2,
    executor: Annotated[
        str, typer.Option(help="local, or ray: a Ray cluster (extra [cluster]).")
    ] = "local",
    until: Annotated[
        str, typer.Option(help="Last stage: bundles, prototypes, samples, networks, training.")
    ] = "winners",
    status: Annotated[
        Path | None, typer.Option("--status", help="How the search in this folder stands.")
    ] = None,
    rescue: Annotated[
        Path | None, typer.Option(help="Save what can be read of this folder's damaged journal.")
    ] = None,
    as_json: Json = False,
) -> int:
    """The co-design search: networks with their accelerators for targets of speed and accuracy.

    Bundles are tried as prototypes, networks grown from the best ones with every step simulated
    exactly, the best trained, verified on the RTL and synthesised. The same command goes on after
    Ctrl-C.
    """
    if rescue is not None:
        return rescue_command(rescue, as_json)
    folder = status or out
    arguments = SearchArguments(
        spec, folder, data, val, start, teacher, jobs, executor, status is not None, until
    )
    return search_command(arguments, as_json)


@app.command()
@guarded
def train(
    design: DesignFile,
    data: Annotated[
        str,
        typer.Option(
            help="Labelled images: .csv, COCO .json, folder of Pascal VOC .xml, or synthetic:N."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, logs, the integer network.")],
    val: Annotated[
        str | None,
        typer.Option(help="Images to score with; without it some scenes of --data are held out."),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="TOML; designs/train_default.toml shows every setting.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Of the stages asked for, instead of the settings'.")
    ] = None,
    stage: Annotated[str, typer.Option(help="float, qat or all.")] = "all",
    start: Annotated[
        Path | None, typer.Option(help="SkyNet's HDF5 weights or a checkpoint to start from.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="SkyNet's HDF5 weights, to learn from on the same images.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Train the design's network: in float, then quantised, then as an integer network.

    Checkpoints are written after every epoch; --resume goes on after a kill with the same bits.
    """
    arguments = TrainArguments(
        design, data, val, out, settings, resume, epochs, stage, start, teacher
    )
    return train_command(arguments, as_json)


@importing.command()
@guarded
def skrskr(
    file: PublishedFile,
    out: ImportOut,
    as_json: Json = False,
) -> int:
    """SkrSkr's integer weights, W6 F8, from the published .npz: taken over as they are."""
    return import_skrskr_command(file, out, as_json)


@importing.command()
@guarded
def skynet(
    file: PublishedFile,
    out: ImportOut,
    data: Annotated[
        str,
        typer.Option(
            help="Images whose features set the ranges: .csv, COCO .json, folder of Pascal VOC "
            ".xml, or synthetic:N."
        ),
    ] = CALIBRATION,
    weight_bits: Annotated[int, typer.Option(help="W, 4 to 16.")] = SKYNET_BITS[0],
    feature_bits: Annotated[int, typer.Option(help="F, 4 to 16.")] = SKYNET_BITS[1],
    as_json: Json = False,
) -> int:
    """SkyNet's float weights from the published HDF5 file, quantised without training."""
    return import_skynet_command(file, out, data, (weight_bits, feature_bits), as_json)


StudyOut = Annotated[
    Path, typer.Option(help="Folder for results and the journal that a stopped study resumes from.")
]
Small = Annotated[bool, typer.Option("--small", help="A minute's setting, for trying.")]
Seeds = Annotated[int | None, typer.Option(help="Trainings of each setting; 3 or 4 without it.")]
StudyData = Annotated[
    str | None, typer.Option(help="Labelled images, as for train, instead of synthetic scenes.")
]
StudyVal = Annotated[
    str | None, typer.Option(help="Images to score with; else some scenes of --data are held out.")
]
Jobs = Annotated[int, typer.Option(help="Trainings at a time, each on one core.")]


@study.command()
@guarded
def precision(
    out: StudyOut,
    small: Small = False,
    seeds: Seeds = None,
    data: StudyData = None,
    val: StudyVal = None,
    jobs: Jobs = 2,
    as_json: Json = False,
) -> int:
    """Weights or feature maps: which side stands fewer bits worse, on boxes and on digits."""
    return study_command("precision", StudyArguments(out, small, seeds, data, val, jobs), as_json)


@study.command()
@guarded
def stability(
    out: StudyOut,
    small: Small = False,
    seeds: Seeds = None,
    data: StudyData = None,
    val: StudyVal = None,
    jobs: Jobs = 2,
    as_json: Json = False,
) -> int:
    """Training curves of float against few bits, over several seeds with their spread."""
    return study_command("stability", StudyArguments(out, small, seeds, data, val, jobs), as_json)


Quick = Annotated[bool, typer.Option("--quick", help="A few points of the figure, for trying.")]


@study.command("search")
@guarded
def study_search(
    out: StudyOut,
    spec: Annotated[Path, typer.Option(help="Specification: space, targets, device.")] = Path(
        "designs/search_pynq_z1.toml"
    ),
    evaluations: Annotated[int, typer.Option(help="Simulated designs a target.")] = 400,
    seeds: Annotated[int, typer.Option(help="Of every method.")] = 5,
    jobs: Jobs = 2,
    as_json: Json = False,
) -> int:
    """Coordinate descent beside random search, TPE and NSGA-II: quality against evaluations."""
    return search_study_command(spec, out, evaluations, seeds, jobs, as_json)


@study.command()
@guarded
def dsp(out: StudyOut, quick: Quick = False, as_json: Json = False) -> int:
    """DSP48E1 of a fixed accelerator against the bits of weights and features, beside Yosys."""
    return dsp_command(out, quick, as_json)


@study.command()
@guarded
def bram(out: StudyOut, quick: Quick = False, as_json: Json = False) -> int:
    """RAMB18 of a fixed accelerator against the size of the input image, beside Yosys."""
    return bram_command(out, quick, as_json)


@study.command()
@guarded
def scaling(
    out: StudyOut,
    run: Annotated[
        Path | None, typer.Option(help="A search's folder: trials take as long as its own.")
    ] = None,
    quick: Quick = False,
    as_json: Json = False,
) -> int:
    """A search on 1 to 1000 workers, simulated from steps that are measured here."""
    return scaling_command(out, run, quick, as_json)


@app.command()
@guarded
def report(
    design: DesignFile,
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    frames: Annotated[int, typer.Option(help="Frames simulated, back to back.")] = 2,
    build: Annotated[
        Path, typer.Option(help="Where tandem verify kept what it compared.")
    ] = Path("build"),
    changes: Annotated[
        bool, typer.Option(help="What to change next, by simulating each change.")
    ] = True,
    as_json: Json = False,
) -> int:
    """One HTML file about a design: timeline, stalls, roofline, resources, energy, what to change.

    It needs no network and no other file.
    """
    return report_command(Asked(design, out, frames, build, changes), as_json)


@board.command("regress")
@guarded
def board_regress(
    published: Annotated[
        Path | None,
        typer.Option("--published", help="Folder of descriptions, default those of Tandem."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Published accelerators on their boards: predicted time and power against measured.

    Exit status 1 where a time is off by more than 15 %, power by 10 % or images per joule by 15 %.
    """
    return board_regress_command(published, as_json)


@board.command("package")
@guarded
def board_package(
    design: DesignFile,
    network: Annotated[Path, typer.Option(help="Integer network (.npz).")],
    out: Annotated[Path, typer.Option(help="Folder to write; it is what goes to the board.")],
    frames: Annotated[int, typer.Option(help="Most frames of one start.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the self-test's images.")] = 1,
    as_json: Json = False,
) -> int:
    """A folder for the PYNQ-Z1: RTL, Vivado script, memory image, host driver, self-test."""
    return package_command(Packaging(design, network, out, frames, seed), as_json)


@board.command("rehearse")
@guarded
def board_rehearse(
    design: DesignFile,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of tandem board package.")],
    log: Annotated[Path, typer.Option(help="Run log to write.")] = Path("run.json"),
    out: Out = Path("build"),
    interrupt: Annotated[
        bool, typer.Option("--interrupt", help="Wait for the interrupt instead of polling.")
    ] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Run everything so many times.")] = 1,
    as_json: Json = False,
) -> int:
    """The folder's own driver against the RTL in simulation: a run log without a board."""
    driver = ["--wait", "interrupt" if interrupt else "poll", "--repeat", str(repeat)]
    return rehearse_command(design, folder, log, out, driver, as_json)


@board.command("compare")
@guarded
def board_compare(
    design: DesignFile,
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Run log of the driver.")],
    network: Annotated[Path | None, typer.Option(help="Network that must have run.")] = None,
    bitstream: Annotated[Path | None, typer.Option(help="Bitstream that must have run.")] = None,
    tolerances: Annotated[
        Path | None, typer.Option(help="TOML file: table [tolerance], shares by counter or class.")
    ] = None,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="NAME=SHARE of the cycles; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> int:
    """A board's counters against the simulator's, and what would explain the difference."""
    asked = Comparing(design, log, network, bitstream, tolerances, tuple(tolerance or ()))
    return compare_board_command(asked, as_json)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
