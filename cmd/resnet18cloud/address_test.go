package main

import (
	"slices"
	"strings"
	"testing"
)

// TestAsURL checks which addresses become URLs.
func TestAsURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"127.0.0.1:5000": "http://127.0.0.1:5000", "localhost:80/x": "http://localhost:80/x", ":8080": "http://127.0.0.1:8080",
		"https://a": "https://a", "dns+http://a:1": "dns+http://a:1", "here": "here", "": "", "a:b": "a:b",
	} {
		if got := asURL(text, "http://"); got != want {
			t.Errorf("asURL(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestAddresses checks that every option that is an address is completed, from wherever it comes.
func TestAddresses(t *testing.T) {
	var c cli
	parse := func(args string) {
		t.Helper()
		c = cli{}
		parser, err := newParser(&c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(strings.Fields(args)); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
	}
	parse("dispatcher --endpoints a:1,dns+http://b:2 --endpoints :3 --autoscaler c:8000 --nats d:4222,nats://e:4222")
	if d := c.Dispatcher; !slices.Equal(d.Endpoints, []string{"http://a:1", "dns+http://b:2", "http://127.0.0.1:3"}) ||
		d.Autoscaler != "http://c:8000" || d.NATS != "nats://d:4222,nats://e:4222" {
		t.Errorf("dispatcher: %q, %q, %q", d.Endpoints, d.Autoscaler, d.NATS)
	}
	t.Setenv("RESNET18_STATUS_URL", "a:8080")
	t.Setenv("RESNET18_ADMIN_ADDR", "") // as in a manifest that leaves it open
	t.Setenv("RESNET18_NATS", "")
	parse("status")
	if c.Status.URL != "http://a:8080" {
		t.Errorf("status: %q", c.Status.URL)
	}
	parse("status b:1")
	if c.Status.URL != "http://b:1" {
		t.Errorf("status b:1: %q", c.Status.URL)
	}
	parse("scale 2 b:1")
	if c.Scale.URL != "http://b:1" {
		t.Errorf("scale 2 b:1: %q", c.Scale.URL)
	}
	parse("autoscaler explain b:1")
	if c.Autoscaler.Explain.URL != "http://b:1" {
		t.Errorf("autoscaler explain b:1: %q", c.Autoscaler.Explain.URL)
	}
	parse("loadtest b:1")
	if c.Loadtest.Replay.URL != "http://b:1" {
		t.Errorf("loadtest b:1: %q", c.Loadtest.Replay.URL)
	}
	parse("dispatcher")
	if d := c.Dispatcher; d.AdminAddr != "" || d.NATS != "" || !slices.Equal(d.Endpoints, []string{"http://127.0.0.1:5000"}) {
		t.Errorf("dispatcher: %q, %q, %q", d.AdminAddr, d.NATS, d.Endpoints)
	}
	parse("model pull --mirror a:80 --hf-endpoint b:80")
	if p := c.Model.Pull; p.Mirror != "http://a:80" || p.HubEndpoint != "http://b:80" {
		t.Errorf("model pull: %q, %q", p.Mirror, p.HubEndpoint)
	}
	parse("model pull --mirror a/b")
	if p := c.Model.Pull; p.Mirror != "a/b" {
		t.Errorf("model pull: %q", p.Mirror)
	}
	parse("doctor --mirror a:80 --nats b:1 --addr :http")
	if d := c.Doctor; d.Mirror != "http://a:80" || d.NATS != "nats://b:1" || d.Addr != ":http" {
		t.Errorf("doctor: %q, %q, %q", d.Mirror, d.NATS, d.Addr)
	}
	parse("autoscaler --addr - --dispatchers a:1")
	if a := c.Autoscaler.Watch; a.Addr != "-" || !slices.Equal(a.Dispatchers, []string{"http://a:1"}) {
		t.Errorf("autoscaler: %q, %q", a.Addr, a.Dispatchers)
	}
}
