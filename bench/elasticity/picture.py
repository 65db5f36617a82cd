"""Draws what provisioning costs against the time that it leaves under-provisioned, beside rivals.

    picture.py SCORES.json RIVALS.json OUT.svg

SCORES is what the scorer of `twinscale bench elasticity` writes with --json, RIVALS its table of other policies.
Each holds, by suite, the points of a sweep: lists `tau_U` (per cent of the time) and `cost` (multiple of perfect
foresight's). Only points that no other point of the same policy beats in both are drawn.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
# The same input gives the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "elasticity"
import matplotlib.pyplot as plt  # noqa: E402  (the backend comes first)

SUITES = [("minute", "steps of a minute"), ("fivemin", "of five minutes"), ("hourly", "of an hour")]
RIVALS = [
    ("hpa", "Kubernetes HPA", "#999999", ":"),
    ("crane_like", "crane's floor", "#bbbbbb", "-."),
    ("aws_like", "AWS-like predictive", "#e69f00", "--"),
    ("autopilot_1h", "moving window, 1 h", "#56b4e9", "--"),
    ("ridge_half_q", "ridge regression", "#009e73", "-"),
    ("select_q", "best per customer", "#cc79a7", "-"),
]
TIMES = [0.1, 0.5, 1, 5]


def frontier(points):
    """Points (time, cost), ascending in time, whose cost is below that of all before."""
    best, kept = float("inf"), []
    for time, cost in sorted(zip(points["tau_U"], points["cost"])):
        if cost < best:
            best = cost
            kept.append((max(time, 1e-3), cost))
    return zip(*kept)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with open(sys.argv[1]) as scores, open(sys.argv[2]) as rivals:
        own, rivals = json.load(scores)["suites"], json.load(rivals)["suites"]
    missing = [suite for suite, _ in SUITES if suite not in own or suite not in rivals]
    if missing:
        sys.exit(f"error: no points of {', '.join(missing)}\nhint: score all suites at once")
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    for panel, (suite, title) in zip(axes, SUITES):
        for family, label, colour, style in RIVALS:
            panel.plot(*frontier(rivals[suite]["families"][family]), style, color=colour, label=label, lw=1.2)
        panel.plot(*frontier(own[suite]), "-", color="#d55e00", label="Twinscale", lw=2.4)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlim(0.07, 7)
        panel.set_ylim(1, 8)
        panel.set_xticks(TIMES, [f"{time:g}" for time in TIMES])
        panel.set_yticks([1, 1.5, 2, 3, 5, 8], ["1", "1.5", "2", "3", "5", "8"])
        panel.minorticks_off()
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("time under-provisioned, %")
        panel.grid(alpha=0.25)
    axes[0].set_ylabel("cost, of perfect foresight's")
    axes[2].legend(fontsize=8, loc="upper right")
    figure.tight_layout()
    figure.savefig(sys.argv[3], metadata={"Date": None})


if __name__ == "__main__":
    main()
