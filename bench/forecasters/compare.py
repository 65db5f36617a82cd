#!/usr/bin/env python3
"""Measures forecasts beside statsforecast's AutoETS, what a user of Python would pick, in one run.

Both forecast the same series at the same origins; the table has the weighted quantile loss of each (mean over
series) and forecasts per second of processor time, all that each needs included: reading, start, and for the
product the back-casts that calibrate a series when it is first asked about. AutoETS gets every n-th origin, since
it takes a second for each; a rate is a rate. Sets up what it needs in target/forecasters.

usage: bench/forecasters/compare.py --data DIR [--split dev] [--datasets a,b] [--every 12] [--json]
"""

import argparse
import csv
import gzip
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from rivals import ROOT, set_up  # noqa: E402
LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
CONTEXT_DAYS = {3600: 56, 300: 14}


def read(path, interval):
    """Series of a file: first time, and values with NaN where a sample is missing."""
    series = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            name = f"{row['customer']}/{row['vm_type']}/{row['metric']}"
            first, values = series.setdefault(name, (int(row["timestamp"]), []))
            at = (int(row["timestamp"]) - first) // interval
            values.extend([float("nan")] * (at - len(values)))
            values.append(float(row["value"]))
    return series


def processor_seconds(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def loss(truth, quantiles):
    """Sums of pinball losses and of truth over the steps whose truth is there."""
    total, demand = 0.0, 0.0
    for value, step in zip(truth, quantiles):
        if value != value:
            continue
        demand += abs(value)
        total += sum(max(level * (value - q), (level - 1) * (value - q)) for level, q in zip(LEVELS, sorted(step)))
    return total, demand


def of_rival(history, horizon, season):
    """AutoETS' quantiles of each step."""
    import numpy as np
    from statsforecast.models import AutoETS

    values = np.array(history)
    for at in range(1, len(values)):
        if np.isnan(values[at]):
            values[at] = values[at - 1]
    made = AutoETS(season_length=season).forecast(y=values, h=horizon, level=[50, 80, 90, 98])
    columns = ["lo-90", "lo-80", "lo-50", "mean", "hi-50", "hi-80", "hi-90", "hi-98"]
    return np.maximum(np.stack([made[name] for name in columns], axis=1), 0.0).tolist()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--split", default="dev")
    arguments.add_argument("--datasets", default="snowflake_vm,appserver_requests,nyc_taxi,vic_elec")
    arguments.add_argument("--every", type=int, default=12)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    set_up(__file__, "forecasters")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    data = pathlib.Path(options.data)
    protocol = json.loads((data / "protocol.json").read_text())
    subprocess.run(["cargo", "build", "--quiet", "--bin", "twinscale"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "forecasts.csv.gz"
        before = processor_seconds(resource.RUSAGE_CHILDREN)
        command = [ROOT / "target/debug/twinscale", "bench", "forecast", "--quiet", "--data", data]
        subprocess.run([*command, "--split", options.split, "--out", out], cwd=ROOT, check=True)
        product_seconds = processor_seconds(resource.RUSAGE_CHILDREN) - before
        product = {}
        with gzip.open(out, "rt") as file:
            for row in csv.reader(file):
                if row[0] != "dataset":
                    product.setdefault((row[0], row[1], int(row[2])), []).append([float(q) for q in row[4:]])
    warm = [float(at % 24) for at in range(240)]
    of_rival(warm, 24, 24)  # what is compiled once is no part of a rate
    rows, asked, rival_seconds = [], 0, 0.0
    for dataset in options.datasets.split(","):
        rules = protocol[dataset]
        interval, horizon, season = rules["interval_s"], rules["horizon"], rules["season"]
        series = read(data / options.split / f"{dataset}.csv.gz", interval)
        ours, theirs = [], []
        for name in rules["series"][options.split]:
            first, values = series[name]
            losses = {"ours": [0.0, 0.0], "theirs": [0.0, 0.0]}
            origins = range(0, rules["n_origins"], options.every)
            for origin in (len(values) - 1 - horizon - rules["stride"] * (rules["n_origins"] - 1 - at) for at in origins):
                truth = values[origin + 1 : origin + 1 + horizon]
                context = CONTEXT_DAYS[interval] * 86400 // interval
                before = processor_seconds(resource.RUSAGE_SELF)
                rival = of_rival(values[max(0, origin + 1 - context) : origin + 1], horizon, season)
                rival_seconds += processor_seconds(resource.RUSAGE_SELF) - before
                asked += 1
                for kind, made in (("ours", product[dataset, name, first + origin * interval]), ("theirs", rival)):
                    total, demand = loss(truth, made)
                    losses[kind][0] += total
                    losses[kind][1] += demand
            if losses["ours"][1] > 0:
                ours.append(2 * losses["ours"][0] / (len(LEVELS) * losses["ours"][1]))
                theirs.append(2 * losses["theirs"][0] / (len(LEVELS) * losses["theirs"][1]))
        rows.append({"dataset": dataset, "twinscale": sum(ours) / len(ours), "autoets": sum(theirs) / len(theirs)})
    report = {
        "format": "twinscale-forecasters/1",
        "losses": rows,
        "forecasts_per_processor_second": {
            "twinscale": len(product) / product_seconds,
            "autoets": asked / rival_seconds,
        },
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{'weighted quantile loss':<24}{'Twinscale':>12}{'AutoETS':>12}{'ratio':>8}")
    for row in rows:
        ratio = row["twinscale"] / row["autoets"]
        print(f"{row['dataset']:<24}{row['twinscale']:>12.4f}{row['autoets']:>12.4f}{ratio:>8.2f}")
    rates = report["forecasts_per_processor_second"]
    print(f"{'forecasts/s of a core':<24}{rates['twinscale']:>12.1f}{rates['autoets']:>12.2f}")


if __name__ == "__main__":
    main()
