package engine

import (
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// TestOrient checks that pictures are rotated if the user or the model asks for it.
func TestOrient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ user, model, want bool }{
		{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true},
	} {
		set := &weights.Set{Spec: spec.ImageNet()}
		set.Spec.Preprocess.Orient = test.model
		if got := (Config{Orient: test.user, Weights: set}).decodeOptions().Orient; got != test.want {
			t.Errorf("user %v, model %v: %v, want %v", test.user, test.model, got, test.want)
		}
	}
	if (Config{}).decodeOptions().Orient {
		t.Error("random weights: rotated, want as stored")
	}
}

// TestOrientIsPartOfTheIdentity checks that answers to rotated pictures are not taken for others, for example by a cache, whoever
// asks for rotation.
func TestOrientIsPartOfTheIdentity(t *testing.T) {
	t.Parallel()
	identity := func(user, model bool) string {
		set := &weights.Set{Spec: spec.ImageNet(), SHA256: strings.Repeat("ab", 32)}
		set.Spec.Preprocess.Orient = model
		i, err := Config{Orient: user, Weights: set}.info()
		if err != nil {
			t.Fatal(err)
		}
		if want := i.Name + "@" + i.Version[:8]; i.Weights != want {
			t.Errorf("identity %s, want %s", i.Weights, want)
		}
		return i.Weights
	}
	stored, turned := identity(false, false), identity(true, false)
	if stored == turned || stored != "@abababab" {
		t.Errorf("as stored %s, rotated %s: want the file's hash, and another one", stored, turned)
	}
	if a, b := identity(false, true), identity(true, true); a != b {
		t.Errorf("the model rotates, the user asks for it or not: %s and %s, want the same", a, b)
	}
}
