// Package kube sets the number of replicas of a Kubernetes Deployment for an autoscaler, through the scale
// subresource. The idlest pods are removed first, and a Kubernetes Event has the reason. Of several autoscalers only
// the holder of a Lease writes. Every write is fenced, see [Deployment.SetReplicas].
package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// Config names a Deployment and its cluster. Name must be given; the rest is usable as zero.
type Config struct {
	// Name is the Deployment's.
	Name string
	// Namespace is the Deployment's. Empty means that of the kubeconfig or, in a pod, the pod's.
	Namespace string
	// Kubeconfig is a file. Empty means the one that kubectl uses or, in a pod, the service account.
	Kubeconfig string
	// Lease is the name of the Lease that elects the one autoscaler that writes. Empty means the
	// Deployment's name with "-autoscaler" behind it.
	Lease string
	// LeaseDuration is the time in whole seconds after which another autoscaler takes over from a leader that does
	// not renew its Lease. The leader renews it five times in that time. Zero means 10 s.
	LeaseDuration time.Duration
	// Identity is the name under which this process holds the Lease and writes Events; a random suffix makes it
	// unique. Empty means the host name, in a pod the pod's name.
	Identity string
	// Log receives changes of leadership and problems. Nil discards them.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Lease = cmp.Or(c.Lease, c.Name+"-autoscaler")
	c.LeaseDuration = cmp.Or(c.LeaseDuration, 10*time.Second)
	if c.Identity == "" {
		c.Identity, _ = os.Hostname() // the random suffix is enough
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Name == "":
		return errors.New("the name of the Deployment is missing")
	case c.LeaseDuration < time.Second || c.LeaseDuration%time.Second != 0:
		return fmt.Errorf("lease duration %s, want whole seconds, at least one", c.LeaseDuration)
	}
	return nil
}

// Deployment is one Deployment to scale. Make it with [Open] and Run it once; its methods are safe for
// concurrent use.
type Deployment struct {
	cfg      Config
	identity string
	client   dynamic.Interface
	lease    *lease

	mu      sync.Mutex
	order   []string             // guarded by mu: names of pods, the first to be removed first
	readyAt map[string]time.Time // guarded by mu: when each pod was first ready, by name
}

var (
	_ autoscale.Scaler         = (*Deployment)(nil)
	_ autoscale.RemovalOrderer = (*Deployment)(nil)
	_ autoscale.Gate           = (*Deployment)(nil)
)

// requestTimeout limits each request: a server that does not respond must not delay the next decision.
const requestTimeout = 5 * time.Second

// Open reads the configuration of the cluster's client. It sends nothing.
func Open(cfg Config) (*Deployment, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = cfg.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	restConfig, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster configured: this is not a pod, and there is no kubeconfig file")
	}
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	if cfg.Namespace == "" {
		if cfg.Namespace, _, err = loader.Namespace(); err != nil {
			return nil, fmt.Errorf("read kubeconfig: %w", err)
		}
	}
	// The default of 5 requests per second would make marking ten idle pods take two.
	restConfig.QPS, restConfig.Burst = 50, 100
	restConfig.Timeout = requestTimeout
	restConfig.UserAgent = rest.DefaultKubernetesUserAgent() + " resnet18cloud-autoscaler"
	client, err := dynamic.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", restConfig.Host, err)
	}
	return newDeployment(cfg, client)
}

func newDeployment(cfg Config, client dynamic.Interface) (*Deployment, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &Deployment{cfg: cfg, client: client, identity: cfg.Identity + "_" + uuid.NewString()[:8]}
	d.lease = &lease{client: d.resource(leases), name: cfg.Lease, identity: d.identity, duration: cfg.LeaseDuration, log: cfg.Log}
	return d, nil
}

// Run takes part in the election of the one autoscaler that writes, until ctx ends; then it releases the Lease, so
// that another does not have to wait until it expires. It fails with ErrOwned as soon as it finds that a
// HorizontalPodAutoscaler scales the Deployment.
func (d *Deployment) Run(ctx context.Context, lead func(bool)) error {
	if err := d.awaitNoOwner(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	d.lease.tell = lead
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.lease.run(ctx) })
	g.Go(func() error { return d.watchOwner(ctx) })
	return g.Wait()
}

// Leading returns whether this process may write now, and the holder of the Lease as far as it is known.
func (d *Deployment) Leading() (leading bool, holder string) { return d.lease.state(time.Now()) }

// Identity is the name under which this process holds the Lease.
func (d *Deployment) Identity() string { return d.identity }

// String is the name of the Deployment, with its namespace.
func (d *Deployment) String() string { return d.cfg.Namespace + "/" + d.cfg.Name }

// The resources that this package reads and writes.
var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	leases      = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	hpas        = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	events      = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
)

func (d *Deployment) resource(r schema.GroupVersionResource) dynamic.ResourceInterface {
	return d.client.Resource(r).Namespace(d.cfg.Namespace)
}
