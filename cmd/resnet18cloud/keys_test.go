package main

import (
	"errors"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
)

// TestKeysCommands makes keys, and checks the file that consists of them.
func TestKeysCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	line, told, err := command(t, "keys", "new", "shop", "--rate", "2.5", "--in-flight", "100")
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`(?m)^r18_\S+$`).FindString(told)
	keys, err := access.Parse("", []byte(line))
	want := access.Client{Name: "shop", Scopes: access.Predict, Rate: 2.5, InFlight: 100}
	if err != nil || len(keys) != 1 || keys[0].Client != want || keys[0].Hash != access.HashOf(token) || strings.Contains(line, "r18_") {
		t.Errorf("keys new printed %q and %q, which is %v, %v", line, told, keys, err)
	}
	file := filepath.Join(dir, "ops.token")
	second, told, err := command(t, "keys", "new", "ops", "--scopes", "read,admin", "--token-file", file)
	if err != nil || told != "" {
		t.Fatalf("keys new --token-file printed %q, %v", told, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info, err)
	}
	token, err = access.ReadToken(file)
	if all, parseErr := access.Parse("", []byte(line+second)); err != nil || parseErr != nil || all[1].Hash != access.HashOf(token) {
		t.Errorf("the token in the file is not that of the line %q: %v, %v", second, err, parseErr)
	}
	path := filepath.Join(dir, "keys.txt")
	if err := os.WriteFile(path, []byte(line+second), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := command(t, "keys", "check", path)
	wantTable := "client  keys  scopes      images per second  in flight\nops     1     read,admin  -                  -\nshop    1     predict     2.5                100\n"
	if err != nil || out != wantTable {
		t.Errorf("keys check: %v\n%s\nwant\n%s", err, out, wantTable)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"name":              {[]string{"new", "a b"}, "a name must"},
		"scope":             {[]string{"new", "a", "--scopes", "write"}, "--scopes: scopes must be"},
		"rate below zero":   {[]string{"new", "a", "--rate=-1"}, "want 0 or more"},
		"rate too high":     {[]string{"new", "a", "--rate=1e9"}, "rate must"},
		"token file exists": {[]string{"new", "a", "--token-file", file}, "--token-file"},
		"no file":           {[]string{"check", filepath.Join(dir, "none")}, "none"},
		"not a keys file":   {[]string{"check", file}, file + ":1: "},
	} {
		_, _, err := command(t, append([]string{"keys"}, test.args...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestKeysOptions checks that servers refuse to start with keys or tokens that cannot be read.
func TestKeysOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	for _, args := range [][]string{
		{"dispatcher", "--addr", "127.0.0.1:0", "--data-dir", dir, "--keys", none},
		{"dispatcher", "--addr", "127.0.0.1:0", "--data-dir", dir, "--replica-token-file", none},
		{"replica", "--addr", "127.0.0.1:0", "--random-weights", "--keys", none},
		{"up", "--addr", "127.0.0.1:0", "--data-dir", dir, "--keys", none},
		{"loadtest", "--url", "http://127.0.0.1:1", "--images", pictures(t), "--token-file", none},
		{"autoscaler", "explain", "--token-file", none},
	} {
		_, _, err := command(t, args...)
		if err == nil || !strings.Contains(err.Error(), args[len(args)-2]+": ") || !strings.Contains(err.Error(), "none") {
			t.Errorf("%v: %v, want the option and the file", args, err)
		}
	}
}

// TestUpWithKeys runs the whole system with keys: clients need them, and the parts of the system have what they need.
func TestUpWithKeys(t *testing.T) {
	t.Parallel()
	greeting, stop := serve(t, regexp.MustCompile(`(?s)(is running at .*/decisions)`), "up", "--addr", "127.0.0.1:0", "--replica-port", "0",
		"--data-dir", t.TempDir(), "--autoscale", "1:1", "--autoscaler-addr", "127.0.0.1:0", "--keys", accesstest.File(t))
	if !strings.Contains(greeting, `curl -H "Authorization: Bearer $TOKEN"`) {
		t.Errorf("greeting without the header:\n%s", greeting)
	}
	addresses := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(greeting, -1)
	url, why := addresses[0], addresses[len(addresses)-1]
	dir := t.TempDir()
	tokens := map[string]string{}
	for _, name := range []string{accesstest.Shop, accesstest.Ops} {
		tokens[name] = filepath.Join(dir, name)
		if err := os.WriteFile(tokens[name], []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "a.jpg"))
	if err == nil {
		err = errors.Join(jpeg.Encode(f, image.NewGray(image.Rect(0, 0, 300, 200)), nil), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	load := []string{"--url", url, "--images", dir, "--schedule", "1"}
	if out, log, err := loadtest(t, load...); err == nil || !strings.Contains(out, "unauthorized") {
		t.Errorf("loadtest without a token: %v\n%s\n%s", err, out, log)
	}
	if out, log, err := loadtest(t, append(load, "--token-file", tokens[accesstest.Shop])...); err != nil {
		t.Errorf("loadtest with a token: %v\n%s\n%s", err, out, log)
	}
	if out, log, err := loadtest(t, append(load, "--header", "Authorization=Bearer shop", "--api", "sync")...); err != nil {
		t.Errorf("loadtest with a header: %v\n%s\n%s", err, out, log)
	}
	if _, _, err := command(t, "autoscaler", "explain", "--url", why); err == nil || !strings.Contains(err.Error(), "key is required") {
		t.Errorf("explain without a token: %v", err)
	}
	ops := accesstest.Client(accesstest.Ops, &http.Client{Transport: http.DefaultTransport})
	firstDecision(t, ops, why)
	if _, _, err := command(t, "autoscaler", "explain", "--url", why, "--token-file", tokens[accesstest.Ops]); err != nil {
		t.Errorf("explain with a token: %v", err)
	}
	api := &client.Client{BaseURL: url, Token: accesstest.Ops}
	if err := api.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Errorf("up: %v", err)
	}
}
