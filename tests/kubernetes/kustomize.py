"""Renders a kustomization as `kubectl kustomize` does: exactly what deploy/kubernetes uses of it, and nothing else.

No package of Debian 12 can do it (its kubectl has kustomize 2.0, which knows no components), so the tests do it
themselves. What this file does not know it refuses. It renders each folder as kustomize 5.5 does (kubectl 1.32,
2026-11-30): `python -m tests.kubernetes.kustomize FOLDER` prints what to compare.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

_FIELDS = {"resources", "components", "configMapGenerator", "patches", "namespace", "images", "apiVersion", "kind"}
_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ingress": None,
    "egress": None,
}
"""By what a patch finds an element of a list; None: it replaces the list."""
_SAFE = str.maketrans("013ae", "ghkmt")  # a hash that spells no word


class Unknown(Exception):
    """The kustomization uses something that this program cannot do."""


def render(folder: Path) -> list[Resource]:
    """Return the documents that the kustomization in the folder makes."""
    return list(_with_hashes(_applied(folder, [])))


def _applied(folder: Path, resources: list[Resource]) -> list[Resource]:
    """Return the resources with what the folder's kustomization, or component, adds and changes."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := told.keys() - _FIELDS:
        raise Unknown(f"{folder}: {unknown}")
    for entry in told.get("resources", []):
        added = _applied(folder / entry, []) if (folder / entry).is_dir() else _documents(folder / entry)
        resources = [*resources, *added]
    for entry in told.get("components", []):
        resources = _applied(folder / entry, resources)
    for generator in told.get("configMapGenerator", []):
        resources = _generated(folder, generator, resources)
    for patch in told.get("patches", []):
        resources = _patched(folder, patch, resources)
    if namespace := told.get("namespace"):
        resources = [merged(resource, {"metadata": {"namespace": namespace}}) for resource in resources]
    for image in told.get("images", []):
        resources = [_with_image(resource, image) for resource in resources]
    return resources


def _documents(file: Path) -> list[Resource]:
    return list(yaml.safe_load_all(file.read_text()))


def _generated(folder: Path, generator: Mapping[str, Any], resources: list[Resource]) -> list[Resource]:
    if unknown := generator.keys() - {"name", "envs", "literals", "behavior"}:
        raise Unknown(f"{folder}: configMapGenerator: {unknown}")
    lines = [line for file in generator.get("envs", []) for line in (folder / file).read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")] + generator.get("literals", [])
    data = dict(line.split("=", 1) for line in lines)
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
    there = [resource for resource in resources if identity(resource) == identity(made)]
    if bool(there) is not (generator.get("behavior") == "merge"):
        raise Unknown(f"{folder}: {generator['name']} is there, or is not")
    return [merged(one, made) if one in there else one for one in resources] + ([] if there else [made])


def _patched(folder: Path, patch: Mapping[str, Any], resources: list[Resource]) -> list[Resource]:
    [change] = _documents(folder / patch["path"])
    target = patch.get("target") or {"kind": change["kind"], "name": change["metadata"]["name"]}
    if unknown := (patch.keys() - {"path", "target"}) | (target.keys() - {"kind", "name"}):
        raise Unknown(f"{folder}: patches: {unknown}")
    hit = [resource for resource in resources if _is_meant(resource, target)]
    if not hit:
        raise Unknown(f"{folder}: {patch['path']} changes nothing")
    return [_changed(resource, change) if resource in hit else resource for resource in resources]


def _changed(resource: Resource, change: Any) -> Resource:
    """Return the resource with a patch: a strategic merge patch, or a list of steps by paths (RFC 6902)."""
    if isinstance(change, list):
        changed = deepcopy(resource)
        for step in change:
            _replace(changed, step)
        return changed
    body = {name: value for name, value in change.items() if name not in ("apiVersion", "kind", "metadata")}
    merge: Resource = merged(resource, body)
    return merge


def _replace(value: Any, step: Mapping[str, Any]) -> None:
    if step.keys() != {"op", "path", "value"} or step["op"] != "replace" or "~" in step["path"]:
        raise Unknown(f"patches: {step}")
    names = [int(name) if name.isdigit() else name for name in step["path"].split("/")[1:]]
    for name in names[:-1]:
        value = value[name]
    value[names[-1]]  # what is not there cannot be replaced
    value[names[-1]] = step["value"]


def _is_meant(resource: Resource, target: Mapping[str, str]) -> bool:
    kind, name = identity(resource)
    return bool(re.fullmatch(target["kind"], kind)) and target.get("name", name) == name


def identity(resource: Resource) -> tuple[str, str]:
    """Return the kind and the name."""
    return resource["kind"], resource["metadata"]["name"]


def merged(value: Any, change: Any, field: str = "") -> Any:
    """Return the value with a strategic merge patch applied; null takes a field away."""
    if isinstance(value, dict) and isinstance(change, dict):
        changed = {name: merged(value.get(name), new, name) for name, new in change.items() if new is not None}
        return {name: old for name, old in value.items() if name not in change} | changed
    if isinstance(value, list) and isinstance(change, list):
        if (key := _KEYS[field]) is None:
            return change
        there = {one[key]: one for one in change}
        kept = [merged(one, there.pop(one[key], {})) for one in value]
        return [*there.values(), *kept]
    return change


def _with_image(resource: Resource, image: Mapping[str, str]) -> Resource:
    if unknown := image.keys() - {"name", "newName", "digest"}:
        raise Unknown(f"images: {unknown}")

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            named = str(value.get("image", "")).partition("@")[0] == image["name"]
            new = {"image": f"{image['newName']}@{image['digest']}"} if named else {}
            return {name: change(one) for name, one in value.items()} | new
        return [change(one) for one in value] if isinstance(value, list) else value

    changed: Resource = change(resource)
    return changed


def _with_hashes(resources: list[Resource]) -> Iterable[Resource]:
    """Give each ConfigMap, of which all here are generated, the hash of its content, also where it is named."""
    names = {name: f"{name}-{_hash(one)}" for one in resources for kind, name in [identity(one)] if kind == "ConfigMap"}

    def change(value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            given = {name: change(one, name) for name, one in value.items()}
            return given | ({"name": names.get(value["name"], value["name"])} if field == "configMapRef" else {})
        return [change(one) for one in value] if isinstance(value, list) else value

    for resource in resources:
        kind, name = identity(resource)
        yield merged(resource, {"metadata": {"name": names[name]}}) if kind == "ConfigMap" else change(resource)


def _hash(config_map: Resource) -> str:
    hashed = {"data": dict(sorted(config_map["data"].items())), "kind": "ConfigMap", "name": ""}
    text = json.dumps(hashed, separators=(",", ":"), ensure_ascii=False)
    for sign in "&<>":
        text = text.replace(sign, f"\\u{ord(sign):04x}")  # as Go writes JSON
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_SAFE)


if __name__ == "__main__":
    print(yaml.safe_dump_all(render(Path(sys.argv[1]))))
