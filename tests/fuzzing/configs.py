"""Configuration files that were edited badly."""

from __future__ import annotations

import random
from pathlib import Path

from fuzzing.values import NASTY, damage

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

_TOKENS = (
    "[[" * 2000,
    "{a: " * 500,
    "!!python/object/apply:os.system ['touch /tmp/gbx-fuzzed']",
    ".nan",
    "-.inf",
    "1e999",
    "9" * 5000,
    "0x" + "f" * 300,
    "&a [*a, *a]",
    "*nobody",
    "2026-99-99",
    "1:2:3:4",
    "~",
    "\t",
    "\x00",
    "../../../etc",
    "<<: {}",
    "? ",
    "'",
    '"',
    "|",
    "\u2028",
    "=",
)


def write_config(draw: random.Random, folder: Path) -> Path:
    """A YAML file of ours that was edited badly."""
    source = draw.choice(sorted(CONFIGS.glob("*.yaml")))
    path = folder / "gbx.yaml"
    path.write_bytes(source.read_bytes())
    if draw.random() < 0.2:
        damage(draw, path)
        return path
    lines = path.read_text().splitlines()
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(lines))
        match draw.randrange(7):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, lines[draw.randrange(len(lines))])
            case 2:
                lines[place] = " " * draw.randrange(4) + lines[place]
            case 3:
                lines[place] = f"{lines[place].split(':')[0]}: {draw.choice(_TOKENS)}"
            case 4:
                lines[place] = f"{lines[place].split(':')[0]}: {draw.choice(NASTY)!r}"
            case 5:
                bomb = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
                lines[place:place] = [*bomb, "models: {family: *a11}"] if draw.random() < 0.5 else bomb
            case _:
                lines[place] = draw.choice(_TOKENS)
    path.write_text("\n".join(lines))
    return path


def read_config(path: Path, root: Path) -> None:
    """As every command does."""
    from gbx_beamline.config import load_config

    config = load_config(path)
    config.absolute()
    config.for_run("Si wafer", next(iter(config.selection)))
