"""What deploy/kubernetes renders to: valid, true to itself, and settings that the service takes.

tests/e2e/test_container.py carries it out.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml

from app import create_app
from app.config.config import Settings, from_environment
from app.models.callers import Scope
from tests.kubernetes.kustomize import Resource, render
from tests.kubernetes.pods import container, environment, labels, of_kind, workloads

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
DOCUMENT = ROOT / "docs" / "deploying.md"
TRACING = (ROOT / "docs" / "tracing.md").read_text()
OVERLAYS = ("all", "api-worker")
COMPONENTS = sorted(path.name for path in (FOLDER / "components").iterdir())
CUSTOM = {"PodMonitor", "ScaledObject"}
"""Kinds of other projects. Their schemas took both documents when they were written (2026-11-30)."""
COMPONENT = "app.kubernetes.io/component"
PLACEHOLDERS = (
    r"@db\.example",
    r"kafka-\d\.example",
    r"192\.0\.2\.",
    r"\borders\.example",
    r"registry\.example/order-service",
    r"sha256:0{64}",
    r"10\.244\.0\.0/16",
    r'metadata\.name": "ingress"',
    r'metadata\.name": "monitoring"',
)
"""What a site says of itself, as the overlays have it; the identity provider is a component's that few add."""
LOG_SECONDS = 1
KUBELET_SECONDS = 5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Both overlays, the example of a site, and the overlay with every component, one of the two scalers at a time."""
    made = [FOLDER / "overlays" / name for name in OVERLAYS] + [FOLDER / "site"]
    for scaler in ("scale-by-lag", "scale-by-lag-keda"):
        folder = tmp_path_factory.mktemp(scaler)
        components = [name for name in COMPONENTS if not name.startswith("scale-by-lag")] + [scaler]
        told = {
            "resources": [str(FOLDER / "overlays" / "api-worker")],
            "components": [str(FOLDER / "components" / name) for name in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(told))
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def rendered(folders: Sequence[Path]) -> list[list[Resource]]:
    return [render(folder) for folder in folders]


def test_every_document_is_valid_and_has_no_unknown_field(rendered: list[list[Resource]]) -> None:
    distinct = {json.dumps(it, sort_keys=True): it for resources in rendered for it in resources}
    for resource in distinct.values():
        if resource["kind"] not in CUSTOM:
            kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def test_each_kind_and_name_is_there_once(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        names = [(resource["kind"], resource["metadata"]["name"]) for resource in resources]
        assert len(set(names)) == len(names)


def variables(settings: type[Settings]) -> dict[str, Any]:
    return {it.metadata["variable"]: it.metadata for it in settings.__dataclass_fields__.values()}


def test_each_variable_is_a_setting_of_the_service(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        for workload in workloads(resources):
            of_sdk = {name for name in environment(resources, workload) if name.startswith("OTEL_")}
            assert environment(resources, workload).keys() - of_sdk <= variables(Settings).keys()
            assert all(f"`{name}" in TRACING or f" {name}=" in TRACING for name in of_sdk)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What the volumes bring, as files in a folder that stands for /run/order-service."""
    for name in ("authorities/postgresql.crt", "authorities/kafka.crt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        trustme.CA().cert_pem.write_to_path(tmp_path / name)
    for name in ("postgresql/password", "kafka/password", "owner/password"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("secret\n")
    return tmp_path


def test_production_starts_with_the_settings(rendered: list[list[Resource]], files: Path) -> None:
    for resources in rendered:
        for workload in workloads(resources):
            given = environment(resources, workload).items()
            placed = {name: value.replace("/run/order-service", str(files)) for name, value in given}
            serves = workload["kind"] == "Deployment"
            settings = from_environment(placed, answers_callers=serves)
            assert settings.app_env == "production"
            assert not settings.allow_insecure
            if serves:
                assert settings.schema == "check"
                assert settings.roles == labels(workload)[COMPONENT]


def test_each_file_that_a_setting_names_is_the_key_of_a_volume_and_documented(rendered: list[list[Resource]]) -> None:
    document = DOCUMENT.read_text()
    for resources in rendered:
        for workload in workloads(resources):
            mounts = {mount["mountPath"]: mount["name"] for mount in container(workload)["volumeMounts"]}
            volumes = {volume["name"]: volume for volume in workload["spec"]["template"]["spec"]["volumes"]}
            assert {*mounts.values()} == volumes.keys()
            text = "\n".join(environment(resources, workload).values())
            for path, key in re.findall(r"(/run/order-service/\w+)/([\w.-]+)", text):
                volume = volumes[mounts[path]]
                kind, name = ("secret", "secretName") if "secret" in volume else ("configmap", "name")
                source = volume["secret" if kind == "secret" else "configMap"][name]
                assert re.search(rf"kubectl create {kind}( generic)? {source}\b(.*\\\n)*.*--from-file={key}=", document)


def test_the_certificate_of_the_ingress_is_documented(rendered: list[list[Resource]]) -> None:
    secrets = {
        tls["secretName"] for resources in rendered for it in of_kind(resources, "Ingress") for tls in it["spec"]["tls"]
    }
    assert secrets
    assert all(f"kubectl create secret tls {name} " in DOCUMENT.read_text() for name in secrets)


def test_the_rules_of_prometheus_know_the_pods_by_their_job(rendered: list[list[Resource]]) -> None:
    """Without `jobLabel` the job would be the namespace and the name of the monitor."""
    [job] = set(re.findall(r'job="([^"]+)"', (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()))
    monitors = [(it, resources) for resources in rendered for it in of_kind(resources, "PodMonitor")]
    assert monitors
    for monitor, resources in monitors:
        pods = [labels(it) for it in workloads(resources)]
        chosen = [found for found in pods if selects(monitor["spec"]["selector"], found)]
        assert {found[monitor["spec"]["jobLabel"]] for found in chosen} == {job}
        assert len(chosen) == len(of_kind(resources, "Deployment"))


def test_the_key_of_prometheus_is_documented(rendered: list[list[Resource]]) -> None:
    for monitor in [it for resources in rendered for it in of_kind(resources, "PodMonitor")]:
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        secret = endpoint["authorization"]["credentials"]
        told = rf"kubectl create secret generic {secret['name']} --from-file={secret['key']}="
        assert re.search(told, DOCUMENT.read_text())


def selectors(resource: Any) -> Iterator[dict[str, Any]]:
    """Yield each selector of pods within the namespace that the document has, with matchLabels and matchExpressions."""
    for name, value in resource["spec"].items():
        if name in ("selector", "podSelector"):
            yield value if "matchLabels" in value else {"matchLabels": value}
    for constraint in resource["spec"].get("template", {}).get("spec", {}).get("topologySpreadConstraints", []):
        yield constraint["labelSelector"]


def selects(selector: dict[str, Any], found: dict[str, str]) -> bool:
    excluded = [it for it in selector.get("matchExpressions", []) if found.get(it["key"]) in it["values"]]
    assert all(it["operator"] == "NotIn" for it in selector.get("matchExpressions", []))
    return not excluded and selector["matchLabels"].items() <= found.items()


def test_each_selector_finds_pods_and_a_deployment_its_own_alone(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        pods = {it["metadata"]["name"]: labels(it) for it in workloads(resources)}
        for resource in resources:
            for selector in selectors(resource) if "spec" in resource else ():
                assert any(selects(selector, found) for found in pods.values()), resource["metadata"]["name"]
        for resource in of_kind(resources, "Deployment", "PodDisruptionBudget"):
            chosen = [name for name, found in pods.items() if selects(resource["spec"]["selector"], found)]
            assert chosen == [resource["metadata"]["name"]]


def test_the_service_leads_to_what_answers_orders(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        [service] = of_kind(resources, "Service")
        for workload in workloads(resources):
            answers = environment(resources, workload).get("ROLES") in ("all", "api")
            assert selects({"matchLabels": service["spec"]["selector"]}, labels(workload)) is answers


def test_ports_and_probes_are_those_of_the_service(rendered: list[list[Resource]]) -> None:
    paths = {endpoint.path for endpoint in create_app(Settings.load({})).extensions["endpoints"]}
    for resources in rendered:
        [service] = of_kind(resources, "Service")
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
        for deployment in of_kind(resources, "Deployment"):
            given = container(deployment)
            assert given["ports"] == [
                {"name": "http", "containerPort": int(environment(resources, deployment)["PORT"])}
            ]
            probes = {name: given[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
            assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
            assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
                "startup": "/livez",
                "liveness": "/livez",  # asks neither PostgreSQL nor Kafka
                "readiness": "/readyz",
            }
            assert {"/livez", "/readyz"} <= paths


def test_a_pod_ends_by_itself_before_the_kubelet_ends_it(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        for deployment in of_kind(resources, "Deployment"):
            takes_calls = "takes-calls" in labels(deployment)
            before = container(deployment).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert bool(before) is takes_calls
            own = int(environment(resources, deployment)["GRACEFUL_TIMEOUT"]) + LOG_SECONDS
            grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace >= before + own + KUBELET_SECONDS


def test_every_pod_is_as_restricted_as_the_compose_service(rendered: list[list[Resource]]) -> None:
    [user] = re.findall(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for workload in [it for resources in rendered for it in workloads(resources)]:
        pod, given = workload["spec"]["template"]["spec"], container(workload)
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": int(user),
            "runAsGroup": int(user),
            "fsGroup": int(user),
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert given["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert [it["name"] for it in given["volumeMounts"] if not it.get("readOnly")] == ["tmp"]
        [tmp] = [it for it in pod["volumes"] if it["name"] == "tmp"]
        assert tmp["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
        assert re.search(r"@sha256:[0-9a-f]{64}$", given["image"])
        assert given["resources"]["limits"].keys() == {"memory"}  # a limit of CPU would make the loop late
        assert "command" not in given or workload["kind"] == "Job"  # the image's own CMD


def test_each_account_exists_and_gets_no_token(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        accounts = {it["metadata"]["name"] for it in of_kind(resources, "ServiceAccount")}
        assert {it["spec"]["template"]["spec"]["serviceAccountName"] for it in workloads(resources)} == accounts
        assert not any(it["automountServiceAccountToken"] for it in of_kind(resources, "ServiceAccount"))


def test_only_what_a_policy_names_goes_in_or_out(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        policies = of_kind(resources, "NetworkPolicy")
        pods = [labels(it) for it in workloads(resources)]
        closed = [it for it in policies if it["spec"]["policyTypes"] == ["Ingress", "Egress"]]
        assert all(any(selects(it["spec"]["podSelector"], found) for it in closed) for found in pods)
        for found in pods:
            mine = [it["spec"] for it in policies if selects(it["spec"]["podSelector"], found)]
            out = [rule for spec in mine for rule in spec.get("egress", [])]
            assert all(rule["to"] and rule["ports"] for rule in out)
            kafka = 9093 in {port["port"] for rule in out for port in rule["ports"]}
            assert kafka is (found[COMPONENT] != "migration")
            assert all(rule["from"] for spec in mine for rule in spec.get("ingress", []))


def test_the_recovery_has_memory_for_all_records_that_it_may_hold(rendered: list[list[Resource]]) -> None:
    jobs = [it for resources in rendered for it in of_kind(resources, "Job") if labels(it)[COMPONENT] == "recovery"]
    assert jobs
    for job in jobs:
        assert container(job)["command"][:3] == ["flask", "orders", "recover"]
        assert container(job)["resources"]["limits"] == {"memory": "2Gi"}  # MOST of both topics: about 1 GiB
        assert job["metadata"]["labels"] == labels(job)  # `kubectl apply -l` finds it


def test_a_node_can_be_drained_while_no_pod_is_ready(rendered: list[list[Resource]]) -> None:
    for resources in rendered:
        budgets = of_kind(resources, "PodDisruptionBudget")
        assert len(budgets) == len(of_kind(resources, "Deployment"))
        for budget in budgets:
            assert budget["spec"]["maxUnavailable"] == 1
            assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_no_scaler_makes_more_workers_than_there_are_partitions(rendered: list[list[Resource]]) -> None:
    seen = []
    for resources in rendered:
        for scaler in of_kind(resources, "HorizontalPodAutoscaler", "ScaledObject"):
            spec = scaler["spec"]
            [scaled] = [
                it
                for it in of_kind(resources, "Deployment")
                if it["metadata"]["name"] == spec["scaleTargetRef"]["name"]
            ]
            assert "replicas" not in scaled["spec"]  # applying again would set the number back
            given = environment(resources, scaled)
            assert given["ROLES"] == "worker"
            most = spec.get("maxReplicas") or spec["maxReplicaCount"]
            assert most <= int(given["KAFKA_TOPIC_PARTITIONS"])
            assert 1 <= (spec.get("minReplicas") or spec["minReplicaCount"]) <= most
            seen.append(scaler["kind"])
    assert {*seen} == {"HorizontalPodAutoscaler", "ScaledObject"}


def test_the_metric_of_the_scalers_exists(rendered: list[list[Resource]]) -> None:
    """docs/metrics.md has all that exist, which another test holds true."""
    scalers = [it for resources in rendered for it in of_kind(resources, "HorizontalPodAutoscaler", "ScaledObject")]
    told = [re.findall(r"order_\w+", json.dumps(it["spec"].get("metrics") or it["spec"]["triggers"])) for it in scalers]
    assert all(told)
    assert {name for names in told for name in names} == {"order_commands_lag_seconds"}
    assert "| `order_commands_lag_seconds` | `partition` | seconds " in (ROOT / "docs" / "metrics.md").read_text()


def test_the_ingress_leads_callers_to_each_call_and_to_nothing_else(rendered: list[list[Resource]]) -> None:
    endpoints = create_app(Settings.load({"AUTH_MODE": "api_key"})).extensions["endpoints"]
    for_callers = {it.path for it in endpoints if it.scope not in (None, Scope.OPERATOR)} | {"/health"}
    for ingress in [it for resources in rendered for it in of_kind(resources, "Ingress")]:
        [rule] = ingress["spec"]["rules"]
        routes = [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]
        exact = {path for path, kind in routes if kind == "Exact"}
        begun = {path for path, kind in routes if kind == "Prefix"}
        assert begun == {"/orders"}  # and /orders/customer/ID
        assert {path for path in for_callers if not path.startswith("/orders")} == exact
        assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {"order-service"}


def test_the_example_of_a_site_changes_all_that_is_a_placeholder(rendered: list[list[Resource]]) -> None:
    site = rendered[len(OVERLAYS)]
    assert {it["metadata"]["namespace"] for it in site} == {"orders"}
    assert {container(it)["image"].partition("@")[0] for it in workloads(site)} == {
        "registry.example/campus/order-service"
    }
    [worker] = [it for it in workloads(site) if it["metadata"]["name"] == "order-service-worker"]
    assert environment(site, worker)["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.campus.example:9093"
    assert environment(site, worker)["SCHEMA"] == "check"
    before, now = (json.dumps(resources) for resources in (render(FOLDER / "overlays" / "api-worker"), site))
    ingress = (FOLDER / "components" / "ingress" / "ingress.yaml").read_text()
    for placeholder in PLACEHOLDERS:
        assert re.search(placeholder, before + ingress), placeholder
        assert not re.search(placeholder, now), placeholder
