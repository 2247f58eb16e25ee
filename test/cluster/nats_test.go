//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

const (
	servers  = 3
	user     = "dispatcher"
	password = "correct-horse-battery-staple" // must not appear in a log
)

// server is one NATS server.
type server struct {
	*harness.Process
	name, addr, monitor string
}

// natsCluster is a cluster of three NATS servers with JetStream.
type natsCluster struct {
	servers [servers]*server
	routes  [servers][servers]*harness.Proxy // from, to; nil without proxies
	admin   jetstream.JetStream              // of the test; set by start
}

// newNATS creates three servers without starting them. If proxied, each route goes through its own proxy, and no
// server advertises addresses that bypass the proxies.
func newNATS(t *testing.T, proxied bool, seed uint64) *natsCluster {
	t.Helper()
	program := harness.NATSServer(t)
	c := &natsCluster{}
	var routes [servers]string
	for i := range routes {
		routes[i] = harness.FreeAddr(t)
	}
	for i := range servers {
		s := &server{name: fmt.Sprint("nats", i), addr: harness.FreeAddr(t), monitor: harness.FreeAddr(t)}
		var to []string
		for j := range servers {
			if i == j {
				continue
			}
			addr := routes[j]
			if proxied {
				c.routes[i][j] = harness.NewProxy(t, addr, seed)
				addr = c.routes[i][j].Addr()
			}
			to = append(to, fmt.Sprintf("%q", "nats-route://"+addr))
		}
		config := filepath.Join(t.TempDir(), s.name+".conf")
		if err := os.WriteFile(config, []byte(s.config(t.TempDir(), routes[i], to, proxied)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Process = harness.NewProcess(t, s.name, func() *exec.Cmd { return exec.Command(program, "-c", config) })
		c.servers[i] = s
	}
	return c
}

// config returns a typical configuration. Servers find each other by gossip; behind proxies the advertised address
// has no listener, so that only the configured routes connect.
func (s *server) config(dir, route string, to []string, proxied bool) string {
	hidden := ""
	if proxied {
		hidden = `no_advertise: true, advertise: "127.0.0.1:1",`
	}
	return fmt.Sprintf(`server_name: %q
listen: %q
http: %q
max_payload: 11534336
authorization { user: %q, password: %q }
jetstream { store_dir: %q, max_file_store: 4GB }
cluster { name: "test", listen: %q, %s routes: [%s] }
`, s.name, s.addr, s.monitor, user, password, dir, route, hidden, strings.Join(to, ", "))
}

// start starts all servers and waits until they form a cluster.
func (c *natsCluster) start(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, s := range c.servers {
		if err := s.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.awaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(c.urls(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if c.admin, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
}

// awaitHealthy waits until every server reports healthy.
func (c *natsCluster) awaitHealthy(ctx context.Context) error {
	for _, s := range c.servers {
		if err := harness.AwaitOK(ctx, time.Minute, "http://"+s.monitor+"/healthz"); err != nil {
			return fmt.Errorf("%s is not healthy: %w", s.name, err)
		}
	}
	return nil
}

// url returns a server's URL, with user and password.
func url(addr string) string { return "nats://" + user + ":" + password + "@" + addr }

func (c *natsCluster) urls() string {
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, url(s.addr))
	}
	return strings.Join(urls, ",")
}

// stream returns the stream whose name contains the word, ignoring case.
func (c *natsCluster) stream(ctx context.Context, word string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		names := c.admin.StreamNames(ctx)
		for name := range names.Name() {
			if !strings.Contains(strings.ToLower(name), word) {
				continue
			}
			if s, err := c.admin.Stream(ctx, name); err == nil {
				return s.CachedInfo(), nil
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("find the stream of %s: %w", word, names.Err())
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

// configs returns the configurations of all streams, by name.
func (c *natsCluster) configs(ctx context.Context) (map[string]jetstream.StreamConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	configs := map[string]jetstream.StreamConfig{}
	list := c.admin.ListStreams(ctx)
	for info := range list.Info() {
		configs[info.Config.Name] = info.Config
	}
	return configs, list.Err()
}

// leader returns the index of the server that leads the stream of jobs or results.
func (c *natsCluster) leader(ctx context.Context, word string) (int, error) {
	var leader string
	err := harness.Await(ctx, 30*time.Second, func(ctx context.Context) error {
		info, err := c.stream(ctx, word)
		if err != nil {
			return err
		}
		if info.Cluster == nil || info.Cluster.Leader == "" {
			return fmt.Errorf("the stream of %s has no leader", word)
		}
		leader = info.Cluster.Leader
		return nil
	})
	if err != nil {
		return 0, err
	}
	return slices.IndexFunc(c.servers[:], func(s *server) bool { return s.name == leader }), nil
}

// cut holds all traffic between server k and the others until the returned function is called.
func (c *natsCluster) cut(k int, clients ...*harness.Proxy) (heal func()) {
	held := clients
	for j := range servers {
		if j != k {
			held = append(held, c.routes[k][j], c.routes[j][k])
		}
	}
	for _, p := range held {
		p.Hold()
	}
	return func() {
		for _, p := range held {
			p.Release()
		}
	}
}
