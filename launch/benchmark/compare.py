"""Times our training steps and PyTorch's in turn, and writes what came out as a table and a picture.

Started by launch/bench, which says what the arguments mean. A *case* is a shape, a layout of ranks and threads, and
the precisions of it. A round measures each of them once, ours and theirs one after the other, so that a slow minute of
the machine falls on both; medians over the rounds are compared. Results are written after each case.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import report
from shapes import SHAPES

HERE = Path(__file__).parent
# What of PyTorch stands beside our storage: both of 16 bits beside its own.
BESIDE = {"float32": "float32", "float16": "bfloat16", "bfloat16": "bfloat16"}
DEFAULT_SHAPES = ["gpt2", "gpt2-1024", "nano", "micro", "llama", "bert", "vit"]
# A compilation that takes longer than this counts as failed.
COMPILE_SECONDS = 900


class Failed(Exception):
    """A measurement gave no figure; says why in one line."""


@dataclass(frozen=True)
class Layout:
    """Copies of the model × ranks that hold one together, threads of a rank."""

    data: int
    threads: int
    tensor: int = 1

    @property
    def ranks(self):
        return self.data * self.tensor

    @property
    def title(self):
        ranks = f"{self.data} × {self.tensor} ranks" if self.tensor > 1 else \
            f"{self.ranks} rank{'s' if self.ranks > 1 else ''}"
        return f"{ranks} × {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True)
class Case:
    shape: str
    layout: Layout
    # Of the whole step.
    sequences: int
    precisions: tuple
    # No PyTorch beside a layout that it has none for.
    has_peer: bool = True
    # Settings of ours beside the shape's.
    settings: tuple = ()


def say(text):
    print(text, file=sys.stderr, flush=True)


def last_object(words, environment, name, timeout=None):
    """Runs a program; the JSON object of its last line."""
    # A session of its own: what it starts ends with it.
    try:
        program = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    except OSError as error:
        raise Failed(f"{name}: {error}") from None
    try:
        output, errors = program.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{name}: no figure after {timeout} s") from None
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if program.returncode == 0 and lines:
        return json.loads(lines[-1])
    said = [line.strip() for line in errors.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("error:") or "Error" in line.split(" ")[0]]
    raise Failed(f"{name}: exit code {program.returncode}: {(errors or said or ['it said nothing'])[-1][:300]}")


class Bench:
    def __init__(self, options):
        self.options = options
        self.tcmalloc = options.tcmalloc
        # (shape, layout, precision): `eager` or `compile`, whichever is faster.
        self.forms = {}
        self.notes = []
        self.versions = {}

    def note(self, text):
        say(f"note: {text}")
        if text not in self.notes:
            self.notes.append(text)

    def steps(self, shape):
        return self.options.steps or SHAPES[shape].steps

    def ours(self, case, precision):
        shape, layout = SHAPES[case.shape], case.layout
        words = [] if layout.ranks == 1 else shlex.split(self.options.start_ranks) + [str(layout.ranks)]
        words += [
            self.options.murmur, "bench", shape.config, "--json", "--steps", str(self.steps(case.shape)),
            *shape.settings(case.sequences, case.sequences // layout.data),
            "--set", f"run.threads={layout.threads}", "--set", f"precision.storage={precision}",
            "--set", f"parallelism.tensor={layout.tensor}", *case.settings]
        return last_object(words, os.environ, f"{case.shape}, {layout.title}, ours {precision}")

    def theirs(self, case, precision, form=None):
        layout = case.layout
        form = form or self.forms.get((case.shape, layout, precision), "eager")
        python = [self.options.python]
        if layout.ranks > 1:
            python += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(layout.ranks)]
        words = python + [
            str(HERE / "peer_step.py"), case.shape, "--sequences", str(case.sequences // layout.data),
            "--steps", str(self.steps(case.shape)), "--precision", precision, "--form", form]
        environment = os.environ | {
            "OMP_NUM_THREADS": str(layout.threads), "MKL_NUM_THREADS": str(layout.threads),
            "TORCHINDUCTOR_CACHE_DIR": str(Path(self.options.results).resolve() / "inductor")}
        if self.tcmalloc:
            environment["LD_PRELOAD"] = self.tcmalloc
        found = last_object(
            words, environment, f"{case.shape}, {layout.title}, PyTorch {precision} {form}",
            timeout=COMPILE_SECONDS if form == "compile" else None)
        self.versions["torch"] = found["torch"]
        return found

    def choose_form(self, case, precision):
        """Eager or compiled: tried once for each, with as many steps as a round has."""
        key = (case.shape, case.layout, precision)
        if key in self.forms or self.options.eager:
            return
        self.forms[key] = "eager"
        say(f"{case.shape}, {case.layout.title}: PyTorch {precision}, eager and compiled")
        try:
            eager = self.theirs(case, precision, "eager")["step_seconds"]
        except Failed:
            # The rounds will say so.
            return
        try:
            compiled = self.theirs(case, precision, "compile")["step_seconds"]
        except Failed as failure:
            return self.note(f"torch.compile gave nothing, so eager stands: {failure}")
        if compiled < eager:
            self.forms[key] = "compile"
        say(f"  eager {eager:.4g} s, compiled {compiled:.4g} s")

    def measure(self, case):
        """The rows of a case, one a precision of ours."""
        ours = {precision: [] for precision in case.precisions}
        theirs = {BESIDE[precision]: [] for precision in case.precisions} if case.has_peer else {}
        broken = set()

        def attempt(label, key, program, figures):
            if label in broken:
                return
            try:
                figures.append(program(case, key))
                say(f"  {label} {figures[-1]['step_seconds']:.4g} s")
            except Failed as failure:
                # One that cannot run says so once and is not tried again.
                broken.add(label)
                self.note(str(failure))

        for precision in list(theirs):
            self.choose_form(case, precision)
        for index in range(self.options.rounds):
            say(f"{case.shape}, {case.layout.title}: round {index + 1} of {self.options.rounds}")
            waiting = list(theirs)
            for precision in case.precisions:
                attempt(f"ours {precision}", precision, self.ours, ours[precision])
                if BESIDE[precision] in waiting:
                    waiting.remove(BESIDE[precision])
                    peer = BESIDE[precision]
                    attempt(f"PyTorch {peer}", peer, self.theirs, theirs[peer])
        return [
            self.row(case, precision, ours[precision], theirs.get(BESIDE[precision], []))
            for precision in case.precisions]

    def row(self, case, precision, ours, theirs):
        shape = SHAPES[case.shape]
        seconds = [found["step_seconds"] for found in ours]
        peer_seconds = [found["step_seconds"] for found in theirs]
        peer = BESIDE[precision]
        form = self.forms.get((case.shape, case.layout, peer), "eager")
        row = dict(
            shape=case.shape, title=shape.title, layout=case.layout.title, ranks=case.layout.ranks,
            threads=case.layout.threads, tensor=case.layout.tensor, precision=precision,
            tokens=case.sequences * shape.length, has_peer=case.has_peer, seconds=seconds, peer_seconds=peer_seconds,
            peer=f"{'DDP, ' if case.layout.ranks > 1 else ''}{peer}{', compiled' if form == 'compile' else ''}")
        if seconds:
            row["median"] = median(seconds)
            row["waiting"] = median(found["communication_share"] for found in ours)
            row["steady_allocations"] = max(found["steady_allocations"] for found in ours)
            row["peak_bytes"] = max(found["peak_rss_bytes"] for found in ours)
        if peer_seconds:
            row["peer_median"] = median(peer_seconds)
        if seconds and peer_seconds:
            row["ratio"] = row["peer_median"] / row["median"]
            row["ratios"] = [theirs / ours for ours, theirs in zip(seconds, peer_seconds)]
        return row


def compared_cases(options):
    cores = options.threads
    layouts = {1: Layout(1, cores), 2: Layout(2, 1)}
    return [
        Case(name, layouts[ranks], SHAPES[name].sequences, tuple(options.precision))
        for name in options.shapes for ranks in options.ranks]


def scaled_cases(options):
    """Equal work a rank on 1 to N ranks of a thread; the same work on one rank of N threads, and on data × tensor ranks.

    Data ranks are a power of two, as groups of gradients are; tensor ranks divide the heads.
    """
    cores = options.threads
    counts = [1 << power for power in range(cores.bit_length())]
    cases = []
    for name in options.shapes:
        shape = SHAPES[name]
        layouts = [Layout(count, 1) for count in counts]
        if cores > 1:
            layouts.append(Layout(1, cores))
        tensor = 4 if shape.model.get("heads", 12) % 4 == 0 else 2
        if counts[-1] >= 4:
            layouts.append(Layout(counts[-1] // tensor, 1, tensor=tensor))
        cases += [
            Case(
                name, layout, shape.share * layout.ranks * layout.threads, tuple(options.precision),
                has_peer=layout.tensor == 1, settings=("--set", f"numerics.groups={layout.data}"))
            for layout in layouts]
    return cases


def parse():
    parser = argparse.ArgumentParser(prog="launch/bench", allow_abbrev=False, add_help=False)
    parser.error = lambda message: report.fail(message)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE")
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--precision", action="append", choices=list(BESIDE))
    parser.add_argument("--ranks", action="append", type=int, choices=[1, 2])
    parser.add_argument("--rounds", type=report.count)
    parser.add_argument("--steps", type=report.count)
    parser.add_argument("--threads", type=report.count, default=report.physical_cores())
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--last", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    # What launch/bench adds.
    parser.add_argument("--only-arguments", action="store_true")
    parser.add_argument("--murmur", required=True)
    parser.add_argument("--start-ranks", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tcmalloc", default="")
    parser.add_argument("--results", default=".build/bench")
    options = parser.parse_args()
    for name in options.shapes:
        if name not in SHAPES:
            report.fail(f"{name}: expected a shape, one of {', '.join(SHAPES)}")
    options.shapes = options.shapes or (["gpt2"] if options.scale else DEFAULT_SHAPES)
    options.precision = options.precision or (["float32"] if options.scale else list(BESIDE))
    if options.scale and options.ranks:
        report.fail("--ranks: expected without --scale, which takes 1 to --threads N of them")
    options.ranks = options.ranks or [1, 2]
    environment = {name: os.environ.get(name.upper()) for name in ("rounds", "steps")}
    for name, text in environment.items():
        if text and getattr(options, name) is None:
            try:
                setattr(options, name, report.count(text))
            except argparse.ArgumentTypeError as error:
                report.fail(f"{name.upper()}: {error}")
    options.rounds = options.rounds or (3 if options.scale else 5)
    return options


def main():
    # Whoever is told to end ends the program that it waits for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse()
    if options.only_arguments:
        return 0
    kind = "scale" if options.scale else "bench"
    results = Path(options.results)
    results.mkdir(parents=True, exist_ok=True)
    stored = results / f"{kind}.json"
    if options.last:
        if not stored.exists():
            report.fail(f"{stored}: expected the results of a run of launch/bench, found none")
        found = json.loads(stored.read_text())
    else:
        bench = Bench(options)
        found = dict(kind=kind, machine=report.machine(options.murmur), rows=[])
        found["rounds"], found["tcmalloc"] = options.rounds, bool(bench.tcmalloc)
        load, cores = found["machine"]["load"], found["machine"]["cores"]
        if load > cores / 4:
            bench.note(f"others used the machine (load {load} before the run): no figure here says much; PyTorch's "
                       "threads, which spin while they wait, suffer most")
        cases = scaled_cases(options) if options.scale else compared_cases(options)
        for case in cases:
            found["rows"] += bench.measure(case)
            found["notes"], found["torch"] = bench.notes, bench.versions.get("torch")
            stored.write_text(json.dumps(found, indent=1))
    if not any("median" in row for row in found["rows"]):
        report.fail("no figure: " + "; ".join(found["notes"]))
    table, picture = report.table(found), report.picture(found)
    (results / f"{kind}.md").write_text(table)
    (results / f"{kind}.svg").write_text(picture)
    print(table)
    say(f"written: {results}/{kind}.md, {kind}.svg and {kind}.json")
    if options.write_docs:
        report.write_docs(kind, table, picture)
    missing = [
        row for row in found["rows"] if "median" not in row or row.get("has_peer", True) and "peer_median" not in row]
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
