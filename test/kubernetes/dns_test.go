//go:build kubernetes

package kubernetes

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// serveDNS answers like a cluster's name server, from the Services and the EndpointSlices that the controller manager writes,
// until the end of the test.
func (c *cluster) serveDNS(t *testing.T, address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", net.JoinHostPort(address, "53"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	ctx := context.WithoutCancel(t.Context())
	go func() {
		defer close(done)
		question := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(question)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error("name server:", err)
				return
			}
			if answer, err := c.answer(ctx, question[:n]); err != nil {
				t.Error("name server:", err)
			} else if _, err := conn.WriteTo(answer, from); err != nil {
				t.Log("name server:", err)
			}
		}
	}()
}

func (c *cluster) answer(ctx context.Context, packet []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	addresses, err := c.resolve(ctx, q.Name.String())
	switch {
	case apierrors.IsNotFound(err):
		m.RCode = dnsmessage.RCodeNameError
	case err != nil:
		m.RCode = dnsmessage.RCodeServerFailure
	}
	for _, address := range addresses {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5},
				Body:   &dnsmessage.AResource{A: address.As4()}})
		}
	}
	return m.Pack()
}

// resolve returns the addresses of SERVICE.NAMESPACE.svc.cluster.local, or of HOST.SERVICE.NAMESPACE.svc.cluster.local.
func (c *cluster) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	unknown := apierrors.NewNotFound(schema.GroupResource{Resource: "names"}, name)
	name, ok := strings.CutSuffix(strings.ToLower(name), ".svc.cluster.local.")
	parts := strings.Split(name, ".")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return nil, unknown
	}
	host, parts := strings.Join(parts[:len(parts)-2], ""), parts[len(parts)-2:]
	in := c.in(parts[1])
	service, err := get[corev1.Service](ctx, in, "Service", parts[0])
	if err != nil {
		return nil, err
	}
	// The stand-in for a node has no kube-proxy, which would make the Service's own address lead to its endpoints.
	if address, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil && len(c.nodes) > 0 && host == "" {
		return []netip.Addr{address}, nil
	}
	addresses, err := in.readyAddresses(ctx, service.Name, host)
	if err == nil && host != "" && len(addresses) == 0 {
		err = unknown
	}
	return addresses, err
}

// readyAddresses returns the addresses that the controller manager has found for the Service, or for one host of it.
func (c *cluster) readyAddresses(ctx context.Context, service, host string) ([]netip.Addr, error) {
	slices, err := list[discoveryv1.EndpointSlice](ctx, c, "EndpointSlice", discoveryv1.LabelServiceName+"="+service)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			if !ready || host != "" && (endpoint.Hostname == nil || *endpoint.Hostname != host) {
				continue
			}
			address, err := netip.ParseAddr(endpoint.Addresses[0])
			if err != nil {
				return nil, err
			}
			found = append(found, address)
		}
	}
	return found, nil
}
