package main

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// end is one end of a connection: pods of a workload, or pods elsewhere.
type end struct {
	name      string
	labels    labels.Set
	namespace labels.Set
	ports     []corev1.ContainerPort
	ours      bool // in the namespace of the policies
}

// TestNetworkPolicies computes which connections the policies of production let pass, as a network plugin does, and
// compares them with all those that are wanted.
func TestNetworkPolicies(t *testing.T) {
	t.Parallel()
	all := overlay(t, "overlays/production")
	elsewhere := func(name string, pod labels.Set, ports ...int32) end {
		e := end{name: name, labels: pod, namespace: labels.Set{"kubernetes.io/metadata.name": name}}
		for _, p := range ports {
			e.ports = append(e.ports, corev1.ContainerPort{ContainerPort: p})
		}
		return e
	}
	ends := []end{
		elsewhere("kube-system", labels.Set{"k8s-app": "kube-dns"}, 53),
		elsewhere("monitoring", nil, 9090), elsewhere("keda", nil, 9666), elsewhere("clients", nil, 80), elsewhere("API server", nil, 443, 6443),
	}
	for _, w := range workloads(all) {
		ends = append(ends, end{w.name, w.pod.Labels, labels.Set{"kubernetes.io/metadata.name": "resnet18cloud"}, w.container().Ports, true})
	}
	policy := workloads(all)[0]
	ends = append(ends, end{"scaling-policy", labels.Set{"app": "scaling-policy"}, labels.Set{"kubernetes.io/metadata.name": "resnet18cloud"},
		append([]corev1.ContainerPort{{Name: "grpc", ContainerPort: 9090}}, policy.container().Ports...), true})

	var got []string
	for _, from := range ends {
		for _, to := range ends {
			for _, port := range to.ports {
				if (from.ours || to.ours) && allowed(t, all, from, to, port) {
					got = append(got, fmt.Sprintf("%s -> %s:%d", from.name, to.name, port.ContainerPort))
				}
			}
		}
	}
	want := []string{
		"dispatcher -> resnet18-app:5000", "dispatcher -> nats:4222", "nats -> nats:6222",
		"dispatcher -> autoscaler:8000", "autoscaler -> dispatcher:8080", "autoscaler -> API server:443", "autoscaler -> API server:6443",
		"scaling-policy -> dispatcher:8080", "scaling-policy -> API server:443", "scaling-policy -> API server:6443",
		"keda -> scaling-policy:9090",
		"monitoring -> nats:8222", "monitoring -> dispatcher:9000", "monitoring -> resnet18-app:9000", "monitoring -> autoscaler:8000", "monitoring -> scaling-policy:8000",
		"monitoring -> resnet18-app:5000",
	}
	for _, from := range []string{"kube-system", "monitoring", "keda", "clients", "API server"} {
		want = append(want, from+" -> dispatcher:8080")
	}
	for _, from := range []string{"dispatcher", "resnet18-app", "nats", "autoscaler", "scaling-policy"} {
		want = append(want, from+" -> kube-system:53")
	}
	slices.Sort(got)
	slices.Sort(want)
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("the policies allow %s", g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("the policies refuse %s", w)
		}
	}
}

// allowed reports whether from may connect to the port: policies of both sides must allow it.
func allowed(t *testing.T, all objects, from, to end, port corev1.ContainerPort) bool {
	t.Helper()
	return passes(t, all, from, to, port, networkingv1.PolicyTypeEgress) && passes(t, all, to, from, port, networkingv1.PolicyTypeIngress)
}

// passes reports whether the policies of one side let the connection with peer pass.
func passes(t *testing.T, all objects, side, peer end, port corev1.ContainerPort, direction networkingv1.PolicyType) bool {
	t.Helper()
	if !side.ours {
		return true
	}
	isolated := false
	for _, p := range of[*networkingv1.NetworkPolicy](all) {
		if !selects(t, &p.Spec.PodSelector, side.labels) || !slices.Contains(p.Spec.PolicyTypes, direction) {
			continue
		}
		isolated = true
		if direction == networkingv1.PolicyTypeEgress {
			for _, r := range p.Spec.Egress {
				if peers(t, r.To, peer) && ports(r.Ports, port) {
					return true
				}
			}
			continue
		}
		for _, r := range p.Spec.Ingress {
			if peers(t, r.From, peer) && ports(r.Ports, port) {
				return true
			}
		}
	}
	return !isolated
}

func peers(t *testing.T, allowed []networkingv1.NetworkPolicyPeer, peer end) bool {
	t.Helper()
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.NamespaceSelector == nil && !peer.ours || p.NamespaceSelector != nil && !selects(t, p.NamespaceSelector, peer.namespace) {
			return false
		}
		return p.PodSelector == nil || selects(t, p.PodSelector, peer.labels)
	})
}

func ports(allowed []networkingv1.NetworkPolicyPort, port corev1.ContainerPort) bool {
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(p networkingv1.NetworkPolicyPort) bool {
		return *p.Port == intstr.FromInt32(port.ContainerPort) || *p.Port == intstr.FromString(port.Name)
	})
}

func selects(t *testing.T, selector *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(set)
}
