"""The environment of a comparison with rivals in Python: made once, in target, of the requirements beside it."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def set_up(script, venv):
    """Goes on in the environment `target/VENV`, made of requirements.txt beside the script."""
    venv = ROOT / "target" / venv
    python = venv / "bin" / "python"
    if pathlib.Path(sys.executable).parent == python.parent:
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    requirements = pathlib.Path(script).resolve().parent / "requirements.txt"
    wanted = requirements.read_text()
    stamp = venv / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(wanted)
    sys.exit(subprocess.run([python, script, *sys.argv[1:]], check=False).returncode)
