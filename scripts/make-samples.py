#!/usr/bin/env python3
"""Makes the sample traces, events and stacks that ship in samples/.

Usage: scripts/make-samples.py INPUT [OUTPUT]

INPUT is a folder with
  dev/DATASET.csv.gz   customer,vm_type,metric,timestamp,value (epoch seconds, UTC)
  manifest.json        source, licence and interval of each dataset
  protocol.json        the forecast benchmark: origins and strides per dataset
  events.csv           dataset,customer_or_series,start,end,kind,name,known_in_advance,source
  catalog/*.csv        EC2 types with prices and CoreMark
and, beside it, reference/elasticity/manifest.json: the scored windows of the provisioning benchmark.
OUTPUT is samples/ of this repository by default. Standard library only; the same input gives the same
bytes.

What it keeps from the sources, and what it changes:
- Timestamps are never shifted. Each customer has its own window: weeks of history, then the replay.
- Every replay starts after the cut of its source: the earlier of the first forecast origin and the
  earliest scored moment over all its series. The script stops when a window breaks this.
- Values are as given. Five-minute sources become hourly: sums for counts, means for levels. An hour with
  fewer than 9 of its 12 rows is left out (missing); a sum over 9 to 11 rows is scaled to 12.
- Series are grouped into customers and may get another VM type name (web -> web-aapl) so that a customer
  has several; the manifest says which.
"""

import collections
import csv
import datetime
import gzip
import io
import json
import pathlib
import sys

HOUR = 3600
DAY = 24 * HOUR
WEEK = 7 * DAY
FIVE_MINUTES_PER_HOUR = 12
ROWS_PER_HOUR_MIN = 9

ATTRIBUTION = {
    "snowflake_vm": "Shaved Ice dataset, Copyright 2025 Snowflake Inc., CC BY 4.0 (Stokely, Kostakis, Nadgir, ICPE 2025)",
    "appserver_requests": "application-server-traffic-forecasting by vsaveris, MIT",
    "nyc_taxi": "Numenta Anomaly Benchmark, Copyright Numenta Inc., MIT; NYC taxi passenger counts",
    "nab_tweets": "Numenta Anomaly Benchmark, Copyright Numenta Inc., MIT; mentions on Twitter",
    "cloudcluster_pools": "Cloud-Cluster-Capacity-Dataset, Apache-2.0",
    "nasa_http": "NASA Kennedy Space Center web server log 1995, Internet Traffic Archive (freely redistributable)",
}

# customer, dataset, replay start, replay days, history weeks, {source series: (vm type here, metric here)}
Customer = collections.namedtuple("Customer", "name dataset start days weeks series")


def snowflake(region, types, start):
    series = {f"sf-region{region}/type{t}/vm_count": (f"type{t}", "vm_count") for t in types}
    return Customer(f"snowflake-r{region}-{types.lower()}", "snowflake_vm", start, 28, 12, series)


def tweets(name, tags):
    series = {f"tw-{t}/web/requests": (f"web-{t}", "requests") for t in tags}
    return Customer(name, "nab_tweets", "2015-03-26T13:00", 27, 5, series)


CUSTOMERS = [
    Customer("appserver", "appserver_requests", "2019-12-09T00:00", 28, 12,
             {"appsrv/cluster4/requests": ("cluster4", "requests")}),
    Customer("cloudcluster-14", "cloudcluster_pools", "2024-08-03T20:00", 28, 5,
             {"cc-cluster14/pool/cpu_cores": ("pool", "cpu_cores"),
              "cc-cluster14/pool/mem_gb": ("pool", "mem_gb")}),
    Customer("nasa", "nasa_http", "1995-08-04T04:00", 28, 5,
             {"nasa/web/requests": ("web", "requests")}),
    Customer("nyctaxi", "nyc_taxi", "2014-12-08T00:00", 28, 12,
             {"nyctaxi/web/requests": ("web", "requests")}),
    snowflake(1, "AB", "2024-01-04T00:00"),
    snowflake(1, "CDE", "2023-12-11T00:00"),
    snowflake(1, "JKL", "2024-01-04T00:00"),
    snowflake(2, "AB", "2023-12-11T00:00"),
    snowflake(2, "CDEF", "2024-01-04T00:00"),
    snowflake(2, "JKL", "2023-11-20T00:00"),
    tweets("tweets-goods", ["amzn", "ko", "ups"]),
    tweets("tweets-tech", ["aapl", "fb", "ibm"]),
]

# Tiers served by EC2 types: tier -> (types, requests an hour per CoreMark iteration a second, or None for
# one core of demand per vCPU). The factors put the peak at some tens of VMs, as the sources' own scale is
# unknown.
EC2_TIERS = {
    ("appserver", "cluster4", "requests"): (["c6a.large", "m7a.large", "c6a.2xlarge"], 0.4),
    ("cloudcluster-14", "pool", "cpu_cores"): (["c6a.xlarge", "m7a.2xlarge", "c6a.4xlarge"], None),
    ("nasa", "web", "requests"): (["m7a.medium", "c6a.large", "c6a.2xlarge"], 0.004),
    ("nyctaxi", "web", "requests"): (["c7i.large", "c7i.xlarge", "m7a.large"], 0.03),
    ("tweets-goods", "web-amzn", "requests"): (["m7a.medium", "c6a.large", "m7a.xlarge"], 0.0015),
    ("tweets-goods", "web-ko", "requests"): (["m7a.medium", "c6a.large", "m7a.xlarge"], 0.0005),
    ("tweets-goods", "web-ups", "requests"): (["m7a.medium", "c6a.large", "m7a.xlarge"], 0.0005),
    ("tweets-tech", "web-aapl", "requests"): (["m7a.medium", "c6a.large", "c6a.2xlarge"], 0.0025),
    ("tweets-tech", "web-fb", "requests"): (["m7a.medium", "c6a.large", "m7a.xlarge"], 0.0008),
    ("tweets-tech", "web-ibm", "requests"): (["m7a.medium", "c6a.large", "m7a.xlarge"], 0.0005),
}
# Served with a latency target too: mean service time and p99 target, in microseconds.
SERVICE = {("appserver", "cluster4"): (400_000, 4_000_000)}
# Snowflake hides its VM types; one price for all keeps VM-hours comparable.
ASSUMED_TYPE = {"price_per_hour_usd": 0.384, "vcpu": 8, "memory_gib": 16}


def epoch(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())


def utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_dataset(root, dataset):
    series = collections.defaultdict(list)
    with gzip.open(root / "dev" / f"{dataset}.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            key = f'{row["customer"]}/{row["vm_type"]}/{row["metric"]}'
            series[key].append((int(row["timestamp"]), float(row["value"])))
    return series


def cut_of(dataset, series, protocol, elasticity):
    """The earlier of the first forecast origin and the earliest scored moment of the source."""
    rule = protocol[dataset]
    moments = [m["score_start"] for m in elasticity["series"] if m["dataset"] == dataset]
    for name in rule["series"]["dev"]:
        rows = series[name]
        first, interval = rows[0][0], rule["interval_s"]
        last = (rows[-1][0] - first) // interval
        origin = last - rule["horizon"] - rule["stride"] * (rule["n_origins"] - 1)
        moments.append(first + origin * interval)
    return min(moments)


def hourly(rows, interval, is_sum):
    if interval == HOUR:
        return rows
    hours = collections.defaultdict(list)
    for at, value in rows:
        hours[at - at % HOUR].append(value)
    result = []
    for at, values in sorted(hours.items()):
        if len(values) >= ROWS_PER_HOUR_MIN:
            mean = sum(values) / len(values)
            result.append((at, mean * FIVE_MINUTES_PER_HOUR if is_sum else mean))
    return result


def number(value):
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text if text else "0"


def write_gzip(path, text):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as file:
        file.write(text.encode())
    path.write_bytes(buffer.getvalue())


def make_traces(root, output):
    protocol = json.loads((root / "protocol.json").read_text())
    sources = {d["dataset"]: d for d in json.loads((root / "manifest.json").read_text())}
    elasticity = json.loads((root.parent / "reference/elasticity/manifest.json").read_text())
    data = {dataset: read_dataset(root, dataset) for dataset in ATTRIBUTION}
    texts, entries = collections.defaultdict(str), []
    for customer in CUSTOMERS:
        series, source = data[customer.dataset], sources[customer.dataset]
        cut = cut_of(customer.dataset, series, protocol, elasticity)
        start = epoch(customer.start)
        end, first = start + customer.days * DAY, start - customer.weeks * WEEK
        if start <= cut:
            sys.exit(f"{customer.name}: replay starts {utc(start)}, not after the cut {utc(cut)}")
        kept_first, renamed = end, []
        for name, (vm_type, metric) in customer.series.items():
            is_sum = metric == "requests"
            rows = [r for r in hourly(series[name], source["interval_s"], is_sum) if first <= r[0] < end]
            missing = customer.days * 24 - sum(1 for at, _ in rows if at >= start)
            kept_first = min(kept_first, rows[0][0])
            renamed.append({"series": f"{vm_type}/{metric}", "source_series": name,
                            "first": utc(rows[0][0]), "missing_hours_in_replay": missing})
            texts[customer.dataset] += "".join(
                f"{customer.name},{vm_type},{metric},{at},{number(value)}\n" for at, value in rows)
        entries.append({
            "customer": customer.name, "dataset": customer.dataset, "file": f"{customer.dataset}.csv.gz",
            "interval_s": HOUR, "history_start": utc(kept_first), "replay_start": utc(start),
            "replay_end": utc(end), "replay_steps": customer.days * 24, "cut": utc(cut),
            "source": f'{source["repository"]} {source["path"]} at {source["commit"]}',
            "licence": source["licence"], "attribution": ATTRIBUTION[customer.dataset],
            "unit": source["unit"] + ("" if source["interval_s"] == HOUR else "; hourly here"),
            "series": renamed})
    for dataset, text in sorted(texts.items()):
        write_gzip(output / "traces" / f"{dataset}.csv.gz", "customer,vm_type,metric,timestamp,value\n" + text)
    manifest = {"format": "twinscale-samples/1", "customers": entries}
    (output / "traces" / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return {entry["customer"]: (epoch(entry["history_start"]), epoch(entry["replay_end"])) for entry in entries}


def targets(row, windows):
    """The customers or series here that a row of the source's events concerns."""
    start, end = epoch(row["start"]), epoch(row["end"])
    for customer in CUSTOMERS:
        first, last = windows[customer.name]
        if customer.dataset != row["dataset"] or end <= first or start >= last:
            continue
        if row["customer_or_series"] == "*":
            yield customer.name
            continue
        names = {s: here for s, here in customer.series.items()
                 if (s + "/").startswith(row["customer_or_series"] + "/")}
        if len(names) == len(customer.series):
            yield customer.name
        else:
            for vm_type, metric in names.values():
                yield f"{customer.name}/{vm_type}/{metric}"


def make_events(root, output, windows):
    with open(root / "events.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = []
    for row in rows:
        for target in targets(row, windows):
            kept.append({**row, "customer_or_series": target})
    kept.sort(key=lambda row: (row["customer_or_series"], row["start"], row["name"]))
    with open(output / "events.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def make_stacks(root, output):
    [catalogue] = sorted((root / "catalog").glob("*.csv"))
    with open(catalogue, newline="") as file:
        types = {row["type"]: row for row in csv.DictReader(file)}
    used = sorted({name for names, _ in EC2_TIERS.values() for name in names})
    lines = ["# Stacks of the sample customers. Made by scripts/make-samples.py: change it there.",
             "# EC2 prices: us-east-1, on demand, Linux. Capacities follow the types' CoreMark.",
             "", "[tier_defaults]", "start_up_s = 300", "minimum_bill_s = 60", "min_vms = 1", ""]
    for name in used:
        row = types[name]
        lines += [f'[vm_type."{name}"]', f'price_per_hour_usd = {float(row["usd_per_hour_ondemand"])}',
                  f'vcpu = {row["vcpu"]}', f'memory_gib = {int(row["mem_mib"]) // 1024}', ""]
    lines += ["# The source hides its VM types: size and price of the following are assumed."]
    hidden = sorted({vm for c in CUSTOMERS if c.dataset == "snowflake_vm" for vm, _ in c.series.values()})
    for name in hidden:
        lines += [f"[vm_type.{name}]", *(f"{k} = {v}" for k, v in ASSUMED_TYPE.items()),
                  "price_assumed = true", ""]
    for customer in CUSTOMERS:
        for vm_type, metric in customer.series.values():
            lines += tier_lines(customer, vm_type, metric, types)
    (output / "config" / "stacks.toml").write_text("\n".join(lines).rstrip() + "\n")


def tier_lines(customer, vm_type, metric, types):
    path = f"customer.{customer.name}.tier.{vm_type}"
    head = [f"[{path}]", f'demand = "{vm_type}/{metric}"']
    if metric == "vm_count":
        return head + ["min_vms = 0", f"[[{path}.vm_type]]", f'name = "{vm_type}"', ""]
    if (customer.name, vm_type, metric) not in EC2_TIERS:
        return []
    names, factor = EC2_TIERS[(customer.name, vm_type, metric)]
    lines = list(head)
    for name in names:
        row = types[name]
        capacity = int(row["vcpu"]) if factor is None else round(float(row["coremark_it_s"]) * factor, 1)
        lines += [f"[[{path}.vm_type]]", f'name = "{name}"', f"capacity_per_vm = {capacity}"]
    if (customer.name, vm_type) in SERVICE:
        mean, target = SERVICE[(customer.name, vm_type)]
        lines += [f"[{path}.service]", f"service_time_us = {mean}", f"p99_target_us = {target}"]
    return lines + [""]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.split("\n\n")[1])
    root = pathlib.Path(sys.argv[1])
    default = pathlib.Path(__file__).resolve().parent.parent / "samples"
    output = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else default
    for folder in ("traces", "config"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    windows = make_traces(root, output)
    make_events(root, output, windows)
    make_stacks(root, output)


if __name__ == "__main__":
    main()
