"""Catmull-Clark subdivision as sparse matrices, so that positions, motions and colours refine alike."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

Face = tuple[int, ...]


@dataclass
class Level:
    """One subdivision step: old vertices keep their numbers, then edges, then faces."""

    matrix: csr_matrix
    """Shape (new vertices, old vertices)."""

    faces: list[Face]
    """Quads."""

    edge_vertex: dict[tuple[int, int], int]
    """(lower vertex, higher vertex) of an old edge -> the new vertex on it."""


def catmull_clark(n: int, faces: list[Face]) -> Level:
    """Subdivide once. Borders follow the cubic B-spline of the border alone."""
    edge_faces: dict[tuple[int, int], list[int]] = {}
    for index, face in enumerate(faces):
        for a, b in zip(face, (*face[1:], face[0]), strict=True):
            edge_faces.setdefault((min(a, b), max(a, b)), []).append(index)
    edges = list(edge_faces)
    edge_vertex = {edge: n + i for i, edge in enumerate(edges)}
    first_face = n + len(edges)
    rows: list[int] = []
    columns: list[int] = []
    weights: list[float] = []

    def put(row: int, column: int, weight: float) -> None:
        rows.append(row)
        columns.append(column)
        weights.append(weight)

    for index, face in enumerate(faces):
        for vertex in face:
            put(first_face + index, vertex, 1 / len(face))
    around_faces: dict[int, set[int]] = {}
    around_edges: dict[int, list[tuple[int, int]]] = {}
    for index, face in enumerate(faces):
        for vertex in face:
            around_faces.setdefault(vertex, set()).add(index)
    for edge in edges:
        for vertex in edge:
            around_edges.setdefault(vertex, []).append(edge)
    for edge, touching in edge_faces.items():
        row = edge_vertex[edge]
        if len(touching) == 2:
            for vertex in edge:
                put(row, vertex, 0.25)
            for index in touching:
                for vertex in faces[index]:
                    put(row, vertex, 0.25 / len(faces[index]))
        else:
            for vertex in edge:
                put(row, vertex, 0.5)
    for vertex in range(n):
        border = [edge for edge in around_edges[vertex] if len(edge_faces[edge]) == 1]
        if border:
            put(vertex, vertex, 0.75)
            for edge in border:
                other = edge[0] if edge[1] == vertex else edge[1]
                put(vertex, other, 0.25 / len(border))
            continue
        valence = len(around_edges[vertex])
        put(vertex, vertex, (valence - 3) / valence)
        for index in around_faces[vertex]:
            for other in faces[index]:
                put(vertex, other, 1 / (valence**2 * len(faces[index])))
        for edge in around_edges[vertex]:
            for other in edge:
                put(vertex, other, 1 / valence**2)
    total = first_face + len(faces)
    matrix = coo_matrix((weights, (rows, columns)), shape=(total, n)).tocsr()
    quads: list[Face] = []
    for index, face in enumerate(faces):
        m = len(face)
        for i in range(m):
            before = (min(face[i - 1], face[i]), max(face[i - 1], face[i]))
            after = (min(face[i], face[(i + 1) % m]), max(face[i], face[(i + 1) % m]))
            quads.append((face[i], edge_vertex[after], first_face + index, edge_vertex[before]))
    return Level(matrix, quads, edge_vertex)


def thin_out(
    coarse: list[Face], level: Level, wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leave out the last subdivision step where it is not wanted, without cracks.

    Args:
        coarse: Faces before the step `level`.
        level: The last step.
        wanted: Shape (coarse faces,): which of them keep their four quads.

    Returns:
        Vertices still used, in order, and triangles numbered among them.
    """
    split: set[tuple[int, int]] = set()
    for face, fine in zip(coarse, wanted, strict=True):
        if fine:
            split |= {(min(a, b), max(a, b)) for a, b in zip(face, (*face[1:], face[0]), strict=True)}
    first_face = level.matrix.shape[0] - len(coarse)
    triangles: list[Face] = []
    for index, (face, fine) in enumerate(zip(coarse, wanted, strict=True)):
        rim: list[int] = []
        for a, b in zip(face, (*face[1:], face[0]), strict=True):
            edge = (min(a, b), max(a, b))
            rim += [a, level.edge_vertex[edge]] if edge in split else [a]
        centre = first_face + index
        if len(rim) == len(face) and not fine:
            triangles += [(rim[0], rim[i], rim[i + 1]) for i in range(1, len(rim) - 1)]
        else:
            triangles += [(centre, a, b) for a, b in zip(rim, (*rim[1:], rim[0]), strict=True)]
    out = np.array(triangles)
    used, renumbered = np.unique(out, return_inverse=True)
    return used, renumbered.reshape(-1, 3)


def refine_path(path: list[int], level: Level) -> list[int]:
    """A chain of vertices joined by edges, with the new vertices on those edges put in."""
    out = [path[0]]
    for a, b in itertools.pairwise(path):
        out += [level.edge_vertex[min(a, b), max(a, b)], b]
    return out


def vertex_normals(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Unit normals, shape (vertices, 3), area-weighted over the triangles."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros_like(points)
    for i in range(3):
        np.add.at(out, triangles[:, i], face)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))


def triangulate(quads: list[Face]) -> NDArray[np.int64]:
    """Two triangles a quad, shape (2 n, 3)."""
    q = np.array(quads)
    return np.stack([q[:, [0, 1, 2]], q[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
