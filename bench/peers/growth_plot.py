"""Draw events/s and memory over the events stored: ``growth_plot.py SAMPLES.json OUT.svg``."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "stumble"  # the same figures give the same file

from matplotlib import pyplot as plt  # noqa: E402 - the backend has to be chosen first


def main(samples, out):
    """Draw both lines, each with its own axis that begins at 0."""
    stored = [sample[0] / 1e6 for sample in samples]
    figure, rates = plt.subplots(figsize=(8, 3.6), layout="constrained")
    memory = rates.twinx()
    for axis, column, name, colour in ((rates, 1, "events/s", "tab:blue"), (memory, 3, "RSS in MB", "tab:red")):
        values = [sample[column] for sample in samples]
        axis.plot(stored, values, color=colour)
        axis.set_ylabel(name, color=colour)
        axis.set_ylim(0, 1.15 * max(values))
    rates.set_xlabel("million events stored")
    rates.set_xlim(0, stored[-1])
    figure.savefig(out, metadata={"Date": None})


main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
print("{}")  # a job ends with its result
