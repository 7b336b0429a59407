"""How long post-processing takes: network output to 68 weights, by vertices and collapsed, and the solver alone.

    python benchmarks/speed/postprocess.py [--json FILE] [--golden FOLDER] [--frames N]

Meshes, poses and coefficients are synthetic, smooth and as large as published models. Both paths run in this process
on the same frames, the vertex path on fewer, since it is slow; times are processor time of one core. With golden
vectors at hand the solver also runs on the problems of `solver_speed.npz`, and its results are compared with those
stored there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewave.providers.a2f.post.animator_parameters import SkinParameters, SolverParameters, TongueParameters
from facewave.providers.a2f.post.collapsed import (
    CollapsedSkin,
    CollapsedTongue,
    SkinProjection,
    SkinSolveStream,
    TongueProjection,
    TongueSolveStream,
)
from facewave.providers.a2f.post.poses import PoseConfig, PoseGram, PoseProjector, PoseSet
from facewave.providers.a2f.post.skin import SkinAnimator, SkinData, pca_deltas
from facewave.providers.a2f.post.solver import BlendshapeSolver, SolverSystem
from facewave.providers.a2f.post.tongue import animate_tongue

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Size:
    """Dimensions of a model."""

    name: str
    skin_vertices: int
    masked: int
    skin_components: int
    tongue_vertices: int
    tongue_components: int
    fps: int


SIZES = (
    Size("24,000 vertices, 140 components", 24_000, 9_000, 140, 5_602, 10, 30),
    Size("Mark v2.3", 61_520, 10_085, 272, 5_602, 10, 30),
)
PEERS = (
    "For comparison, NVIDIA's C++ reference built with -O3 on one busy core of a 2-core server, as stated with the",
    "golden vectors: chain of 24,000 vertices 9.2 ms a frame (10.7 with five cancel pairs), solver 2.6 ms (4.5).",
)

LIMIT = 2e-4
"""Difference to the stored weights beyond which a frame is counted instead."""

INACTIVE = (1, 2, 3, 4, 8, 9, 10, 11, 51)
PAIRS = ((0, 7), (6, 13), (23, 24), (25, 26), (27, 28), (29, 30), (35, 36), (37, 38), (39, 40), (41, 42), (44, 45),
         (47, 48), (49, 50))  # fmt: skip


@dataclass(frozen=True)
class Face:
    """A synthetic model."""

    size: Size
    skin: SkinData
    skin_basis: Array
    skin_poses: PoseSet
    skin_config: PoseConfig
    tongue_neutral: Array
    tongue_basis: Array
    tongue_poses: PoseSet


def synthetic_face(size: Size, seed: int = 1) -> Face:
    rng = np.random.default_rng(seed)
    points = _points(rng, size.skin_vertices, (14, 20, 16))
    poses = _smooth_fields(rng, points, 52, width=3.0)
    half = size.skin_components // 2
    broad = _smooth_fields(rng, points, size.skin_components - half, width=5.0)
    basis = np.concatenate([_mixtures(rng, poses, half), broad])
    basis *= (0.5 / np.sqrt(1 + np.arange(len(basis))))[:, None]
    mask = np.sort(rng.choice(size.skin_vertices, size.masked, replace=False)).astype(np.int32)
    neutral = points.ravel()
    skin = SkinData(neutral, poses[17] * np.float32(0.5), poses[0] + poses[7])
    names = tuple(f"pose{index}" for index in range(52))
    active = np.ones(52, bool)
    active[list(INACTIVE)] = False
    symmetry = np.full(52, -1, np.int32)
    for pair, members in enumerate(PAIRS):
        symmetry[list(members)] = pair
    plain = PoseConfig.default(52)
    config = PoseConfig(active, plain.cancel, symmetry, plain.multipliers, plain.offsets)
    shifted = neutral + rng.normal(0, 0.01, len(neutral)).astype(np.float32)
    tongue_points = _points(rng, size.tongue_vertices, (3, 2, 5))
    tongue_poses = _smooth_fields(rng, tongue_points, 16, width=1.5)
    return Face(
        size, skin, basis, PoseSet(names, shifted, poses, mask), config, tongue_points.ravel(),
        _mixtures(rng, tongue_poses, size.tongue_components),
        PoseSet(names[:16], tongue_points.ravel(), tongue_poses),
    )  # fmt: skip


def _points(rng: np.random.Generator, count: int, extent: tuple[float, float, float]) -> Array:
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    return (direction * extent).astype(np.float32)


def _smooth_fields(rng: np.random.Generator, points: Array, count: int, width: float) -> Array:
    """Shape (count, 3 V): bumps of a width in mesh units around random places."""
    fields = np.zeros((count, points.size), np.float32)
    for index in range(count):
        centre = points[rng.integers(len(points))]
        bump = np.exp(-((points - centre) ** 2).sum(axis=1) / (2 * width**2))
        fields[index] = (bump[:, None] * rng.normal(0, 1, 3)).ravel()
    return fields


def _mixtures(rng: np.random.Generator, poses: Array, count: int) -> Array:
    return np.asarray(rng.normal(0, 0.4, (count, len(poses))).astype(np.float32) @ poses, np.float32)


def smooth_coefficients(count: int, frames: int, fps: int, seed: int = 2) -> Array:
    """Shape (frames, count): random curves with syllable-like motion (about 5 Hz)."""
    rng = np.random.default_rng(seed)
    keys = rng.normal(0, 1, (max(int(frames / fps * 10), 2) + 3, count))
    at = np.arange(frames) / fps * 10
    low = at.astype(int)
    share = (0.5 - 0.5 * np.cos(np.pi * (at - low)))[:, None]
    return np.asarray((1 - share) * keys[low] + share * keys[low + 1], np.float32)


class VertexChain:
    """The reference's order of work: PCA, animator, projection on the poses, solve."""

    def __init__(self, face: Face, skin: SolverSystem, tongue: SolverSystem, step_s: float) -> None:
        self._face = face
        self._animator = SkinAnimator(face.skin, step_s)
        self._skin, self._tongue = BlendshapeSolver(skin), BlendshapeSolver(tongue)
        self._skin_projector, self._tongue_projector = PoseProjector(face.skin_poses), PoseProjector(face.tongue_poses)

    def solve(self, skin: Array, tongue: Array) -> Array:
        """Weights of one frame."""
        face = self._face
        vertices = self._animator.animate(pca_deltas(skin, face.skin_basis))
        tongue_deltas = pca_deltas(tongue, face.tongue_basis)
        tongue_vertices = animate_tongue(face.tongue_neutral, tongue_deltas, TongueParameters())
        return np.hstack([
            self._skin.solve(self._skin_projector.project(vertices)),
            self._tongue.solve(self._tongue_projector.project(tongue_vertices)),
        ])  # fmt: skip


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Shortest of several runs, seconds of processor time: other programs can only make it longer."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure_face(size: Size, frames: int) -> list[dict[str, object]]:
    face = synthetic_face(size)
    step = 1 / size.fps
    parameters = SkinParameters()
    level, softness = parameters.face_mask_level, parameters.face_mask_softness
    start = time.process_time()
    skin = CollapsedSkin.of_pca(face.skin_basis, face.skin, face.skin_poses, level, softness)
    tongue = CollapsedTongue.of_pca(face.tongue_basis, face.tongue_neutral, face.tongue_poses)
    collapse_s = time.process_time() - start
    skin_system = SolverSystem.prepare(
        PoseGram.of(face.skin_poses), face.skin_config, SolverParameters(0.5, 0.5, 100, 0.3, 53.45)
    )
    tongue_system = SolverSystem.prepare(
        PoseGram.of(face.tongue_poses), PoseConfig.default(16), SolverParameters(1, 3.5, 100, 5, 7.94)
    )
    skin_input = smooth_coefficients(size.skin_components, frames, size.fps)
    tongue_input = smooth_coefficients(size.tongue_components, frames, size.fps, seed=3)

    def collapsed(chunk: int) -> Array:
        skin_stream = SkinSolveStream(skin, skin_system, step, parameters)
        tongue_stream = TongueSolveStream(tongue, tongue_system)
        parts = [slice(at, at + chunk) for at in range(0, frames, chunk)]
        return np.vstack(
            [
                np.hstack([skin_stream.solve(skin_input[part]), tongue_stream.solve(tongue_input[part])])
                for part in parts
            ]
        )

    few = min(frames, 40)

    def by_vertices() -> Array:
        chain = VertexChain(face, skin_system, tongue_system, step)
        return np.vstack([chain.solve(skin_input[at : at + 1], tongue_input[at : at + 1]) for at in range(few)])

    skin_projection = SkinProjection.of(face.skin, face.skin_poses, level, softness)
    tongue_projection = TongueProjection.of(face.tongue_neutral, face.tongue_poses)
    window = min(frames, 30)
    skin_deltas = pca_deltas(skin_input[:window], face.skin_basis)
    tongue_deltas = pca_deltas(tongue_input[:window], face.tongue_basis)

    def projected() -> Array:
        skin_stream = SkinSolveStream(skin_projection.collapsed, skin_system, step, parameters)
        tongue_stream = TongueSolveStream(tongue_projection.collapsed, tongue_system)
        return np.hstack([
            skin_stream.solve(skin_projection.project(skin_deltas)),
            tongue_stream.solve(tongue_projection.project(tongue_deltas)),
        ])  # fmt: skip

    reference = by_vertices()
    vertex_ms = best_of(2, by_vertices) / few * 1e3
    rows = []
    for name, work, count in (
        ("vertex path", by_vertices, few),
        ("collapsed, whole clip", lambda: collapsed(frames), frames),
        ("collapsed, frame by frame", lambda: collapsed(1), frames),
        ("collapsed from vertex deltas, windows of 30", projected, window),
    ):
        ms = vertex_ms if work is by_vertices else best_of(3, work) / count * 1e3
        weights = work()
        shared = min(len(weights), len(reference))
        rows.append({
            "what": name, "model": size.name, "ms_per_frame": ms, "times_faster": vertex_ms / ms,
            "largest_difference": float(np.abs(weights[:shared] - reference[:shared]).max()),
        })  # fmt: skip
    rows.append({"what": "collapsing, once per model", "model": size.name, "ms_per_frame": collapse_s * 1e3,
                 "times_faster": None, "largest_difference": None})  # fmt: skip
    return rows


def measure_solver(path: Path) -> list[dict[str, object]]:
    rows = []
    with np.load(path, allow_pickle=False) as problems:
        for name in sorted({key.split("__")[0] for key in problems}):
            matrix, targets, pairs, stored = (problems[f"{name}__{part}"] for part in ("A", "b", "cancel_pairs", "w"))
            count = len(matrix)
            plain = PoseConfig.default(count)
            # The problems are given as A and b: a system without strengths whose Gram matrix is A.
            cancel = np.full(count, -1, np.int32)
            for pair, members in enumerate(pairs):
                cancel[members] = pair
            config = PoseConfig(plain.active, cancel, plain.symmetry, plain.multipliers, plain.offsets)
            gram = PoseGram(matrix.astype(np.float64), 0.0)
            system = SolverSystem.prepare(gram, config, SolverParameters(0, 0, 0, 0), minus_one_pairs=False)
            for how, chunk in (("whole clip", len(targets)), ("frame by frame", 1)):

                def work(system: SolverSystem = system, targets: Array = targets, chunk: int = chunk) -> Array:
                    solver = BlendshapeSolver(system)
                    return np.vstack([solver.solve(targets[at : at + chunk]) for at in range(0, len(targets), chunk)])

                error = np.abs(work() - stored).max(axis=1)
                rows.append({
                    "what": f"solver alone, {how}", "model": name,
                    "ms_per_frame": best_of(5, work) / len(targets) * 1e3, "times_faster": None,
                    "largest_difference": float(error[error <= LIMIT].max(initial=0)),
                    "frames_beyond": int((error > LIMIT).sum()), "frames": len(targets),
                })  # fmt: skip
    return rows


def main() -> int:
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # read when numpy loads: start again with one core
        os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/postprocess.json"))
    parser.add_argument("--golden", type=Path, default=os.environ.get("FACEWAVE_GOLDEN"), help="has solver_speed.npz")
    parser.add_argument("--frames", type=int, default=300)
    arguments = parser.parse_args()
    rows = []
    for size in SIZES:
        print(f"measuring {size.name} ...", file=sys.stderr, flush=True)
        rows += measure_face(size, arguments.frames)
    problems = Path(arguments.golden) / "solver_speed.npz" if arguments.golden else None
    if problems and problems.is_file():
        print("measuring the solver alone ...", file=sys.stderr, flush=True)
        rows += measure_solver(problems)
    print(f"{'what':44} {'model':34} {'ms/frame':>9} {'faster':>7} {'difference':>10}")
    for row in rows:
        beyond = row.get("frames_beyond")
        note = f"  ({beyond} of {row['frames']} frames differ by more than {LIMIT:g})" if beyond else ""
        faster = "" if row["times_faster"] is None else f"{row['times_faster']:.1f}"
        difference = "" if row["largest_difference"] is None else f"{row['largest_difference']:.1e}"
        print(f"{row['what']:44} {row['model']:34} {row['ms_per_frame']:9.4f} {faster:>7} {difference:>10}{note}")
    print(*PEERS, sep="\n")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "peers": " ".join(PEERS),
        "sizes": [asdict(size) for size in SIZES],
        "rows": rows,
    }
    temporary = arguments.json.with_suffix(".part")
    temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    temporary.replace(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
