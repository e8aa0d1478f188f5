"""Changes of how objects fit together."""

from __future__ import annotations

from policy_base import Object
from policy_cases import Changed, case, drop, pod, put, spec

WITHOUT_SERVICE = ("kube-linter/dangling-service", "kube-score/service-targets-pod")
POLICIES = ("kube-linter/dangling-networkpolicy", "kube-score/networkpolicy-targets-pod")
INGRESS = ("kube-linter/dangling-ingress", "kube-score/ingress-targets-service")
BUDGETS = (
    "kube-score/deployment-has-poddisruptionbudget",
    "kube-score/statefulset-has-poddisruptionbudget",
    "polaris/missingPodDisruptionBudget",
)
SELECTORS = (
    "kube-linter/mismatching-selector",
    "kube-score/deployment-pod-selector-labels-match-template-metadata-labels",
    "kube-score/statefulset-pod-selector-labels-match-template-metadata-labels",
)
APART = (
    "kube-linter/no-anti-affinity",
    "kube-score/deployment-has-host-podantiaffinity",
    "kube-score/statefulset-has-host-podantiaffinity",
)
SCALER = "HorizontalPodAutoscaler"
BUDGET = "PodDisruptionBudget"


def _fixed(to: Changed, copies: int) -> None:
    to.remove(SCALER)
    to.spec("Deployment")["replicas"] = copies


case(lambda to: _fixed(to, 1), "kube-score/deployment-replicas")
case(lambda to: _fixed(to, 2))
case(put(spec(SCALER), minReplicas=2), "kube-linter/hpa-minimum-three-replicas")
case(
    put(spec(SCALER), minReplicas=1),
    "kube-linter/hpa-minimum-three-replicas",
    "kube-score/horizontalpodautoscaler-replicas",
    "polaris/hpaMinAvailability",
)
case(put(spec(SCALER), maxReplicas=3), "polaris/hpaMaxAvailability")
case(
    lambda to: to.spec(SCALER)["scaleTargetRef"].update(name="absent"),
    "kube-linter/dangling-horizontalpodautoscaler",
    "kube-score/horizontalpodautoscaler-has-target",
    "kube-score/deployment-replicas",
)
case(put(spec("Deployment"), replicas=3), "kube-score/deployment-targeted-by-hpa-does-not-have-replicas-configured")
case(
    put(spec("Deployment"), strategy={"type": "Recreate"}),
    "kube-linter/no-rolling-update-strategy",
    "kube-score/deployment-strategy",
)
case(lambda to: to.pod["affinity"].pop("podAntiAffinity"), *APART)
case(lambda to: to.template("StatefulSet", "store")["spec"]["affinity"].pop("podAntiAffinity"), *APART)
case(
    drop(pod, "topologySpreadConstraints"),
    "kube-score/pod-topology-spread-constraints",
    "polaris/topologySpreadConstraint",
)
case(lambda to: to.pod["affinity"].pop("nodeAffinity"), "kube-linter/no-node-affinity")
case(lambda to: to.remove(BUDGET), *BUDGETS)
case(lambda to: to.remove(BUDGET, "store"), *BUDGETS)
case(drop(spec(BUDGET), "maxUnavailable"), "kube-score/poddisruptionbudget-has-policy")
case(put(spec(BUDGET), maxUnavailable=0), "kube-linter/pdb-max-unavailable", "polaris/pdbDisruptionsIsZero")


def _at_least(to: Changed, needed: int | str) -> None:
    to.spec(BUDGET).pop("maxUnavailable")
    to.spec(BUDGET)["minAvailable"] = needed


ALL_NEEDED = ("kube-linter/pdb-min-available", "polaris/pdbMinAvailableGreaterThanHPAMinReplicas")
case(lambda to: _at_least(to, 3), *ALL_NEEDED)
case(lambda to: _at_least(to, "90%"), *ALL_NEEDED)
case(lambda to: _at_least(to, 2))
case(drop(spec(BUDGET), "unhealthyPodEvictionPolicy"), "kube-linter/pdb-unhealthy-pod-eviction-policy")
case(put(pod, priorityClassName="absent"), "kube-linter/priority-class-name", "polaris/priorityClassNotSet")
case(drop(pod, "restartPolicy"), "kube-linter/restart-policy")
case(drop(spec("Job", "move"), "ttlSecondsAfterFinished"), "kube-linter/job-ttl-seconds-after-finished")

case(
    put(spec("Service"), selector={"app.kubernetes.io/name": "absent"}),
    *WITHOUT_SERVICE,
)
case(
    put(spec("Service"), type="NodePort"),
    "kube-linter/exposed-services",
    "kube-score/service-type",
)
case(
    lambda to: to.spec("Service")["ports"][0].update(targetPort=70000),
    "kube-linter/invalid-target-ports",
)


def _astray(to: Changed) -> None:
    policy: Object = to.one("NetworkPolicy")
    other = policy | {"metadata": {"name": "astray", "namespace": "shop"}}
    to.objects.append(other | {"spec": policy["spec"] | {"podSelector": {"matchLabels": {"app": "absent"}}}})


case(_astray, *POLICIES)
case(
    put(spec("NetworkPolicy"), ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "absent"}}}]}]),
    "kube-linter/dangling-networkpolicypeer-podselector",
)
case(
    put(spec("NetworkPolicy"), policyTypes=["Ingress"]),
    "kube-linter/non-isolated-pod",
    "kube-score/pod-networkpolicy",
    "polaris/missingNetworkPolicy",
)
case(put(spec("NetworkPolicy"), egress=[]), "polaris/missingNetworkPolicy")
case(
    lambda to: to.spec("Ingress")["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="absent"), *INGRESS
)
case(drop(spec("Ingress"), "tls"), "polaris/tlsSettingsMissing")
case(
    put(spec("ServiceMonitor"), selector={"matchLabels": {"app": "absent"}}),
    "kube-linter/dangling-servicemonitor",
)
case(put(spec("StatefulSet", "store"), serviceName="web"), "kube-score/statefulset-has-servicename")
case(drop(pod, "dnsConfig"), "kube-linter/dnsconfig-options")

case(lambda to: to.one("Ingress").update(apiVersion="extensions/v1beta1"), "kube-linter/no-extensions-v1beta")
case(lambda to: to.one(BUDGET).update(apiVersion="policy/v1beta1"), "kube-score/stable-version")
case(lambda to: to.one("Service")["metadata"]["labels"].update(owner="a b"), "kube-score/label-values")
case(lambda to: to.one("ConfigMap", "web-config")["metadata"].pop("namespace"), "kube-linter/use-namespace")
case(
    lambda to: to.one("Job", "move")["metadata"]["labels"].update({"app.kubernetes.io/instance": "shop"}),
    "polaris/metadataAndInstanceMismatched",
)
case(put(spec("Deployment"), selector={"matchLabels": {"app": "web"}}), *SELECTORS)
case(drop(pod, "serviceAccountName"), "kube-linter/default-service-account")
case(put(pod, serviceAccount="web"), "kube-linter/deprecated-service-account-field")
case(put(pod, serviceAccountName="absent"), "kube-linter/non-existent-service-account")
case(drop(pod, "automountServiceAccountToken"), "polaris/automountServiceAccountToken")
case(lambda to: to.one("ServiceAccount").pop("automountServiceAccountToken"), "polaris/automountServiceAccountToken")
case(
    lambda to: to.one("ConfigMap", "web-config")["data"].update({"password.txt": "x"}),
    "polaris/sensitiveConfigmapContent",
)
