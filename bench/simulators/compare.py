#!/usr/bin/env python3
"""Measures the discrete-event engine beside SimPy and Ciw, what a user of Python would pick, in one run.

Each simulates the same queues; the table has events (arrivals and departures) per second and the mean response
time beside the exact one, so that a fast wrong answer shows. The rivals get fewer customers: they need not be
slowed down by memory, and a rate is a rate. Sets up what it needs in target/rivals.

usage: bench/simulators/compare.py [--customers 1e7] [--rival-customers 1e5] [--seed 1] [--json]
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from rivals import ROOT, set_up  # noqa: E402


def erlang_response(servers, rate):
    """Mean response of M/M/c with mean service 1."""
    blocking = 1.0
    for count in range(1, servers + 1):
        blocking = rate * blocking / (count + rate * blocking)
    waits = blocking / (1 - rate / servers * (1 - blocking))
    return 1 + waits / (servers - rate)


QUEUES = [(f"M/M/{servers}", servers, 0.8 * servers) for servers in (1, 8, 32)]


def of_product(customers, seed):
    """Events per second and means of the product, on one thread."""
    cases = [
        {"id": name, "name": name, "kind": "M/M/c FCFS", "params": {"c": servers, "lam": rate, "mu": 1.0}}
        for name, servers, rate in QUEUES
    ]
    build = ["cargo", "build", "--quiet", "--release", "-p", "twinscale-environment", "--example", "simulate_cases"]
    subprocess.run(build, cwd=ROOT, check=True)
    program = ROOT / "target" / "release" / "examples" / "simulate_cases"
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            given, out = pathlib.Path(folder) / "cases.json", pathlib.Path(folder) / "out.json"
            given.write_text(json.dumps({"format": "queue-ref/1", "cases": [case]}))
            begun = time.perf_counter()
            subprocess.run(
                [program, "--cases", given, "--customers", str(customers), "--seed", str(seed), "--threads", "1",
                 "--out", out],
                check=True, stdout=subprocess.DEVNULL,
            )
            took = time.perf_counter() - begun
            case_found = json.loads(out.read_text())["cases"][0]
            found[case["id"]] = (case_found["des_events"] / took, case_found["des"]["mean_response"])
    return found


def of_simpy(servers, rate, customers, seed):
    import simpy

    draws, environment = random.Random(seed), simpy.Environment()
    station, responses = simpy.Resource(environment, capacity=servers), []

    def customer():
        came = environment.now
        with station.request() as turn:
            yield turn
            yield environment.timeout(draws.expovariate(1.0))
        responses.append(environment.now - came)

    def source():
        for _ in range(customers):
            yield environment.timeout(draws.expovariate(rate))
            environment.process(customer())

    environment.process(source())
    begun = time.perf_counter()
    environment.run()
    return 2 * customers / (time.perf_counter() - begun), sum(responses) / len(responses)


def of_ciw(servers, rate, customers, seed):
    import ciw

    ciw.seed(seed)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=rate)],
        service_distributions=[ciw.dists.Exponential(rate=1.0)],
        number_of_servers=[servers],
    )
    simulation = ciw.Simulation(network)
    begun = time.perf_counter()
    simulation.simulate_until_max_customers(customers, method="Finish")
    took = time.perf_counter() - begun
    records = simulation.get_all_records()
    return 2 * customers / took, sum(r.exit_date - r.arrival_date for r in records) / len(records)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=float, default=1e7)
    parser.add_argument("--rival-customers", type=float, default=1e5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON rather than a table")
    arguments = parser.parse_args()
    own = of_product(int(arguments.customers), arguments.seed)
    rows = []
    for name, servers, rate in QUEUES:
        exact = erlang_response(servers, rate)
        rivals = int(arguments.rival_customers)
        measured = {
            "Twinscale": own[name],
            "SimPy": of_simpy(servers, rate, rivals, arguments.seed),
            "Ciw": of_ciw(servers, rate, rivals, arguments.seed),
        }
        for program, (events, mean) in measured.items():
            assert math.isfinite(mean)
            rows.append({"queue": name, "program": program, "events_per_s": events, "mean_response": mean,
                         "exact": exact})
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'queue':8} {'program':10} {'events/s':>14} {'mean response':>14} {'exact':>8}")
    for row in rows:
        print(f"{row['queue']:8} {row['program']:10} {row['events_per_s']:14,.0f} {row['mean_response']:14.4f} "
              f"{row['exact']:8.4f}")


if __name__ == "__main__":
    set_up(__file__, "rivals")
    main()
