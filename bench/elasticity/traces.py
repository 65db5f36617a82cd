"""Writes each trace's cost, time under-provisioned and demand unserved as a table in Markdown.

    traces.py SCORES.json [TIME]

SCORES is what the scorer of `twinscale bench elasticity` writes with --json. The setting of each suite is the cheapest
whose traces are under-provisioned for at most TIME per cent of the time on average (default 1).
"""

import json
import sys

STEPS = {"minute": "60 s", "fivemin": "300 s", "hourly": "1 h"}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    most = float(sys.argv[2]) if len(sys.argv) == 3 else 1.0
    with open(sys.argv[1]) as scores:
        suites = json.load(scores)["suites"]
    print("| steps | price of a miss | trace | cost | time, % | demand unserved, % |\n|---|---|---|---|---|---|")
    for suite, points in suites.items():
        settings = zip(points["cost"], range(len(points["knob"])))
        within = [(cost, at) for cost, at in settings if points["tau_U"][at] <= most]
        if not within:
            sys.exit(f"error: no setting of `{suite}` stays within {most:g} % of the time\nhint: allow more time")
        _, at = min(within)
        rows = {trace: [one[key][at] for key in ("cost", "tau_U", "unserved")] for trace, one in points["traces"].items()}
        rows = sorted(rows.items(), key=lambda row: -row[1][1])
        rows.append(("**mean**", [points[key][at] for key in ("cost", "tau_U", "unserved")]))
        for trace, (cost, time, unserved) in rows:
            step, price = STEPS.get(suite, suite), points["knob"][at]
            print(f"| {step} | {price:g} | {trace} | {cost:.3f} | {time:.2f} | {unserved:.2f} |")


if __name__ == "__main__":
    main()
