"""Pod Security Standards, profile *restricted*: https://kubernetes.io/docs/concepts/security/pod-security-standards/.

Where another source asks for the same of a container, its name stands beside the standard's.
"""

from __future__ import annotations

from .rule import of_containers, of_kind, of_pods
from .snapshot import Object, Pod

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
SOURCE = "pss-restricted"
MODES = ("enforce", "audit", "warn")


def security(container: Object) -> Object:
    """Return a container's own security context."""
    found: Object = container.get("securityContext", {})
    return found


@of_kind(
    "Namespace",
    f"{SOURCE}/enforced",
    asks="the namespace enforces, audits and warns by the profile",
    remedy="label it pod-security.kubernetes.io/enforce, audit and warn: restricted",
)
def _enforced(item: Object) -> str:
    labels = item["metadata"].get("labels", {})
    missing = [mode for mode in MODES if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted"]
    return f"does not {' or '.join(missing)} `restricted`" if missing else ""


@of_pods(
    f"{SOURCE}/hostProcess",
    "polaris/hostProcess",
    asks="no Windows HostProcess",
    remedy="leave windowsOptions.hostProcess out",
)
def _host_process(pod: Pod) -> str:
    contexts = (pod.security, *(security(each) for each in pod.containers))
    return "is a HostProcess pod" if any(c.get("windowsOptions", {}).get("hostProcess") for c in contexts) else ""


@of_pods(
    f"{SOURCE}/hostIPC",
    "kube-linter/host-ipc",
    "polaris/hostIPCSet",
    asks="no sharing of the host's IPC namespace",
    remedy="leave hostIPC out",
)
def _host_ipc(pod: Pod) -> str:
    return "shares the host's IPC namespace" if pod.spec.get("hostIPC") else ""


@of_pods(
    f"{SOURCE}/hostPID",
    "kube-linter/host-pid",
    "polaris/hostPIDSet",
    asks="no sharing of the host's process namespace",
    remedy="leave hostPID out",
)
def _host_pid(pod: Pod) -> str:
    return "shares the host's process namespace" if pod.spec.get("hostPID") else ""


@of_pods(
    f"{SOURCE}/hostNetwork",
    "kube-linter/host-network",
    "polaris/hostNetworkSet",
    asks="no sharing of the host's network namespace",
    remedy="leave hostNetwork out",
)
def _host_network(pod: Pod) -> str:
    return "shares the host's network" if pod.spec.get("hostNetwork") else ""


@of_containers(
    f"{SOURCE}/privileged",
    "kube-linter/privileged-container",
    "kube-score/container-security-context-privileged",
    "polaris/runAsPrivileged",
    asks="no privileged container",
    remedy="leave privileged out",
)
def _privileged(pod: Pod, container: Object) -> str:
    return "is privileged" if security(container).get("privileged") or pod.security.get("privileged") else ""


@of_containers(
    f"{SOURCE}/capabilities",
    "kube-linter/drop-net-raw-capability",
    "polaris/insecureCapabilities",
    asks="all capabilities are dropped",
    remedy="capabilities: {drop: [ALL]}",
)
def _capabilities(_: Pod, container: Object) -> str:
    return "" if "ALL" in security(container).get("capabilities", {}).get("drop", []) else "keeps capabilities"


@of_containers(
    f"{SOURCE}/capabilities-added",
    "polaris/dangerousCapabilities",
    asks="no capability is added but NET_BIND_SERVICE",
    remedy="leave capabilities.add out",
)
def _added(_: Pod, container: Object) -> str:
    added = set(security(container).get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}
    return f"adds {', '.join(sorted(added))}" if added else ""


@of_pods(
    f"{SOURCE}/volumeTypes",
    "kube-linter/docker-sock",
    "kube-linter/sensitive-host-mounts",
    "kube-linter/writable-host-mount",
    "polaris/hostPathSet",
    asks="no volume that is the host's",
    remedy="use a claim, a ConfigMap, a Secret or an emptyDir",
)
def _volumes(pod: Pod) -> str:
    others = [v["name"] for v in pod.spec.get("volumes", []) if not (set(v) - {"name"}) <= VOLUMES]
    return f"has volumes of another type: {', '.join(others)}" if others else ""


@of_containers(f"{SOURCE}/hostPorts", "polaris/hostPortSet", asks="no port of the host", remedy="leave hostPort out")
def _host_ports(_: Pod, container: Object) -> str:
    return "takes a port of the host" if any(port.get("hostPort") for port in container.get("ports", [])) else ""


@of_containers(
    f"{SOURCE}/hostProbes",
    asks="probes and hooks ask the pod itself, no other host",
    remedy="leave host out of httpGet and tcpSocket",
)
def _host_probes(_: Pod, container: Object) -> str:
    asked = [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
    asked += list(container.get("lifecycle", {}).values())
    hosts = [each.get(way, {}).get("host") for each in asked for way in ("httpGet", "tcpSocket")]
    return "asks another host in a probe or hook" if any(hosts) else ""


@of_containers(
    f"{SOURCE}/appArmorProfile",
    asks="the runtime's AppArmor profile, or one of the node's own",
    remedy="appArmorProfile.type: RuntimeDefault",
)
def _app_armor(pod: Pod, container: Object) -> str:
    kinds = {
        where.get("appArmorProfile", {}).get("type", "RuntimeDefault") for where in (pod.security, security(container))
    }
    return "" if kinds <= PROFILES else "has no AppArmor profile"


@of_containers(f"{SOURCE}/seLinuxOptions", asks="no SELinux user or role", remedy="leave seLinuxOptions out")
def _selinux(pod: Pod, container: Object) -> str:
    for where in (pod.security, security(container)):
        options = where.get("seLinuxOptions", {})
        if options.get("user") or options.get("role") or options.get("type") not in SELINUX:
            return "sets SELinux options"
    return ""


@of_containers(
    f"{SOURCE}/procMount",
    "kube-linter/unsafe-proc-mount",
    "polaris/procMount",
    asks="the default masks of /proc",
    remedy="leave procMount out",
)
def _proc_mount(_: Pod, container: Object) -> str:
    return "" if security(container).get("procMount", "Default") == "Default" else "unmasks /proc"


@of_containers(
    f"{SOURCE}/seccompProfile",
    "kube-score/container-seccomp-profile",
    asks="a seccomp profile",
    remedy="seccompProfile.type: RuntimeDefault",
)
def _seccomp(pod: Pod, container: Object) -> str:
    profile = security(container).get("seccompProfile") or pod.security.get("seccompProfile") or {}
    return "" if profile.get("type") in PROFILES else "has no seccomp profile"


@of_pods(f"{SOURCE}/sysctls", "kube-linter/unsafe-sysctls", asks="only safe sysctls", remedy="leave the others out")
def _sysctls(pod: Pod) -> str:
    unsafe = {each["name"] for each in pod.security.get("sysctls", [])} - SYSCTLS
    return f"sets {', '.join(sorted(unsafe))}" if unsafe else ""


@of_containers(
    f"{SOURCE}/allowPrivilegeEscalation",
    "kube-linter/privilege-escalation-container",
    "polaris/privilegeEscalationAllowed",
    asks="no process gains more privileges than its parent has",
    remedy="allowPrivilegeEscalation: false",
)
def _escalation(_: Pod, container: Object) -> str:
    return "" if security(container).get("allowPrivilegeEscalation") is False else "may gain privileges"


@of_containers(
    f"{SOURCE}/runAsNonRoot",
    "polaris/runAsRootAllowed",
    asks="no container may run as root",
    remedy="runAsNonRoot: true",
)
def _non_root(pod: Pod, container: Object) -> str:
    return (
        "" if security(container).get("runAsNonRoot", pod.security.get("runAsNonRoot")) is True else "may run as root"
    )


@of_containers(
    f"{SOURCE}/runAsUser",
    "kube-linter/run-as-non-root",
    asks="neither the user nor the group is root",
    remedy="runAsUser and runAsGroup: a number above 0",
)
def _root(pod: Pod, container: Object) -> str:
    ids = [security(container).get(key, pod.security.get(key)) for key in ("runAsUser", "runAsGroup")]
    return "runs as user or group 0" if 0 in ids else ""
