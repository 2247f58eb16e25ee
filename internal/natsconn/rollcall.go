package natsconn

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// rollCallTimeout is how long a server may take to greet. A server that is stopped accepts connections, as
// the kernel does that, and says nothing.
const rollCallTimeout = 700 * time.Millisecond

// RollCall asks every server that is known, by configuration or from other servers, whether it is there. It
// returns the ids of those that greet. It looks at the servers themselves, because those that have lost
// their majority notice that only after ten seconds. A server in this process is not asked.
func (c *Conn) RollCall(ctx context.Context) []string {
	if c.embedded != nil {
		return nil
	}
	conn, _ := c.current()
	hosts := map[string]struct{}{}
	for _, text := range append(conn.Servers(), strings.Split(c.cfg.URL, ",")...) {
		if host := hostPort(text); host != "" {
			hosts[host] = struct{}{}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rollCallTimeout)
	defer cancel()
	var mu sync.Mutex
	ids := map[string]struct{}{}
	var all sync.WaitGroup
	for host := range hosts {
		all.Go(func() {
			if id := greeting(ctx, host); id != "" {
				mu.Lock()
				defer mu.Unlock()
				ids[id] = struct{}{}
			}
		})
	}
	all.Wait()
	list := make([]string, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	return list
}

// hostPort is the address in a NATS URL.
func hostPort(text string) string {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "4222")
	}
	return u.Host
}

// greeting is the id of the server at host; empty when none answers before ctx ends. A server speaks first:
// "INFO {json}" (NATS client protocol).
func greeting(ctx context.Context, host string) string {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetReadDeadline(deadline) != nil {
		return ""
	}
	line, err := bufio.NewReaderSize(conn, 64<<10).ReadSlice('\n')
	if err != nil {
		return ""
	}
	var info struct {
		ServerID string `json:"server_id"`
	}
	text, isInfo := strings.CutPrefix(string(line), "INFO ")
	if !isInfo || json.Unmarshal([]byte(text), &info) != nil {
		return ""
	}
	return info.ServerID
}
