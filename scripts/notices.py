#!/usr/bin/env python3
"""Writes the third-party notice of what `make dist` packs: every crate that the program is built from, with
its licence and the texts that it ships, and the libraries of LibTorch.

Usage: scripts/notices.py TARGET LICENCES-DIRECTORY > THIRD-PARTY.md
"""

import collections
import json
import pathlib
import subprocess
import sys

PROGRAM = "twinscale"
TEXTS = ("license", "licence", "copying", "notice", "unlicense", "copyright")
# Who made the libraries beside the program, under what, and where their texts are below licenses/.
LIBRARIES = [
    ("libtorch_cpu.so, libc10.so", "PyTorch (libtorch_cpu.so is stripped, otherwise unchanged)", "BSD-3-Clause", "torch"),
    ("libcudart.so.13", "NVIDIA CUDA runtime (unchanged; LibTorch links it, nothing here calls it)",
     "NVIDIA CUDA Toolkit end user licence agreement", "nvidia_cuda_runtime"),
    ("libcupti.so.13", "NVIDIA CUPTI (unchanged; LibTorch links it, nothing here calls it)",
     "NVIDIA CUDA Toolkit end user licence agreement", "nvidia_cuda_cupti"),
    ("libgomp.so.1", "GNU OpenMP runtime of GCC (unchanged, as PyTorch ships it)",
     "GPL-3.0-or-later WITH GCC-exception-3.1", "gcc"),
]


def built_from(target):
    """Crates that the program is built from: through normal dependencies, from outside this workspace."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    graph = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in graph["packages"]}
    members = set(graph["workspace_members"])
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    waiting = [one for one in members if packages[one]["name"] == PROGRAM]
    seen = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_normal and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    found = [packages[one] for one in seen - members]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name.lower().startswith(TEXTS) and path.suffix not in (".rs", ".toml", ".html"):
            yield path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip()


def main():
    target = sys.argv[1]
    licenses = pathlib.Path(sys.argv[2])
    crates = built_from(target)
    shared = collections.OrderedDict()
    out = sys.stdout.write
    out("# Third-party notice\n\nTwinscale itself is under the Apache License 2.0 (LICENSE). This package also holds:\n")
    out("\n## Libraries beside the program\n\n| file | what | licence | texts |\n|---|---|---|---|\n")
    for files, what, licence, folder in LIBRARIES:
        if not (licenses / folder).is_dir():
            sys.exit(f"error: {licenses / folder} is missing: scripts/dist.sh fills it")
        out(f"| {files} | {what} | {licence} | licenses/{folder}/ |\n")
    out("\n## Sample data in the program\n\nSee licenses/samples/NOTICE.md.\n")
    out(f"\n## Crates in the program\n\n{len(crates)} crates; where a crate offers a choice of licences, each may be taken.\n")
    out("\n| crate | version | licence | authors | texts |\n|---|---|---|---|---|\n")
    for package in crates:
        if not package["license"] and not package["license_file"]:
            sys.exit(f"error: crate {package['name']} {package['version']} states no licence")
        numbers = [shared.setdefault(text, (len(shared) + 1, []))[0] for text in dict.fromkeys(texts(package))]
        for number, names in shared.values():
            if number in numbers:
                names.append(package["name"])
        authors = ", ".join(author.split(" <")[0] for author in package["authors"]) or "see its text"
        told = ", ".join(map(str, numbers)) or "the crate ships none"
        out(f"| {package['name']} | {package['version']} | {package['license'] or package['license_file']} | {authors} | {told} |\n")
    out("\n## Texts\n")
    for text, (number, names) in shared.items():
        out(f"\n### {number}: {', '.join(dict.fromkeys(names))}\n\n```text\n{text.replace('```', chr(39) * 3)}\n```\n")


if __name__ == "__main__":
    main()
