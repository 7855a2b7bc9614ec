"""Who reaches whom by network policies, among rendered documents: as Kubernetes documents them, as far as ours go."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

Document = dict[str, Any]
Pod = tuple[str, dict[str, str]]  # namespace and labels


def namespace(document: Document) -> str:
    return document["metadata"].get("namespace", "default")


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector (with ``matchLabels``, and the operator In alone) takes `labels`."""
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []) if e["operator"] == "In"
    )


def leaves(documents: list[Document], source: Pod, target: Pod | str, port: int, protocol: str = "TCP") -> bool:
    """Whether policies let `source` out to `target`, a pod or an address."""
    return _admitted(documents, "egress", source, target, {port}, protocol)


def enters(documents: list[Document], source: Pod, target: Pod, port: int | str) -> bool:
    """Whether policies let `source` in to `target`, at a port by number or, as policies may have it, by name."""
    return _admitted(documents, "ingress", target, source, {port}, "TCP")


def _admitted(
    documents: list[Document], direction: str, pod: Pod, other: Pod | str, ports: set[int] | set[int | str], protocol: str
) -> bool:
    about = [
        d["spec"]
        for d in documents
        if d["kind"] == "NetworkPolicy"
        and namespace(d) == pod[0]
        and direction.title() in d["spec"]["policyTypes"]
        and selects(d["spec"]["podSelector"], pod[1])
    ]
    side = "to" if direction == "egress" else "from"
    return not about or any(
        any(
            _is_peer(peer, other, pod[0])
            for peer in found.get(side, [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"namespaceSelector": {}}])
        )
        and any(
            p["port"] in ports and p.get("protocol", "TCP") == protocol
            for p in found.get("ports", [{"port": next(iter(ports))}])
        )
        for policy in about
        for found in policy.get(direction, [])
    )


def _is_peer(peer: dict[str, Any], other: Pod | str, here: str) -> bool:
    if isinstance(other, str):
        return "ipBlock" in peer and ip_address(other) in ip_network(peer["ipBlock"]["cidr"])
    if "ipBlock" in peer:
        return False
    where = (
        selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other[0]})
        if "namespaceSelector" in peer
        else here == other[0]
    )
    return where and selects(peer.get("podSelector", {}), other[1])
