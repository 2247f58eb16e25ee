//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// TestDamage makes 20 images wait, kills the dispatcher, damages its data in one way, and starts it again. Each
// request must end within 10 s: completed, or failed as lost.
func TestDamage(t *testing.T) {
	for _, ending := range []string{".blk", "meta.inf", ".db"} {
		for _, way := range ways {
			t.Run(way+" "+ending, func(t *testing.T) { testDamage(t, ending, way) })
		}
	}
	t.Run("flip all", func(t *testing.T) { testDamage(t, "", "flip") })
}

func testDamage(t *testing.T, ending, way string) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := newSystem(t, false)
	work := s.backlog(ctx)
	client := harness.NewClient(4)
	defer client.Close()
	load := harness.Load{Seed: s.seed, Name: "damage"}
	labels := map[string]string{} // by ID
	for i := range 20 {
		image := fmt.Appendf(load.Image(i), " %d", i) // all images are different
		a := client.Submit(ctx, s.urls[0], image, "")
		if !a.Accepted() {
			t.Fatalf("image %d: %d %s", i, a.HTTPStatus, a.Message)
		}
		labels[a.RequestID] = harness.Label(image)
	}
	s.endBefore(ending)
	s.damageFiles(ending, way)
	work()
	s.up(s.dispatchers[0])
	ended := map[string]harness.Answer{}
	err := harness.Await(ctx, endLimit, func(ctx context.Context) error {
		s.restart(s.dispatchers[0])
		for id := range labels {
			if ended[id].Ended() {
				continue
			}
			if ended[id] = client.Result(ctx, s.urls[0], id, 0); !ended[id].Ended() {
				return fmt.Errorf("request %s: %d %q %v", id, ended[id].HTTPStatus, ended[id].Status, ended[id].Err)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("not all requests have an end: %v", err)
	}
	outcomes := map[string]int{}
	for id, label := range labels {
		switch end := client.Result(ctx, s.urls[0], id, 0); {
		case !end.Ended():
			outcomes[fmt.Sprintf("without an end: %d %s", end.HTTPStatus, end.Status)]++
		case end.Status == "completed" && end.Result.Predictions[0] != label:
			t.Errorf("request %s: label %s, want %s", id, end.Result.Predictions[0], label)
		case end.Status == "completed", end.Status == "failed" && end.Code == "lost":
			outcomes[end.Status+" "+end.Code]++
		default:
			t.Errorf("request %s: %s %s %q, want completed, or failed as lost", id, end.Status, end.Code, end.Message)
		}
	}
	t.Logf("of 20: %v", outcomes)
}
