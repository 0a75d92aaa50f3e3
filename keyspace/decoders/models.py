"""Writing a changed tree the way the old one was written: which node of the old tree each new one takes its form from."""

from collections.abc import Iterator

from keyspace.decoders.tree import Kind, Node

Model = Node | None


def item_models(node: Node, model: Model) -> Iterator[tuple[Node, Model]]:
    """Each item of a list with its model: the one at the same place, or the last, whose fellows it joins."""
    old = model.value if model is not None and model.kind is Kind.LIST else []
    for at, item in enumerate(node.value):
        yield item, old[min(at, len(old) - 1)] if old else None


def pair_models(node: Node, model: Model) -> Iterator[tuple[Node, Model, Node, Model]]:
    """Each (key, its model, value, its model) of a map: what the same key had, in order where keys are doubled."""
    old = (
        [pair for pair in model.value if len(pair) == 2]
        if model is not None and model.kind is Kind.MAP
        else []
    )
    by_key: dict[tuple[Kind, str], list[list[Node]]] = {}
    for pair in reversed(old):
        if isinstance(pair[0].value, str):
            by_key.setdefault((pair[0].kind, pair[0].value), []).append(pair)
    for at, (key, value) in enumerate(node.value):
        same = by_key.get((key.kind, key.value)) if isinstance(key.value, str) else None
        if same:
            pair = same.pop() if len(same) > 1 else same[0]
            yield key, pair[0], value, pair[1]
        elif not isinstance(key.value, str) and at < len(old):
            yield key, old[at][0], value, old[at][1]
        else:
            yield key, old[0][0] if old else None, value, None


def form_of(node: Node, model: Model) -> object:
    """The form of the model, where it is a node of the same kind."""
    return model.form if model is not None and model.kind is node.kind else None
