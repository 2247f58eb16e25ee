package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestPercent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]percent{"5%": 0.05, "0.05": 0.05, "0": 0, "100%": 1, "1": 1, "0.5%": 0.005} {
		var p, again percent
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%s: %g, %v; want %g", text, p, err, want)
		}
		if err := again.UnmarshalText([]byte(p.String())); err != nil || again != p {
			t.Errorf("%s is written %s", text, p)
		}
	}
	for _, text := range []string{"", "%", "101%", "5", "-1%", "NaN", "x"} {
		if err := new(percent).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a share", text)
		}
	}
}

// TestModelsFlags checks that up passes the options on, and which ones do not go together.
func TestModelsFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parse := func(args []string) (f struct{ modelsFlags }) {
		parser, err := kong.New(&f, modelVars())
		if err == nil {
			_, err = parser.Parse(args)
		}
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := parse([]string{"--models", dir, "--default-model", "a", "--canary", "5%", "--canary-live", "--max-models", "3", "--canary-state", dir + "/state"}).modelsFlags
	if f.Canary != 0.05 || f.CanaryState != dir+"/state" || f.CanaryAgreement != 0.9 || !f.CanaryLive || f.MaxModels != 3 {
		t.Errorf("parsed %+v", f)
	}
	if again := parse(f.args()).modelsFlags; again != f {
		t.Errorf("passed on: %+v, want %+v", again, f)
	}
	plain := parse([]string{"--models", dir}).modelsFlags
	if again := parse(plain.args()).modelsFlags; again != plain {
		t.Errorf("passed on: %+v, want %+v", again, plain)
	}
	for want, test := range map[string]struct {
		modelsFlags
		file string
		describeFlags
	}{
		"":                            {modelsFlags: plain},
		"leave out --model":           {modelsFlags: plain, file: "x.pth"},
		"leave out --model, --labels": {modelsFlags: plain, describeFlags: describeFlags{Labels: "x"}},
		"add --models DIR":            {modelsFlags: modelsFlags{Canary: 0.1}},
	} {
		if err := test.check(test.file, test.describeFlags); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", test, err, want)
		}
	}
}

// TestModelsReplaceTheVariable checks that a folder of models may be given where the environment has a single model, as that of
// a container image does.
func TestModelsReplaceTheVariable(t *testing.T) {
	for _, value := range []string{"", "/model/resnet18.safetensors", "model.pth"} {
		t.Setenv("RESNET18_MODEL", value)
		for _, name := range []string{"replica", "up"} {
			if _, _, err := command(t, name, "--addr", "127.0.0.1:0", "--models", t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no models") {
				t.Errorf("%s with RESNET18_MODEL=%s: %v, want that it reads the folder", name, value, err)
			}
		}
	}
}

// TestRollbackFolder checks where rollbacks are remembered.
func TestRollbackFolder(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Log("for root no folder is read-only; a file in its place stands for one")
	}
	occupied := func(path string) string { // a folder cannot be made there
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain, readOnly, given := t.TempDir(), t.TempDir(), t.TempDir()+"/state"
	occupied(readOnly + "/.rolled-back")
	cached, err := cachedRollbacks(readOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flags      modelsFlags
		want, says string
	}{
		{modelsFlags{Models: plain}, "", ""},
		{modelsFlags{Models: plain, Canary: 1}, plain + "/.rolled-back", ""},
		{modelsFlags{Models: readOnly, Canary: 1}, cached, "for this machine alone"},
		{modelsFlags{Models: readOnly, Canary: 1, CanaryState: given}, given, ""},
	} {
		var log strings.Builder
		dir, err := test.flags.rollbacks(slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || dir != test.want || !strings.Contains(log.String(), test.says) || test.says == "" && log.Len() > 0 {
			t.Errorf("%+v: %s, %v, log %q; want %s", test.flags, dir, err, log.String(), test.want)
		}
		if info, err := os.Stat(dir); dir != "" && (err != nil || !info.IsDir()) {
			t.Errorf("%s is no folder: %v", dir, err)
		}
	}
	if _, err := (modelsFlags{Models: plain, Canary: 1, CanaryState: occupied(t.TempDir() + "/file")}).rollbacks(slog.Default()); err == nil {
		t.Error("no error for a state folder that is a file")
	}
}

// TestReplicaModels checks that a replica refuses to start with a folder that it cannot serve, and says why.
func TestReplicaModels(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func() error {
		return run(t.Context(), []string{"replica", "--addr", "127.0.0.1:0", "--models", dir}, io.Discard, io.Discard)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "has no models") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(dir+"/a.pth", []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "load models: no model of folder "+dir+" can be served: a.pth: not a weight file") {
		t.Errorf("a broken file: %v", err)
	}
}

// TestDefaultEngine checks that the default model describes itself also after its engine was closed, for late requests.
func TestDefaultEngine(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(testutil.Shared(t, "own", "checkpoints", "tv-6.pth.gz"))
	dir := t.TempDir()
	if err == nil {
		err = os.WriteFile(dir+"/a@1.pth.gz", data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCatalog(t.Context(), modelsFlags{Models: dir, MaxModels: 1}, engineFlags{}, nil, nil, &environment{log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if e := defaultEngine(c); e == nil || e.Info().Model.Classes != 6 || e.Spec().Preprocess.Crop != 224 {
		t.Errorf("after Close the default engine is %v", e)
	}
}

// TestRunBeside checks that what a server needs ends after it, and that errors of both are reported.
func TestRunBeside(t *testing.T) {
	t.Parallel()
	var order []string
	server, beside := errors.New("server"), errors.New("beside")
	ctx, cancel := context.WithCancel(t.Context())
	err := runBeside(ctx, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		order = append(order, "server")
		return server
	}, func(ctx context.Context) error {
		<-ctx.Done()
		order = append(order, "beside")
		return beside
	})
	if !errors.Is(err, server) || !errors.Is(err, beside) || !slices.Equal(order, []string{"server", "beside"}) {
		t.Errorf("%v in order %q", err, order)
	}
	if err := runBeside(ctx, func(context.Context) error { return server }, nil); !errors.Is(err, server) {
		t.Errorf("alone: %v", err)
	}
}
