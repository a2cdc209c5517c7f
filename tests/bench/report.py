#!/usr/bin/python3 -IS
# SPDX-License-Identifier: GPL-2.0-only
"""Samples of the benchmark (see net.sh) to tables:

    report.py icount|vanilla|parallel OUT SAMPLES

writes OUT.txt and OUT.csv, what gnuplot draws from (OUT-throughput.plot, OUT-cost.plot), and prints
the text. Costs are CPU time above that of plain forwarding of as many flows, in the same boot. Uses
nothing that python3-minimal lacks."""
import sys

VARIANTS = ("plain", "softirq", "threaded", "inline")
SEGMENT = 1368  # payload bytes of a full packet at the MTU of a tunnel, 1420
TITLES = {
    "plain": "plain forwarding",
    "softirq": "vanilla, softirq NAPI",
    "threaded": "vanilla, threaded NAPI",
    "inline": "inline",
}
# What is wanted at 4 tunnels: cost of inline against this variant's, at most.
TARGETS = (("threaded", 0.92), ("softirq", 0.66))
STOCK_TOLERANCE = 0.01  # of the cost above plain forwarding
TWO_AGAINST_ONE = 1.6
ROUNDS_ENOUGH = 10


class Row:
    """One window, or several as one."""

    def __init__(self, module, variant, tunnels, numbers):
        self.module, self.variant, self.tunnels = module, variant, tunnels
        self.us, self.packets, self.bytes, self.idle_us = numbers[:4]
        self.busy = numbers[4:]
        cpu_us = self.us * len(self.busy)
        self.mbit = self.bytes * 8 / 1e6
        self.mbps = self.mbit / (self.us / 1e6)
        self.idle = self.idle_us / cpu_us
        self.cost = (cpu_us - self.idle_us) / 1000 / self.mbit  # ms per Mbit


def row_of(words):
    numbers = [int(word) for word in words[2:]]
    row = Row(words[0], words[1], numbers[0], numbers[2:])
    row.round = numbers[1]
    return row


class Samples:
    def __init__(self, path):
        self.machine, self.rows, self.loops, self.floor_ns = {}, [], {}, None
        with open(path, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if words[0] == "machine":
                    self.machine[words[1]] = " ".join(words[2:])
                elif words[0] == "floor":
                    self.floor_ns = (int(words[2]), int(words[3]))
                elif words[0] == "loop":
                    key = (words[1], words[2], int(words[3]))
                    self.loops.setdefault(key, []).append(float(words[5]))
                elif words[0] == "row":
                    self.rows.append(row_of(words[1:]))

    def of(self, module, variant, tunnels):
        return [
            row
            for row in self.rows
            if (row.module, row.variant, row.tunnels) == (module, variant, tunnels)
        ]

    def whole(self, module, variant, tunnels):
        """All windows of a row as one; None without any."""
        rows = self.of(module, variant, tunnels)
        if not rows:
            return None
        numbers = [(row.us, row.packets, row.bytes, row.idle_us) for row in rows]
        return Row(module, variant, tunnels, [sum(some) for some in zip(*numbers)] + rows[0].busy)

    def spread(self, row):
        """Between the windows of that row: (max - min) / mean of the cost."""
        costs = [other.cost for other in self.of(row.module, row.variant, row.tunnels)]
        return (max(costs) - min(costs)) / row.cost

    def tunnels(self):
        return sorted({row.tunnels for row in self.rows})

    def floor(self):
        """In ms per Mbit."""
        return sum(self.floor_ns) / 1e6 / (SEGMENT * 8 / 1e6)

    def above(self, row):
        """Cost above plain forwarding; None for plain itself, and where that was not measured."""
        plain = self.whole(row.module, "plain", row.tunnels)
        if plain is None or row.variant == "plain":
            return None
        return row.cost - plain.cost


    def doubt(self, row):
        """Of the cost of a row, relative: two standard errors of its windows; 0 if only one."""
        mean, doubt = mean_and_doubt(
            [other.cost for other in self.of(row.module, row.variant, row.tunnels)]
        )
        return doubt / mean


def mean_and_doubt(values):
    """(mean, two standard errors of it)"""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, 0
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, 2 * (variance / len(values)) ** 0.5


def quartiles(values):
    """(min, first quartile, median, third quartile, max), interpolated."""
    values = sorted(values)

    def at(part):
        place = part * (len(values) - 1)
        low = int(place)
        high = min(low + 1, len(values) - 1)
        return values[low] + (values[high] - values[low]) * (place - low)

    return tuple(at(part) for part in (0, 0.25, 0.5, 0.75, 1))


def table(head, rows):
    """Columns as wide as need be; the first is flush left."""
    lines = [head] + rows
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def described(samples):
    return [f"{key}: {value}" for key, value in samples.machine.items()]


def verdict(good, text, sure=True):
    word = "met" if good else "NOT MET"
    return f"{word if sure else f'{word}, but not for sure'}: {text}"


# ---- by instructions ----


def name_of(row):
    tunnels = f"{row.tunnels} flow" if row.variant == "plain" else f"{row.tunnels} tunnel"
    stock = ", stock module" if row.module == "stock" else ""
    return f"{tunnels}{'s' if row.tunnels > 1 else ''}, {TITLES[row.variant]}{stock}"


def icount_order(samples):
    for tunnels in samples.tunnels():
        for variant in VARIANTS:
            for module in ("ours", "stock"):
                row = samples.whole(module, variant, tunnels)
                if row is not None:
                    yield row


def icount_cells(samples, row):
    """Mb/s, idle share, cost, above plain, to the floor, instructions a packet above plain."""
    above = samples.above(row)
    per_packet = None if above is None else above * SEGMENT * 8
    ratio = None if above is None else above / samples.floor()
    return row.mbps, row.idle, row.cost, above, ratio, per_packet


def icount_table(samples):
    head = ["", "Mb/s", "idle %", "ms/Mbit", "above plain", "x floor", "instr./packet", "spread %"]
    rows = []
    for row in icount_order(samples):
        mbps, idle, cost, above, ratio, per_packet = icount_cells(samples, row)
        rows.append(
            [name_of(row), number(mbps, 1), number(100 * idle, 1), number(cost, 3)]
            + [number(above, 3), number(ratio, 2), number(per_packet, 0)]
            + [number(100 * samples.spread(row), 1)]
        )
    floor = samples.floor()
    rows.append(
        ["cryptography alone (floor)", "-", "-", "-", number(floor, 3), "1.00"]
        + [number(sum(samples.floor_ns), 0), "-"]
    )
    return table(head, rows)


def inline_ratio(samples, other, tunnels):
    inline, row = (samples.whole("ours", variant, tunnels) for variant in ("inline", other))
    if inline is None or row is None or samples.above(row) is None:
        return None
    return samples.above(inline) / samples.above(row)


def icount_ratios(samples):
    head = ["cost above plain", "inline/threaded", "inline/softirq"]
    rows = []
    for tunnels in samples.tunnels():
        ratios = [inline_ratio(samples, other, tunnels) for other in ("threaded", "softirq")]
        rows.append([f"{tunnels} tunnel{'s' if tunnels > 1 else ''}"])
        rows[-1] += [number(ratio, 3) for ratio in ratios]
    return table(head, rows)


def doubt_of_two(samples, one, other):
    """Of the ratio of two costs, relative."""
    return (samples.doubt(one) ** 2 + samples.doubt(other) ** 2) ** 0.5


def target_verdict(samples, other, most):
    ratio = inline_ratio(samples, other, 4)
    if ratio is None:
        return []
    rows = (samples.whole("ours", variant, 4) for variant in ("inline", other))
    doubt = ratio * doubt_of_two(samples, *rows)
    text = f"4 tunnels, cost of inline / vanilla {other}: {ratio:.3f} (+- {doubt:.3f}),"
    text += f" wanted <= {most}"
    return [verdict(ratio <= most, text, abs(ratio - most) > doubt)]


def icount_verdicts(samples):
    lines = []
    for other, most in TARGETS:
        lines += target_verdict(samples, other, most)
    return lines


def icount_text(samples):
    encrypt, decrypt = samples.floor_ns
    return (
        described(samples)
        + [f"floor: {encrypt} + {decrypt} instructions to encrypt and decrypt 1420 bytes", ""]
        + icount_table(samples)
        + [""]
        + icount_ratios(samples)
        + [""]
        + icount_verdicts(samples)
    )


def icount_csv(samples):
    lines = ["kernel,module,variant,tunnels,mbps,idle,ms_per_mbit,above_plain,x_floor,instr_packet"]
    for row in icount_order(samples):
        cells = [samples.machine.get("kernel", ""), row.module, row.variant, str(row.tunnels)]
        digits = (2, 4, 4, 4, 4, 0)
        for value, places in zip(icount_cells(samples, row), digits):
            cells.append("" if value is None else f"{value:.{places}f}")
        lines.append(",".join(cells))
    floor = samples.floor()
    kernel = samples.machine.get("kernel", "")
    lines.append(f"{kernel},,floor,,,,,{floor:.4f},1.0000,{sum(samples.floor_ns)}")
    return lines


# ---- vanilla, our module against the kernel's own ----


def vanilla_rows(samples):
    """(variant, segments, plain, stock, ours, ratio of costs above plain, doubt of that); in ns."""
    for variant in ("softirq", "threaded"):
        for segments in sorted({key[2] for key in samples.loops}):
            plain, _ = mean_and_doubt(samples.loops["ours", "plain", segments])
            stock, stock_doubt = mean_and_doubt(samples.loops["stock", variant, segments])
            ours, ours_doubt = mean_and_doubt(samples.loops["ours", variant, segments])
            ratio = (ours - plain) / (stock - plain)
            doubt = ratio * (
                (ours_doubt / (ours - plain)) ** 2 + (stock_doubt / (stock - plain)) ** 2
            ) ** 0.5
            yield variant, segments, plain, stock, ours, ratio, doubt


def vanilla_table(samples):
    head = ["instructions a datagram", "at once", "plain", "stock", "ours"]
    lines = []
    for variant, segments, plain, stock, ours, ratio, doubt in vanilla_rows(samples):
        lines.append(
            [TITLES[variant], str(segments)]
            + [number(value, 0) for value in (plain, stock, ours)]
            + [number(ratio, 4), number(doubt, 4)]
        )
    return table(head + ["above plain, ours / stock", "+-"], lines)


def vanilla_verdicts(samples):
    lines = []
    for variant, segments, _, _, _, ratio, doubt in vanilla_rows(samples):
        off = abs(ratio - 1)
        text = f"vanilla {variant}, {segments} at once, our module / stock: {ratio:.4f}"
        text += f" (+- {doubt:.4f}), wanted within {100 * STOCK_TOLERANCE:.0f} %"
        lines.append(verdict(off <= STOCK_TOLERANCE, text, abs(off - STOCK_TOLERANCE) > doubt))
    return lines


def vanilla_text(samples):
    return (
        described(samples) + [""] + vanilla_table(samples) + [""] + vanilla_verdicts(samples)
    )


def vanilla_csv(samples):
    lines = ["kernel,variant,segments,plain_ns,stock_ns,ours_ns,above_plain_ratio,doubt"]
    for variant, segments, *values in vanilla_rows(samples):
        cells = [samples.machine.get("kernel", ""), variant, str(segments)]
        cells += [f"{value:.1f}" for value in values[:3]] + [f"{value:.4f}" for value in values[3:]]
        lines.append(",".join(cells))
    return lines


# ---- in parallel ----


def parallel_groups(samples):
    for tunnels in samples.tunnels():
        for variant in VARIANTS:
            rows = samples.of("ours", variant, tunnels)
            if rows:
                yield variant, tunnels, rows


def parallel_table(samples):
    head = ["", "rounds", "Mb/s: min", "q1", "median", "q3", "max", "CPU ms/Mbit", "busy % by CPU"]
    lines = []
    for _, _, rows in parallel_groups(samples):
        speeds = [number(value, 0) for value in quartiles([row.mbps for row in rows])]
        cost = quartiles([row.cost for row in rows])[2]
        busy = [quartiles(shares)[2] / 10 for shares in zip(*(row.busy for row in rows))]
        lines.append(
            [name_of(rows[0]), str(len(rows))]
            + speeds
            + [number(cost, 2), " ".join(f"{share:.0f}" for share in busy)]
        )
    return table(head, lines)


def paired(samples, over, under):
    """Ratios of throughput, round by round; over and under are (variant, tunnels)."""
    below = {row.round: row.mbps for row in samples.of("ours", *under)}
    return [
        row.mbps / below[row.round] for row in samples.of("ours", *over) if below.get(row.round)
    ]


def parallel_pairs(samples):
    for tunnels in samples.tunnels():
        for other in ("threaded", "softirq"):
            yield f"{tunnels}: inline / {other}", ("inline", tunnels), (other, tunnels)
    for variant in ("softirq", "threaded", "inline"):
        for tunnels in samples.tunnels()[1:]:
            yield f"{variant}: {tunnels} tunnels / 1", (variant, tunnels), (variant, 1)


def parallel_ratios(samples):
    head = ["throughput, round by round", "min", "q1", "median", "q3", "max"]
    lines = []
    for name, over, under in parallel_pairs(samples):
        ratios = paired(samples, over, under)
        if ratios:
            lines.append([name] + [number(value, 2) for value in quartiles(ratios)])
    return table(head, lines)


def parallel_verdicts(samples):
    ratios = paired(samples, ("inline", 2), ("inline", 1))
    if not ratios or samples.machine.get("vcpus") != "2":
        return []
    _, low, median, high, _ = quartiles(ratios)
    text = f"inline, 2 tunnels / 1, median: {median:.2f}, wanted >= {TWO_AGAINST_ONE}"
    sure = len(ratios) >= ROUNDS_ENOUGH and not low < TWO_AGAINST_ONE <= high
    return [verdict(median >= TWO_AGAINST_ONE, text, sure)]


def parallel_text(samples):
    return (
        described(samples)
        + [""]
        + parallel_table(samples)
        + [""]
        + parallel_ratios(samples)
        + [""]
        + parallel_verdicts(samples)
    )


def parallel_csv(samples):
    lines = ["kernel,vcpus,variant,tunnels,rounds,min,q1,median,q3,max,ms_per_mbit"]
    for variant, tunnels, rows in parallel_groups(samples):
        cells = [samples.machine.get("kernel", ""), samples.machine.get("vcpus", ""), variant]
        cells += [str(tunnels), str(len(rows))]
        cells += [f"{value:.1f}" for value in quartiles([row.mbps for row in rows])]
        cells.append(f"{quartiles([row.cost for row in rows])[2]:.4f}")
        lines.append(",".join(cells))
    return lines


# ---- pictures ----


def plot_head(samples, out, what, title, y):
    where = f"{samples.machine.get('kernel', '')}, {samples.machine.get('vcpus', '')} vCPU"
    return [
        "set terminal svg size 720,480 font 'sans,13' background 'white'",
        f"set output '{out}-{what}.svg'",
        f"set title \"{title}\\n{where}\" noenhanced",
        f"set ylabel '{y}'",
        "set xlabel 'tunnels'",
        "set yrange [0:*]",
        "set grid ytics",
        "set key outside bottom center horizontal",
    ]


def data_block(samples, name, value):
    """One line for each number of tunnels, one column for each variant, "?" where there is none."""
    lines = [f"${name} << END"]
    for tunnels in samples.tunnels():
        cells = [str(tunnels)]
        for variant in VARIANTS:
            rows = samples.of("ours", variant, tunnels)
            cells.append(f"{value(rows):.4f}" if rows else "?")
        lines.append(" ".join(cells))
    return lines + ["END"]


def median_speed(rows):
    return quartiles([row.mbps for row in rows])[2]


def throughput_plot(samples, out, variants):
    lines = plot_head(samples, out, "throughput", "Throughput by number of tunnels", "Mb/s")
    lines += data_block(samples, "speed", median_speed)
    first, last = samples.tunnels()[0], samples.tunnels()[-1]
    lines += ["set datafile missing '?'", "set logscale x 2"]
    lines += [f"set xrange [{first / 1.2:.2f}:{last * 1.2:.2f}]"]
    curves = [
        f"$speed using 1:{2 + VARIANTS.index(variant)} with linespoints lw 2 pt 7"
        f" title '{TITLES[variant]}'"
        for variant in variants
    ]
    return lines + ["plot " + ", ".join(curves)]


def cost_plot(samples, out, value, title, y):
    lines = plot_head(samples, out, "cost", title, y)
    lines += data_block(samples, "cost", value)
    lines += [
        "set style data histogram",
        "set style histogram cluster gap 1",
        "set style fill solid 0.8 border -1",
        "set datafile missing '?'",
    ]
    bars = [
        f"$cost using {2 + VARIANTS.index(variant)}:xtic(1) title '{TITLES[variant]}'"
        for variant in ("softirq", "threaded", "inline")
    ]
    if samples.floor_ns and "above" in title:
        line = "with lines lw 2 dt 2 lc 'black' title 'cryptography alone'"
        bars.append(f"{samples.floor():.4f} {line}")
    return lines + ["plot " + ", ".join(bars)]


def icount_plots(samples, out):
    def above(rows):
        return samples.above(samples.whole("ours", rows[0].variant, rows[0].tunnels)) or 0

    return {
        "throughput": throughput_plot(samples, out, ("softirq", "threaded", "inline")),
        "cost": cost_plot(samples, out, above, "Cost above plain forwarding", "ms per Mbit"),
    }


def parallel_plots(samples, out):
    def cost(rows):
        return quartiles([row.cost for row in rows])[2]

    return {
        "throughput": throughput_plot(samples, out, ("softirq", "threaded", "inline")),
        "cost": cost_plot(samples, out, cost, "CPU time, all included", "CPU ms per Mbit"),
    }


KINDS = {
    "icount": (icount_text, icount_csv, icount_plots),
    "vanilla": (vanilla_text, vanilla_csv, lambda samples, out: {}),
    "parallel": (parallel_text, parallel_csv, parallel_plots),
}


def write(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: {sys.argv[0]} icount|vanilla|parallel OUT SAMPLES")
    text, csv, plots = KINDS[sys.argv[1]]
    out, samples = sys.argv[2], Samples(sys.argv[3])
    if not samples.rows and not samples.loops:
        sys.exit(f"{sys.argv[3]}: no samples")
    lines = text(samples)
    write(out + ".txt", lines)
    write(out + ".csv", csv(samples))
    for what, plot in plots(samples, out).items():
        write(f"{out}-{what}.plot", plot)
    print("\n".join(lines))


main()
