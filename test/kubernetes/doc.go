// Package kubernetes tests the system on a real Kubernetes: etcd, API server and controller manager, built
// from their sources (make kubernetes) and started on this machine, with the manifests of k8s/. What is not
// real is the node: a stand-in for the kubelet turns pods into processes of our binary, each on an address of
// its own, and a name server answers for Services. All of it runs in network and mount
// namespaces of its own, so that ports and /etc/resolv.conf are its own too. Build tag kubernetes; Linux.
package kubernetes
