// Package kubernetes tests the system on a real Kubernetes: etcd, API server and controller manager, built from
// source (make kubernetes) and started on this machine, with the manifests of k8s/. It has two kinds of nodes:
//
//   - a stand-in for the kubelet, which runs pods as processes of our binary, each with its own address. It needs no root, and
//     starts dozens of pods in seconds;
//   - real ones (make pods): containerd, runc, kubelet and kube-proxy run the images, beside the real scheduler.
//
// A name server resolves Services. Everything runs in separate network, mount and, as root, PID namespaces, with their own
// ports and /etc/resolv.conf, so that nothing is left of it. Build tag kubernetes; Linux.
package kubernetes
