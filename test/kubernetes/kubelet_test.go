//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const nodeName = "here"

// timeout is for steps that take seconds, and more on a busy machine.
const timeout = 3 * time.Minute

// kubelet stands in for a node: it binds pods, runs their container as a process, probes it, and stops it like the
// kubelet: preStop, SIGTERM, and SIGKILL after the grace period. Liveness is not probed.
type kubelet struct {
	cluster *cluster
	dir     string   // logs and volumes
	binary  string   // the binary in the images
	env     []string // the environment of the images
	probes  *http.Client

	wg   sync.WaitGroup
	mu   sync.Mutex
	pods map[types.UID]*process // guarded by mu
	made int                    // guarded by mu: number of pods, for addresses
	fail func(format string, args ...any)
}

// startKubelet runs until the end of the test; remaining pods are killed then.
func startKubelet(t *testing.T, c *cluster, binary string, env ...string) *kubelet {
	t.Helper()
	k := &kubelet{cluster: c, dir: t.TempDir(), binary: binary, env: env, pods: make(map[types.UID]*process), fail: t.Errorf,
		probes: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	k.wg.Go(func() { k.run(ctx) })
	t.Cleanup(func() {
		cancel()
		k.wg.Wait()
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(k.dir, "*.log"))
			for _, log := range logs {
				t.Logf("%s:\n%s", filepath.Base(log), tail(log))
			}
		}
	})
	return k
}

// run looks for new and deleted pods.
func (k *kubelet) run(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		pods, err := list[corev1.Pod](ctx, k.cluster, "Pod", "")
		if err != nil && ctx.Err() == nil {
			k.fail("kubelet: list pods: %v", err)
		}
		for _, pod := range pods {
			if err := k.sync(ctx, &pod); err != nil && ctx.Err() == nil {
				k.fail("kubelet: pod %s: %v", pod.Name, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *kubelet) sync(ctx context.Context, pod *corev1.Pod) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pods[pod.UID]
	switch {
	case p == nil && pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodPending:
		if err := k.bind(ctx, pod); err != nil {
			return err
		}
		k.made++
		p = &process{kubelet: k, pod: pod, ip: fmt.Sprintf("%d.%d.%d.%d", podNetwork[0], podNetwork[1], k.made/250, k.made%250+1), leave: make(chan time.Duration, 1)}
		k.pods[pod.UID] = p
		k.wg.Go(func() { p.run(ctx) })
	case p != nil && pod.DeletionTimestamp != nil && !p.leaving:
		p.leaving = true
		p.leave <- time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	}
	return nil
}

// bind replaces the scheduler.
func (k *kubelet) bind(ctx context.Context, pod *corev1.Pod) error {
	binding := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Binding",
		"metadata": map[string]any{"name": pod.Name, "uid": string(pod.UID)}, "target": map[string]any{"kind": "Node", "name": nodeName}}}
	_, err := k.cluster.of("Pod").Create(ctx, binding, metav1.CreateOptions{}, "binding")
	return err
}

// signal sends a signal to the pod's process.
func (k *kubelet) signal(t *testing.T, pod string, signal syscall.Signal) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.pod.Name == pod {
			if err := syscall.Kill(int(p.pid.Load()), signal); err != nil {
				t.Fatalf("signal %s to %s: %v", signal, pod, err)
			}
			return
		}
	}
	t.Fatalf("no pod %s", pod)
}
