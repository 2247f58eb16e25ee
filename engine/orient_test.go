package engine

import (
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
