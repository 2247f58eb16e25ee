// Package kubernetes tests the system on a real Kubernetes: etcd, API server and controller manager, built from
// source (make kubernetes) and started on this machine, with the manifests of k8s/. Only the node is simulated: a
// stand-in for the kubelet runs pods as processes of our binary, each with its own address, and a name server
// resolves Services. Everything runs in separate network and mount namespaces, with their own ports and
// /etc/resolv.conf. Build tag kubernetes; Linux.
package kubernetes
