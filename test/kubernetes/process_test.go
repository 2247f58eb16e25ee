//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// process is a pod's container.
type process struct {
	kubelet *kubelet
	pod     *corev1.Pod
	ip      string
	leave   chan time.Duration // receives the grace period when the pod is deleted
	leaving bool               // guarded by kubelet.mu

	pid      atomic.Int64
	ready    bool
	restarts int
}

// run keeps the container running until the pod is deleted, then reports its end.
func (p *process) run(ctx context.Context) {
	for {
		again, err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.kubelet.fail("kubelet: pod %s: %v", p.pod.Name, err)
			return
		}
		if !again {
			break
		}
		p.restarts++
		p.report(ctx, false)
	}
	zero := int64(0)
	err := p.kubelet.cluster.of("Pod").Delete(ctx, p.pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &p.pod.UID}})
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		p.kubelet.fail("kubelet: delete pod %s: %v", p.pod.Name, err)
	}
}

// once runs the process until it exits, and reports whether to restart it.
func (p *process) once(ctx context.Context) (again bool, err error) {
	cmd, err := p.command(ctx)
	if err != nil {
		return false, err
	}
	defer cmd.Stdout.(*os.File).Close()
	if err := cmd.Start(); err != nil {
		return false, err
	}
	p.pid.Store(int64(cmd.Process.Pid))
	p.report(ctx, false)
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	defer func() { _ = cmd.Process.Kill(); <-ended }()
	probe := time.NewTicker(p.period())
	defer probe.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-ended:
			return true, nil
		case grace := <-p.leave:
			p.end(ctx, cmd, grace, ended)
			return false, nil
		case <-probe.C:
			if ready := p.probe(ctx); ready != p.ready {
				p.report(ctx, ready)
				probe.Reset(p.period())
			}
		}
	}
}

// period returns the startup probe's period until the container is ready, then the readiness probe's.
func (p *process) period() time.Duration {
	probe := p.pod.Spec.Containers[0].StartupProbe
	if p.ready || probe == nil {
		probe = p.pod.Spec.Containers[0].ReadinessProbe
	}
	return time.Duration(max(1, probe.PeriodSeconds)) * time.Second
}

// probe runs the readiness probe.
func (p *process) probe(ctx context.Context) bool {
	probe := p.pod.Spec.Containers[0].ReadinessProbe
	ctx, cancel := context.WithTimeout(ctx, time.Duration(probe.TimeoutSeconds)*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(p.ip, p.port()) + probe.HTTPGet.Path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := p.kubelet.probes.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode < 400
}

// end stops the container as the pod specifies.
func (p *process) end(ctx context.Context, cmd *exec.Cmd, grace time.Duration, ended <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if hooks := p.pod.Spec.Containers[0].Lifecycle; hooks != nil && hooks.PreStop != nil {
		select {
		case <-time.After(time.Duration(hooks.PreStop.Sleep.Seconds) * time.Second):
		case <-ctx.Done():
		case <-ended:
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-ctx.Done(): // the caller kills it
	}
}

func (p *process) port() string {
	return strconv.Itoa(int(p.pod.Spec.Containers[0].Ports[0].ContainerPort))
}

// command returns the container's process. On one machine, each needs its own address and folders where a container
// has the usual ones to itself.
func (p *process) command(ctx context.Context) (*exec.Cmd, error) {
	c := p.pod.Spec.Containers[0]
	env := map[string]string{"GOMAXPROCS": "1",
		"RESNET18_" + strings.ToUpper(c.Args[0]) + "_ADDR": net.JoinHostPort(p.ip, p.port())}
	for _, e := range p.kubelet.env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "metadata.name" {
			env[e.Name] = p.pod.Name
		}
		for _, m := range c.VolumeMounts {
			if e.Value == m.MountPath {
				env[e.Name] = filepath.Join(p.kubelet.dir, "volumes", p.pod.Name, m.Name)
			}
		}
	}
	if automount := p.pod.Spec.AutomountServiceAccountToken; automount == nil || *automount {
		kubeconfig, err := p.credentials(ctx)
		if err != nil {
			return nil, err
		}
		env["KUBECONFIG"] = kubeconfig
	}
	log, err := os.OpenFile(filepath.Join(p.kubelet.dir, p.pod.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.kubelet.binary, c.Args...)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// credentials returns a token of the pod's service account, with only its rights.
func (p *process) credentials(ctx context.Context) (kubeconfig string, err error) {
	token, err := p.kubelet.cluster.token(ctx, p.pod.Spec.ServiceAccountName)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.kubelet.dir, p.pod.Name+".kubeconfig")
	return path, os.WriteFile(path, []byte(p.kubelet.cluster.kubeconfigText(token)), 0o600)
}

// token requests a token of the service account.
func (c *cluster) token(ctx context.Context, account string) (string, error) {
	request := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"metadata": map[string]any{"name": account}, "spec": map[string]any{"audiences": []any{}}}}
	answer, err := c.of("ServiceAccount").Create(ctx, request, metav1.CreateOptions{}, "token")
	if err != nil {
		return "", fmt.Errorf("request a token of %s: %w", account, err)
	}
	token, _, err := unstructured.NestedString(answer.Object, "status", "token")
	return token, err
}

// report writes the pod's status.
func (p *process) report(ctx context.Context, ready bool) {
	p.ready = ready
	now := metav1.Now().UTC().Format(time.RFC3339)
	condition := func(kind string, holds bool) map[string]any {
		status := "False"
		if holds {
			status = "True"
		}
		return map[string]any{"type": kind, "status": status, "lastTransitionTime": now}
	}
	err := p.kubelet.cluster.patch(ctx, "Pod", p.pod.Name, map[string]any{"status": map[string]any{
		"phase": "Running", "podIP": p.ip, "podIPs": []any{map[string]any{"ip": p.ip}}, "hostIP": "127.0.0.1", "startTime": now,
		"conditions": []any{condition("PodScheduled", true), condition("Initialized", true), condition("ContainersReady", ready), condition("Ready", ready)},
		"containerStatuses": []any{map[string]any{"name": p.pod.Spec.Containers[0].Name, "ready": ready, "started": true, "restartCount": p.restarts,
			"image": p.pod.Spec.Containers[0].Image, "imageID": "", "state": map[string]any{"running": map[string]any{"startedAt": now}}}},
	}}, "status")
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		p.kubelet.fail("kubelet: report of pod %s: %v", p.pod.Name, err)
	}
}
