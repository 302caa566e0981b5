"""Random draws of people, each under one true name or some under two."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worker.training.checks.same_identity import LEAST_D_PRIME, SamePerson, find_same_people, gather_people
from worker.training.metrics import FaceSet


@dataclass(frozen=True)
class Draw:
    """`people` subjects with `least` to `most` images each; the first `two_names` of them under two names, with so many
    images under each."""

    people: int
    least: int
    most: int
    two_names: int = 0


def draw_people(faces: FaceSet, draw: Draw, count: int, seed: int = 0) -> Iterator[FaceSet]:
    """Yield `count` random draws. The second name of PERSON is PERSON-again."""
    rng = np.random.default_rng(seed)
    subjects = np.asarray(faces.subjects)
    images_of = [np.flatnonzero(subjects == name) for name in np.unique(subjects)]
    for _ in range(count):
        chosen: list[int] = []
        names: list[str] = []
        for number, person in enumerate(rng.permutation(len(images_of))[: draw.people]):
            images = rng.permutation(images_of[person])
            wanted = int(rng.integers(draw.least, draw.most + 1))
            name = str(subjects[images[0]])
            if number < draw.two_names:
                both = images[: 2 * wanted]
                names += [f"{name}-again"] * (len(both) // 2) + [name] * (len(both) - len(both) // 2)
                chosen += both.tolist()
            else:
                names += [name] * len(images[:wanted])
                chosen += images[:wanted].tolist()
        yield FaceSet(faces.embeddings[chosen], names, [faces.names[place] for place in chosen])


def found_in(faces: FaceSet) -> list[SamePerson]:
    """Return the pairs that the rule finds, none where it does not judge."""
    people = gather_people(faces)
    if people is None or people.d_prime < LEAST_D_PRIME:
        return []
    return list(find_same_people(people))
