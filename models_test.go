package resnet18cloud_test

import (
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestModelStatus(t *testing.T) {
	t.Parallel()
	s := resnet18cloud.ModelStatus{Name: "trash", Version: "2", Hash: "0123456789ab"}
	for version, want := range map[string]bool{
		"2": true, "01234567": true, "012345678": true, "0123456789ab": true,
		"0123456": false, "": false, "1": false, "12345678": false, "0123456789abc": false,
	} {
		if got := s.Is(version); got != want {
			t.Errorf("version %q: %t", version, got)
		}
	}
	loaded := map[resnet18cloud.ModelState]bool{resnet18cloud.ModelServing: true, resnet18cloud.ModelCanary: true, resnet18cloud.ModelLoaded: true}
	for _, state := range resnet18cloud.ModelStates() {
		if s.State = state; s.Loaded() != loaded[state] {
			t.Errorf("%s: loaded %t", state, s.Loaded())
		}
	}
}
