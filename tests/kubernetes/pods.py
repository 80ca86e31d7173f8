"""What the kubelet would make of rendered documents."""

from typing import Any

from tests.kubernetes.kustomize import Resource


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    """Return the documents of these kinds."""
    return [resource for resource in resources if resource["kind"] in kinds]


def workloads(resources: list[Resource]) -> list[Resource]:
    """Return the documents that make pods."""
    return of_kind(resources, "Deployment", "Job")


def container(workload: Resource) -> dict[str, Any]:
    """Return the one container of the workload's pods."""
    [only] = workload["spec"]["template"]["spec"]["containers"]
    return dict(only)


def labels(workload: Resource) -> dict[str, str]:
    """Return the labels of the workload's pods."""
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def environment(resources: list[Resource], workload: Resource) -> dict[str, str]:
    """Return the variables of the container."""
    maps = {it["metadata"]["name"]: it["data"] for it in of_kind(resources, "ConfigMap")}
    given = container(workload)
    found = {name: value for source in given["envFrom"] for name, value in maps[source["configMapRef"]["name"]].items()}
    return found | {variable["name"]: variable["value"] for variable in given.get("env", [])}
