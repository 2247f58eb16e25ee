package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	natsserver "github.com/nats-io/nats-server/v2/server"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// manifests are the objects of the files in k8s/, read with the API's own types.
type manifests struct {
	dispatcher appsv1.StatefulSet
	replica    appsv1.Deployment
	autoscaler appsv1.Deployment
	account    corev1.ServiceAccount
	role       rbacv1.Role
	binding    rbacv1.RoleBinding
	hpa        autoscalingv2.HorizontalPodAutoscaler
	budget     policyv1.PodDisruptionBudget
	services   map[string]corev1.Service
}

// readManifests reads strictly: unknown or doubled fields, kinds and API versions are errors.
func readManifests(t *testing.T) *manifests {
	t.Helper()
	m := &manifests{services: make(map[string]corev1.Service)}
	for _, name := range []string{"dispatcher.yaml", "deployment.yaml", "autoscaler.yaml", "hpa.yaml"} {
		data, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", name))
		if err != nil {
			t.Fatal(err)
		}
		for i, document := range strings.Split(string(data), "\n---\n") {
			if err := m.read([]byte(document)); err != nil {
				t.Fatalf("%s, document %d: %v", name, i+1, err)
			}
		}
	}
	return m
}

func (m *manifests) read(document []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Service":
		var s corev1.Service
		err := yaml.UnmarshalStrict(document, &s)
		m.services[s.Name] = s
		return err
	case "apps/v1 StatefulSet":
		return yaml.UnmarshalStrict(document, &m.dispatcher)
	case "apps/v1 Deployment":
		var d appsv1.Deployment
		err := yaml.UnmarshalStrict(document, &d)
		if d.Name == "autoscaler" {
			m.autoscaler = d
		} else {
			m.replica = d
		}
		return err
	case "v1 ServiceAccount":
		return yaml.UnmarshalStrict(document, &m.account)
	case "rbac.authorization.k8s.io/v1 Role":
		return yaml.UnmarshalStrict(document, &m.role)
	case "rbac.authorization.k8s.io/v1 RoleBinding":
		return yaml.UnmarshalStrict(document, &m.binding)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return yaml.UnmarshalStrict(document, &m.hpa)
	case "policy/v1 PodDisruptionBudget":
		return yaml.UnmarshalStrict(document, &m.budget)
	}
	return fmt.Errorf("unexpected %s %s", kind.APIVersion, kind.Kind)
}

// TestManifestsHoldTheContract holds the names, labels, ports and counts that users know.
func TestManifestsHoldTheContract(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	if got := m.replica; got.Name != "resnet18-app" || *got.Spec.Replicas != 3 || got.Spec.Template.Labels["app"] != "resnet18-app" {
		t.Errorf("Deployment %s of %d replicas labelled %v, want resnet18-app, 3, app: resnet18-app",
			got.Name, *got.Spec.Replicas, got.Spec.Template.Labels)
	}
	for container, image := range map[*corev1.Container]string{
		&m.replica.Spec.Template.Spec.Containers[0]:    "resnet18-app:latest",
		&m.dispatcher.Spec.Template.Spec.Containers[0]: "dispatcher:latest",
		&m.autoscaler.Spec.Template.Spec.Containers[0]: "dispatcher:latest",
	} {
		// With minikube image load there is no registry to pull from, which :latest alone would do.
		if container.Image != image || container.ImagePullPolicy != corev1.PullIfNotPresent {
			t.Errorf("image %s, %s, want %s, IfNotPresent", container.Image, container.ImagePullPolicy, image)
		}
	}
	for name, port := range map[string]int32{"dispatcher-service": 8080, "resnet18-service": 5000, "resnet18-replicas": 5000} {
		if s := m.services[name]; len(s.Spec.Ports) != 1 || s.Spec.Ports[0].Port != port {
			t.Errorf("Service %s has ports %+v, want %d", name, s.Spec.Ports, port)
		}
	}
	if ref := m.hpa.Spec.ScaleTargetRef; ref.Name != m.replica.Name || ref.Kind != "Deployment" || ref.APIVersion != "apps/v1" {
		t.Errorf("HPA scales %+v, want the Deployment %s", ref, m.replica.Name)
	}
}

// TestManifestsFitTogether checks that selectors select, names lead somewhere, and times leave room for what
// they must hold.
func TestManifestsFitTogether(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	pods := map[string]corev1.PodTemplateSpec{"dispatcher": m.dispatcher.Spec.Template, "resnet18-app": m.replica.Spec.Template,
		"autoscaler": m.autoscaler.Spec.Template}
	for name, s := range m.services {
		pod, ok := pods[s.Spec.Selector["app"]]
		if !ok || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("Service %s selects %v, which is no pod", name, s.Spec.Selector)
			continue
		}
		if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
			return p.Name == s.Spec.Ports[0].TargetPort.StrVal && p.ContainerPort == s.Spec.Ports[0].Port
		}) {
			t.Errorf("Service %s leads to port %v of %+v", name, s.Spec.Ports[0].TargetPort, pod.Spec.Containers[0].Ports)
		}
	}
	for name, selector := range map[string]*metav1.LabelSelector{"dispatcher": m.dispatcher.Spec.Selector,
		"resnet18-app": m.replica.Spec.Selector, "autoscaler": m.autoscaler.Spec.Selector, "PodDisruptionBudget": m.budget.Spec.Selector} {
		pod := pods[selector.MatchLabels["app"]]
		if s, err := metav1.LabelSelectorAsSelector(selector); err != nil || s.Empty() || !s.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s selects %v, which is no pod", name, selector)
		}
	}
	if _, ok := m.services[m.dispatcher.Spec.ServiceName]; !ok {
		t.Errorf("StatefulSet names the Service %q, which is not there", m.dispatcher.Spec.ServiceName)
	}

	var dispatcher dispatcherCmd
	parseContainer(t, "dispatcher", m.dispatcher.Spec.Template.Spec.Containers[0], &dispatcher)
	name, ok := strings.CutPrefix(dispatcher.Endpoints[0], "dns+http://")
	host, port, err := net.SplitHostPort(name)
	if s := m.services[host]; !ok || err != nil || s.Spec.ClusterIP != corev1.ClusterIPNone || fmt.Sprint(s.Spec.Ports[0].Port) != port {
		t.Errorf("endpoints %v, want dns+http:// and a headless Service with its port", dispatcher.Endpoints)
	}
	if !m.services[host].Spec.PublishNotReadyAddresses {
		t.Errorf("Service %s has no pods that are not ready: dispatchers lose a replica when it is evicted, and find the next one late", host)
	}
	if mount := m.dispatcher.Spec.Template.Spec.Containers[0].VolumeMounts[0]; mount.MountPath != dispatcher.DataDir ||
		mount.Name != m.dispatcher.Spec.VolumeClaimTemplates[0].Name {
		t.Errorf("data folder %s, mounted %+v", dispatcher.DataDir, mount)
	}
	if grace := graceOf(m.dispatcher.Spec.Template); grace <= dispatcher.DrainTimeout {
		t.Errorf("dispatcher is killed after %s and drains for %s", grace, dispatcher.DrainTimeout)
	}
	sleep := time.Duration(m.replica.Spec.Template.Spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if grace := graceOf(m.replica.Spec.Template); grace <= sleep+25*time.Second { // httpx.Server's ShutdownTimeout
		t.Errorf("replica is killed after %s; it waits %s and drains for 25 s", grace, sleep)
	}
}

// TestAutoscalersManifestNamesWhatIsThere checks that the autoscaler's options, and the objects that its role
// lets it touch, are those of the other manifests and of the code. That the role is enough is tested on a real
// API server (test/kubernetes).
func TestAutoscalersManifestNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	var a autoscalerRunCmd
	c := m.autoscaler.Spec.Template.Spec.Containers[0]
	parseContainer(t, "autoscaler", c, &a)
	if want := fmt.Sprintf(":%d", c.Ports[0].ContainerPort); a.Addr != want {
		t.Errorf("listens on %s, its port is %s", a.Addr, want)
	}
	service, ok := strings.CutPrefix(a.Dispatchers[0], "http://")
	host, port, err := net.SplitHostPort(service)
	if s := m.services[host]; !ok || err != nil || len(s.Spec.Ports) != 1 || fmt.Sprint(s.Spec.Ports[0].Port) != port {
		t.Errorf("asks %v, want a Service with its port", a.Dispatchers)
	}
	if a.Deployment != m.replica.Name {
		t.Errorf("scales %q, want %q", a.Deployment, m.replica.Name)
	}
	for _, rule := range m.role.Rules {
		for resource, name := range map[string]string{"deployments/scale": m.replica.Name, "leases": m.replica.Name + "-autoscaler"} {
			// What is created has no name to go by.
			if slices.Contains(rule.Resources, resource) && !slices.Contains(rule.Verbs, "create") && !slices.Equal(rule.ResourceNames, []string{name}) {
				t.Errorf("the role allows %v of %s named %v, want %s alone", rule.Verbs, resource, rule.ResourceNames, name)
			}
		}
		if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Resources, "*") {
			t.Errorf("the role allows more than is needed: %+v", rule)
		}
	}
	if m.binding.RoleRef.Name != m.role.Name || m.binding.Subjects[0].Name != m.account.Name ||
		m.autoscaler.Spec.Template.Spec.ServiceAccountName != m.account.Name {
		t.Errorf("binding %+v does not join the role %s and the pods' account %s", m.binding, m.role.Name, m.account.Name)
	}
}

// TestKEDAsManifestFitsTogether checks that KEDA is sent to where the policy answers, within its bounds, and that its
// HorizontalPodAutoscaler is set up as in the simulator: replicas are not limited to twice as many.
func TestKEDAsManifestFitsTogether(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", "keda.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(data), "\n---\n")
	read := func(i int, object any) {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), object); err != nil {
			t.Fatalf("document %d: %v", i+1, err)
		}
	}
	var service corev1.Service
	var policy appsv1.Deployment
	var scaled struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta
		Spec            struct {
			ScaleTargetRef                   struct{ Name string }
			MinReplicaCount, MaxReplicaCount int
			Advanced                         struct {
				HorizontalPodAutoscalerConfig struct {
					Behavior autoscalingv2.HorizontalPodAutoscalerBehavior
				}
			}
			Triggers []struct {
				Type     string
				Metadata struct{ ScalerAddress string }
			}
		}
	}
	read(3, &service)
	read(4, &policy)
	read(5, &scaled)
	var a autoscalerRunCmd
	parseContainer(t, "autoscaler", policy.Spec.Template.Spec.Containers[0], &a)
	if a.Deployment != scaled.Spec.ScaleTargetRef.Name || a.Min != scaled.Spec.MinReplicaCount || a.Max != scaled.Spec.MaxReplicaCount {
		t.Errorf("the policy advises %s, %d to %d; KEDA scales %s, %d to %d", a.Deployment, a.Min, a.Max,
			scaled.Spec.ScaleTargetRef.Name, scaled.Spec.MinReplicaCount, scaled.Spec.MaxReplicaCount)
	}
	port := service.Spec.Ports[0]
	if want := fmt.Sprintf("%s.default.svc:%d", service.Name, port.Port); scaled.Spec.Triggers[0].Metadata.ScalerAddress != want {
		t.Errorf("KEDA asks %s, want %s", scaled.Spec.Triggers[0].Metadata.ScalerAddress, want)
	}
	behavior := scaled.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior
	if up, down := behavior.ScaleUp, behavior.ScaleDown; len(up.Policies) != 1 || down.StabilizationWindowSeconds == nil || *down.StabilizationWindowSeconds != 0 ||
		up.Policies[0] != (autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 900, PeriodSeconds: 15}) {
		t.Errorf("behavior %+v", behavior)
	}
	if served := policy.Spec.Template.Spec.Containers[0].Ports[1]; port.TargetPort.StrVal != served.Name || a.KEDAAddr != fmt.Sprintf(":%d", served.ContainerPort) {
		t.Errorf("the Service leads to port %v, the policy listens on %s, its port is %+v", port.TargetPort, a.KEDAAddr, served)
	}
}

// TestModelsPatch checks that the patch for a folder of models fits the Deployment, mounts what its replica reads, and has room
// for it.
func TestModelsPatch(t *testing.T) {
	t.Parallel()
	read := func(name string, object any) {
		data, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", name))
		if err == nil {
			err = yaml.UnmarshalStrict(data, object)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	m := readManifests(t)
	var patch appsv1.Deployment
	var claim corev1.PersistentVolumeClaim
	read("models-patch.yaml", &patch)
	read("models-claim.yaml", &claim)
	pod, before := patch.Spec.Template.Spec, m.replica.Spec.Template.Spec
	if patch.Name != m.replica.Name || len(pod.Containers) != 1 || pod.Containers[0].Name != before.Containers[0].Name {
		t.Fatalf("patches %s: %+v; want the container of %s", patch.Name, pod.Containers, m.replica.Name)
	}
	pod.Containers[0] = patched(t, before.Containers[0], pod.Containers[0])
	c := pod.Containers[0]
	var r replicaCmd
	for i, e := range c.Env {
		if e.Name == "RESNET18_MODELS" { // the folder is not on this machine
			mounted(t, pod, e.Value, true)
			c.Env[i].Value = t.TempDir()
		}
		if e.Name == "RESNET18_CANARY_STATE" {
			mounted(t, pod, e.Value, false)
		}
	}
	parseContainer(t, "replica", c, &r)
	if err := r.modelsFlags.check(r.Model, r.describeFlags); err != nil || r.Canary == 0 || r.CanaryState == "" || r.Models == "" {
		t.Errorf("options %+v: %v", r.modelsFlags, err)
	}
	if i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }); i < 0 ||
		pod.Volumes[i].PersistentVolumeClaim.ClaimName != claim.Name {
		t.Errorf("volumes %+v, want the claim %s", pod.Volumes, claim.Name)
	}
	// The models beside the first, and a new version.
	const each = 130e6
	want := before.Containers[0].Resources.Limits.Memory().Value() + int64(r.MaxModels)*each
	if limit := c.Resources.Limits.Memory().Value(); limit < want || c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("limits %v, want at least %d bytes of memory and the CPUs of before", c.Resources.Limits, want)
	}
}

// patched is a container after a strategic merge, which adds to lists. It is an error if the patch has fields that this does not
// merge, or replaces what is there.
func patched(t *testing.T, c, patch corev1.Container) corev1.Container {
	t.Helper()
	rest := patch
	rest.Name, rest.Env, rest.VolumeMounts, rest.Resources = "", nil, nil, corev1.ResourceRequirements{}
	if !reflect.DeepEqual(rest, corev1.Container{}) {
		t.Errorf("the patch also has %+v", rest)
	}
	for _, e := range patch.Env {
		if slices.ContainsFunc(c.Env, func(old corev1.EnvVar) bool { return old.Name == e.Name }) {
			t.Errorf("the patch replaces %s", e.Name)
		}
	}
	c.Env = append(slices.Clone(c.Env), patch.Env...)
	c.VolumeMounts = append(slices.Clone(c.VolumeMounts), patch.VolumeMounts...)
	resources := c.Resources.DeepCopy()
	maps.Copy(resources.Requests, patch.Resources.Requests)
	maps.Copy(resources.Limits, patch.Resources.Limits)
	c.Resources = *resources
	return c
}

// mounted checks that a folder is a volume of the pod.
func mounted(t *testing.T, pod corev1.PodSpec, path string, readOnly bool) {
	t.Helper()
	for _, mount := range pod.Containers[0].VolumeMounts {
		if mount.MountPath == path && mount.ReadOnly == readOnly && slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
			return
		}
	}
	t.Errorf("%s is not among the volumes that are mounted, %+v", path, pod.Containers[0].VolumeMounts)
}

func graceOf(pod corev1.PodTemplateSpec) time.Duration {
	return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
}

// parseContainer gives a container's arguments and environment to our own command line, whose defaults are
// then in cmd too.
func parseContainer(t *testing.T, command string, container corev1.Container, cmd any) {
	t.Helper()
	if len(container.Args) == 0 || container.Args[0] != command {
		t.Fatalf("container %s runs %v, want %s", container.Name, container.Args, command)
	}
	args := slices.Clone(container.Args[1:])
	parser, err := kong.New(cmd, modelVars(), policyVars())
	if err != nil {
		t.Fatal(err)
	}
	flagOf := make(map[string]string)
	for _, flag := range parser.Model.AllFlags(true)[0] {
		for _, env := range flag.Envs {
			flagOf[env] = flag.Name
		}
	}
	for _, e := range container.Env {
		flag, ok := flagOf[e.Name]
		if ok {
			args = append(args, "--"+flag+"="+e.Value)
		} else if strings.HasPrefix(e.Name, "RESNET18_") {
			t.Errorf("container %s sets %s, which %s does not know", container.Name, e.Name, command)
		}
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatalf("container %s: %s %v: %v", container.Name, command, args, err)
	}
}

// TestManifestsAgreeWithDefaults checks that containers listen where their ports are, on the addresses that
// the code has by default.
func TestManifestsAgreeWithDefaults(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	var d dispatcherCmd
	var r replicaCmd
	parseContainer(t, "dispatcher", m.dispatcher.Spec.Template.Spec.Containers[0], &d)
	parseContainer(t, "replica", m.replica.Spec.Template.Spec.Containers[0], &r)
	for addr, c := range map[string]corev1.Container{
		d.Addr: m.dispatcher.Spec.Template.Spec.Containers[0], r.Addr: m.replica.Spec.Template.Spec.Containers[0],
	} {
		if want := fmt.Sprintf(":%d", c.Ports[0].ContainerPort); addr != want {
			t.Errorf("%s listens on %s, its port is %s", c.Name, addr, want)
		}
		memory, err := goMemoryLimit(c)
		if limit := c.Resources.Limits.Memory().Value(); err != nil || memory >= limit || memory < limit*8/10 {
			t.Errorf("%s: GOMEMLIMIT %d, %v, want somewhat less than the limit, %d", c.Name, memory, err, limit)
		}
	}
	// What uploads, and images at replicas, can take must fit beside the rest.
	for name, upload := range map[string]struct {
		most int64
		c    corev1.Container
	}{
		"dispatcher": {d.MaxUploadBytes + d.MaxWorkingBytes, m.dispatcher.Spec.Template.Spec.Containers[0]},
		"replica":    {r.MaxUploadBytes, m.replica.Spec.Template.Spec.Containers[0]},
	} {
		if limit := upload.c.Resources.Limits.Memory(); upload.most > limit.Value()/2 {
			t.Errorf("%s: uploads can take %d MiB of %s", name, upload.most>>20, limit)
		}
	}
}

func goMemoryLimit(c corev1.Container) (int64, error) {
	for _, e := range c.Env {
		if text, ok := strings.CutSuffix(e.Value, "MiB"); ok && e.Name == "GOMEMLIMIT" {
			mib, err := strconv.ParseInt(text, 10, 64)
			return mib << 20, err
		}
	}
	return 0, fmt.Errorf("no GOMEMLIMIT in MiB")
}

// TestManifestsAreRestricted holds the rules of Kubernetes' "restricted" pod security standard, a read-only
// file system, probes and resources.
func TestManifestsAreRestricted(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	for _, pod := range []corev1.PodSpec{m.dispatcher.Spec.Template.Spec, m.replica.Spec.Template.Spec, m.autoscaler.Spec.Template.Spec} {
		c := pod.Containers[0]
		s := pod.SecurityContext
		if s == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: pod security context %+v", c.Name, s)
		}
		if s := c.SecurityContext; s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
			!slices.Contains(s.Capabilities.Drop, "ALL") {
			t.Errorf("%s: security context %+v", c.Name, s)
		}
		for kind, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			if kind == "startup" && c.Name == m.replica.Name {
				continue // the pod is ready earlier without
			}
			if probe == nil || probe.HTTPGet == nil || !strings.HasPrefix(probe.HTTPGet.Path, "/health") || probe.HTTPGet.Port.StrVal != "http" {
				t.Errorf("%s: %s probe %+v", c.Name, kind, probe)
			}
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: resources %+v", c.Name, c.Resources)
		}
	}
	// A replica's workers are as many as its CPU limit allows.
	if m.replica.Spec.Template.Spec.Containers[0].Resources.Limits.Cpu().IsZero() {
		t.Error("the replica has no CPU limit: each would take all CPUs of its node")
	}
}

// TestProductionFitsNATS checks that dispatchers of the production overlay take its settings, and that its NATS servers have room
// for the largest image and for queue and results.
func TestProductionFitsNATS(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testutil.Root(t), "k8s", "overlays", "production")
	data, err := os.ReadFile(filepath.Join(dir, "dispatcher.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	document, _, _ := strings.Cut(string(data), "\n---\n")
	if err := yaml.UnmarshalStrict([]byte(document), &deployment); err != nil {
		t.Fatal(err)
	}
	var d dispatcherCmd
	container := deployment.Spec.Template.Spec.Containers[0]
	container.Env = slices.DeleteFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "RESNET18_LOG_FORMAT" }) // of all commands
	parseContainer(t, "dispatcher", container, &d)
	if grace := graceOf(deployment.Spec.Template); grace <= d.DrainTimeout {
		t.Errorf("dispatcher is killed after %s and drains for %s", grace, d.DrainTimeout)
	}
	text, err := os.ReadFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	// The variables are of the pod's environment.
	text = []byte(strings.NewReplacer("$SERVER_NAME", "nats-0", "$NATS_QUOTED_PASSWORD", `"secret"`).Replace(string(text)))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := natsserver.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if least := d.MaxImageBytes + 64<<10; int64(config.MaxPayload) < least {
		t.Errorf("NATS takes messages of %d bytes, images and their headers need %d", config.MaxPayload, least)
	}
	if least := (d.QueueBytes + d.ResultsBytes) * 5 / 4; !config.JetStream || config.JetStreamMaxStore < least || config.StoreDir != "/data" {
		t.Errorf("JetStream %t in %s with %d bytes, want /data and %d", config.JetStream, config.StoreDir, config.JetStreamMaxStore, least)
	}
	if len(config.Routes) != d.NATSReplicas {
		t.Errorf("%d servers, and each image is stored by %d", len(config.Routes), d.NATSReplicas)
	}
}
