"""What launch/bench says of a comparison: the machine in a line, a Markdown table, a picture in SVG."""

import argparse
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "images"


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def count(text):
    if not re.fullmatch("[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {text}")
    return int(text)


def physical_cores():
    """Cores that this process may use; the second thread of a core computes no more."""
    allowed = os.sched_getaffinity(0)
    cores = set()
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text() if siblings.exists() else cpu)
    return len(cores)


# The machine

def machine(murmur):
    text = Path("/proc/cpuinfo").read_text()

    def field(name):
        found = re.search(rf"^{name}\s*: (.*)$", text, re.M)
        return found.group(1).strip() if found else "?"

    flags = field("flags").split()
    units = [name for flag, name in (
        ("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX512-BF16"), ("amx_bf16", "AMX")) if flag in flags]
    return dict(
        processor=f"{field('model name')} (family {field('cpu family')}, model {field('model')})",
        units=", ".join(units) or "no AVX2", cores=physical_cores(), openblas=openblas_core(murmur),
        date=datetime.date.today().isoformat(), load=round(os.getloadavg()[0], 1))


def openblas_core(murmur):
    said = subprocess.run([murmur, "doctor"], capture_output=True, text=True).stdout
    found = re.search(r"OpenBLAS.*?kernels of (\S+)", said)
    return found.group(1).rstrip(":,") if found else "?"


# The table

def number(value, digits=3):
    """With as many digits as count, and commas between thousands."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if value < 100 else f"{value:.0f}"


def spread(ratios):
    return f"{min(ratios):.2f}–{max(ratios):.2f}"


def table(found):
    host = found["machine"]
    torch = f"PyTorch {found['torch']}" if found.get("torch") else "no PyTorch"
    lines = [
        f"{host['processor']}, {host['units']}, {host['cores']} cores; OpenBLAS kernels of {host['openblas']}; {torch}, "
        f"{'tcmalloc preloaded' if found['tcmalloc'] else 'its own allocator'}; {host['date']}, load before it "
        f"{host['load']}. Medians of {found['rounds']} round{'s' if found['rounds'] > 1 else ''} in turn; *ratio* is PyTorch's seconds over ours, beside it "
        "the range of the rounds.", ""]
    lines += scale_rows(found["rows"]) if found["kind"] == "scale" else compare_rows(found["rows"])
    if found.get("notes"):
        lines += [""] + [f"* {note}" for note in found["notes"]]
    return "\n".join(lines) + "\n"


def rows_of(heads, rows):
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return [line(heads), "|" + " --- |" * len(heads), *map(line, rows)]


def rate(row, key):
    return number(row["tokens"] / row[key]) if key in row else "–"


def seconds(row, key):
    return number(row[key]) if key in row else "–"


def ratio(row):
    return f"**{row['ratio']:.2f}**, {spread(row['ratios'])}" if "ratio" in row else "–"


def compare_rows(rows):
    return rows_of(
        ["shape", "layout", "ours", "s", "tokens/s", "PyTorch", "s", "tokens/s", "ratio"],
        [[row["title"], row["layout"], row["precision"], seconds(row, "median"), rate(row, "median"),
          row["peer"] if row["peer_seconds"] else "–", seconds(row, "peer_median"), rate(row, "peer_median"), ratio(row)]
         for row in rows])


def scale_rows(rows):
    """With the rate over that of one rank of one thread, a core."""
    single = {
        (row["shape"], row["precision"]): row["tokens"] / row["median"]
        for row in rows if row["ranks"] == row["threads"] == 1 and "median" in row}

    def efficiency(row):
        base = single.get((row["shape"], row["precision"]))
        if not base or "median" not in row:
            return "–"
        return f"{row['tokens'] / row['median'] / base / row['ranks'] / row['threads']:.2f}"

    def cell(row, key, form):
        return form(row[key]) if key in row else "–"

    return rows_of(
        ["shape", "layout", "ours", "tokens a step", "tokens/s", "a core, of one", "waiting", "allocations", "peak a rank",
         "PyTorch", "tokens/s", "ratio"],
        [[row["title"].split(",")[0], row["layout"], row["precision"], number(row["tokens"]), rate(row, "median"),
          efficiency(row), cell(row, "waiting", lambda share: f"{100 * share:.0f} %"),
          cell(row, "steady_allocations", str), cell(row, "peak_bytes", lambda size: f"{size / 1e6:,.0f} MB"),
          row["peer"] if row["peer_seconds"] else "–", rate(row, "peer_median"), ratio(row)] for row in rows])


# The picture

def picture(found):
    """A bar a row: the ratio of the medians, the range of the rounds across its end, a line where both are as fast."""
    rows = [row for row in found["rows"] if "ratio" in row]
    top, height, left, right, width = 66, 26, 330, 640, 760
    bottom = top + height * max(1, len(rows))
    most = max([1.0] + [value for row in rows for value in row["ratios"]]) * 1.05
    tick = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 100) if most / step <= 8)

    def x(value):
        return left + (right - left) * value / most

    host = found["machine"]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 40}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>Training steps: PyTorch's seconds over ours</title>", "<style>"]
    lines += ["  " + line for line in (ROOT / "launch" / "picture.css").read_text().splitlines()
              if not line.startswith("/*")]
    lines += [
        "</style>", f'<rect class="page" width="{width}" height="{bottom + 40}" rx="6"/>',
        '<text class="text" x="16" y="28" font-size="15" font-weight="600">A training step: PyTorch\'s seconds over ours'
        "</text>",
        f'<text class="quiet" x="16" y="48" font-size="12">{escape(host["processor"])}, {host["cores"]} cores, '
        f'{escape(host["units"])}; {host["date"]}; above 1 ours is faster</text>']
    value = 0.0
    while value <= most:
        lines.append(f'<path class="grid" d="M{x(value):.1f} {top}V{bottom}"/><text class="quiet" x="{x(value):.1f}" '
                     f'y="{bottom + 18}" text-anchor="middle">{value:g}</text>')
        value += tick
    for index, row in enumerate(rows):
        y = top + index * height
        middle = y + height / 2
        low, high = min(row["ratios"]), max(row["ratios"])
        label = escape(f"{row['title']}; {row['layout']}; {row['precision']}")
        lines += [
            f'<text class="text" x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end" font-size="11">{label}</text>',
            f'<rect class="bar" x="{left}" y="{y + 5}" width="{x(row["ratio"]) - left:.1f}" height="{height - 10}"/>',
            f'<path class="axis" d="M{x(low):.1f} {middle}H{x(high):.1f}M{x(low):.1f} {middle - 4}v8'
            f'M{x(high):.1f} {middle - 4}v8"/>',
            f'<text class="text" x="{right + 8}" y="{middle + 4:.1f}">{row["ratio"]:.2f}</text>']
    lines += [f'<path class="axis" d="M{x(1):.1f} {top - 4}V{bottom}"/>', "</svg>"]
    return "\n".join(lines) + "\n"


# The documents

def write_docs(kind, table, picture):
    """Puts the table between the two marker comments of the page, and the picture among its images."""
    begin, end = f"<!-- {kind}: begin -->", f"<!-- {kind}: end -->"
    text = PAGE.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        fail(f"{PAGE}: expected one {begin} and one {end} after it")
    image = f"![PyTorch's seconds over ours, a bar a row of the table](images/{kind}.svg)"
    before, rest = text.split(begin)
    PAGE.write_text(f"{before}{begin}\n\n{image}\n\n{table}\n{end}{rest.split(end)[1]}")
    (PICTURES / f"{kind}.svg").write_text(picture)
    print(f"written: {PAGE.relative_to(ROOT)} and docs/images/{kind}.svg", file=sys.stderr)
