"""Changes of pods and containers."""

from __future__ import annotations

from policy_cases import Change, Changed, case, container, context, drop, pod, put

PSS = "pss-restricted"

case(
    lambda to: to.one("Namespace", "shop")["metadata"]["labels"].pop("pod-security.kubernetes.io/audit"),
    f"{PSS}/enforced",
)
case(put(context, windowsOptions={"hostProcess": True}), f"{PSS}/hostProcess", "polaris/hostProcess")
case(put(pod, hostIPC=True), f"{PSS}/hostIPC", "kube-linter/host-ipc", "polaris/hostIPCSet")
case(put(pod, hostPID=True), f"{PSS}/hostPID", "kube-linter/host-pid", "polaris/hostPIDSet")
case(put(pod, hostNetwork=True), f"{PSS}/hostNetwork", "kube-linter/host-network", "polaris/hostNetworkSet")
case(
    put(context, privileged=True),
    f"{PSS}/privileged",
    "kube-linter/privileged-container",
    "kube-score/container-security-context-privileged",
    "polaris/runAsPrivileged",
)
case(
    put(context, capabilities={"drop": ["NET_RAW"]}),
    f"{PSS}/capabilities",
    "kube-linter/drop-net-raw-capability",
    "polaris/insecureCapabilities",
)
case(
    put(context, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    f"{PSS}/capabilities-added",
    "polaris/dangerousCapabilities",
)
case(
    put(pod, volumes=[{"name": "docker", "hostPath": {"path": "/var/run/docker.sock"}}]),
    f"{PSS}/volumeTypes",
    "kube-linter/docker-sock",
    "kube-linter/sensitive-host-mounts",
    "kube-linter/writable-host-mount",
    "polaris/hostPathSet",
)
case(lambda to: to.container["ports"][0].update(hostPort=8000), f"{PSS}/hostPorts", "polaris/hostPortSet")
case(lambda to: to.container["readinessProbe"]["httpGet"].update(host="192.0.2.1"), f"{PSS}/hostProbes")
case(put(context, appArmorProfile={"type": "Unconfined"}), f"{PSS}/appArmorProfile")
case(put(context, seLinuxOptions={"role": "sysadm_r"}), f"{PSS}/seLinuxOptions")
case(put(context, procMount="Unmasked"), f"{PSS}/procMount", "kube-linter/unsafe-proc-mount", "polaris/procMount")
case(
    lambda to: to.pod["securityContext"].pop("seccompProfile"),
    f"{PSS}/seccompProfile",
    "kube-score/container-seccomp-profile",
)
case(
    lambda to: to.pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    f"{PSS}/sysctls",
    "kube-linter/unsafe-sysctls",
)
case(
    drop(context, "allowPrivilegeEscalation"),
    f"{PSS}/allowPrivilegeEscalation",
    "kube-linter/privilege-escalation-container",
    "polaris/privilegeEscalationAllowed",
)
case(put(context, runAsNonRoot=False), f"{PSS}/runAsNonRoot", "polaris/runAsRootAllowed")
case(put(context, runAsGroup=0), f"{PSS}/runAsUser", "kube-linter/run-as-non-root")
case(put(context, runAsUser=999), "kube-score/container-security-context-user-group-id")
case(
    put(context, readOnlyRootFilesystem=False),
    "kube-linter/no-read-only-root-fs",
    "kube-score/container-security-context-readonlyrootfilesystem",
    "polaris/notReadOnlyRootFilesystem",
)
IMAGE = ("kube-linter/latest-tag", "kube-score/container-image-tag", "polaris/tagNotSpecified")
case(put(container, image="registry.example.org:5000/shop/web"), *IMAGE)
case(put(container, image="web:latest"), *IMAGE)
case(
    put(container, imagePullPolicy="IfNotPresent"),
    "kube-score/container-image-pull-policy",
    "polaris/pullPolicyNotAlways",
)
case(
    lambda to: to.container["env"].append({"name": "PORT", "value": "8001"}),
    "kube-linter/duplicate-env-var",
    "kube-score/environment-variable-key-duplication",
)
case(
    put(container, env=[{"name": "CLIENT_SECRET", "value": "x"}]),
    "kube-linter/env-var-secret",
    "polaris/sensitiveContainerEnvVar",
)
case(
    put(container, envFrom=[{"secretRef": {"name": "passwords"}}]),
    "kube-linter/read-secret-from-env-var",
)
case(
    put(container, env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web-config", "key": "absent"}}}]),
    "kube-linter/env-value-from",
)


def _unrestricted(to: Changed) -> None:
    to.pod["securityContext"].pop("seccompProfile")
    to.context.pop("capabilities")


case(
    _unrestricted,
    "polaris/linuxHardening",
    f"{PSS}/seccompProfile",
    "kube-score/container-seccomp-profile",
    f"{PSS}/capabilities",
    "kube-linter/drop-net-raw-capability",
    "polaris/insecureCapabilities",
)


def _without(bound: str, resource: str) -> Change:
    def change(to: Changed) -> None:
        amounts = to.container["resources"][bound]
        to.container["resources"][bound] = {key: amounts[key] for key in amounts if key != resource}

    return change


for bound, resource, names in (
    ("requests", "cpu", ("kube-linter/unset-cpu-requirements", "polaris/cpuRequestsMissing")),
    ("limits", "cpu", ("polaris/cpuLimitsMissing",)),
    ("requests", "memory", ("polaris/memoryRequestsMissing",)),
    ("limits", "memory", ("kube-linter/unset-memory-requirements", "polaris/memoryLimitsMissing")),
):
    case(_without(bound, resource), "kube-score/container-resources", *names)
case(_without("limits", "ephemeral-storage"), "kube-score/container-ephemeral-storage-request-and-limit")

LIVENESS = ("kube-linter/no-liveness-probe", "polaris/livenessProbeMissing", "kube-score/pod-probes")
READINESS = ("kube-linter/no-readiness-probe", "polaris/readinessProbeMissing", "kube-score/pod-probes")
case(drop(container, "livenessProbe"), *LIVENESS)
case(drop(container, "readinessProbe"), *READINESS)
case(
    lambda to: to.container.update(livenessProbe=to.container["readinessProbe"]),
    "kube-score/pod-probes-identical",
)
for probe in ("startup", "readiness", "liveness"):
    case(put(container, **{f"{probe}Probe": {"httpGet": {"path": "/", "port": 9}}}), f"kube-linter/{probe}-port")
case(
    lambda to: to.container["ports"].append({"name": "low", "containerPort": 80}),
    "kube-linter/privileged-ports",
)
case(
    lambda to: to.container["ports"].append({"name": "ssh", "containerPort": 22}),
    "kube-linter/ssh-port",
    "kube-linter/privileged-ports",
)
case(
    lambda to: to.container["ports"].append({"name": "http", "containerPort": 8001}),
    "kube-score/container-ports-check",
)
case(
    lambda to: to.container["ports"].append({"name": "Admin", "containerPort": 8001}),
    "kube-linter/invalid-target-ports",
)
