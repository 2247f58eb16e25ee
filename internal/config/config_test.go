package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/config"
)

type cli struct {
	Config kong.ConfigFlag
	Level  string `default:"info" env:"CONFIG_TEST_LEVEL"`
	Serve  struct {
		Addr string `default:":1"`
		Size int    `default:"1" env:"CONFIG_TEST_SIZE"`
	} `cmd:""`
	Pull struct {
		Addr string `default:":2"`
	} `cmd:""`
}

func parse(t *testing.T, yaml string, args ...string) (cli, error) {
	t.Helper()
	return parseBy(t, config.Load, yaml, args...)
}

func parseBy(t *testing.T, load kong.ConfigurationLoader, yaml string, args ...string) (cli, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var c cli
	parser, err := kong.New(&c, kong.Configuration(load))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"--config", path}, args...))
	return c, err
}

// TestStrength checks the order flag, environment, file, default. Not parallel: it sets variables.
func TestStrength(t *testing.T) {
	const file = "level: debug\nserve:\n  addr: \":7\"\n  size: 5\npull:\n  addr: \":8\"\n"
	c, err := parse(t, file, "serve")
	if err != nil {
		t.Fatal(err)
	}
	if c.Level != "debug" || c.Serve.Addr != ":7" || c.Serve.Size != 5 {
		t.Errorf("from file: got %+v", c)
	}
	t.Setenv("CONFIG_TEST_SIZE", "6")
	if c, _ = parse(t, file, "serve"); c.Serve.Size != 6 {
		t.Errorf("environment over file: got size %d, want 6", c.Serve.Size)
	}
	if c, _ = parse(t, file, "serve", "--size", "9"); c.Serve.Size != 9 {
		t.Errorf("flag over environment: got size %d, want 9", c.Serve.Size)
	}
	if c, _ = parse(t, file, "pull"); c.Pull.Addr != ":8" {
		t.Errorf("section of the command: got %q, want :8", c.Pull.Addr)
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"lvel: debug\n":        "lvel",
		"serve:\n  adr: x\n":   "adr",
		"sevre:\n  addr: x\n":  "sevre",
		"level: a\nlevel: b\n": "level",
		"level: [\n":           "read configuration",
	} {
		if _, err := parse(t, yaml, "serve"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%q) = %v, want an error with %q", yaml, err, want)
		}
	}
}

// TestSharedFile checks that what is meant for other programs is left alone, and that what is meant for this one is not.
func TestSharedFile(t *testing.T) {
	t.Parallel()
	c, err := parseBy(t, config.LoadShared, "level: debug\ncolour: red\nother:\n  addr: x\nserve:\n  size: 5\n", "serve")
	if err != nil || c.Level != "debug" || c.Serve.Size != 5 {
		t.Errorf("got %+v, %v; want level debug and size 5", c, err)
	}
	for _, yaml := range []string{"serve:\n  adr: x\n", "level: [\n"} {
		if _, err := parseBy(t, config.LoadShared, yaml, "serve"); err == nil {
			t.Errorf("%q was accepted", yaml)
		}
	}
}
