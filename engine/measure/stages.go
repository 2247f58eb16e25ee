package measure

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
)

// Stages times the stages of an engine over image files, by the stage's name. Each file passes twice, and the second pass
// counts. The model may have no classes.
func Stages(ctx context.Context, e *engine.Engine, files []string) (map[string]Spread, error) {
	times := map[string][]time.Duration{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		image := resnet18cloud.Image{Name: file, Bytes: data}
		if _, _, err := e.Embed(ctx, image); err != nil { // warms the caches
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		_, t, err := e.Embed(ctx, image)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, s := range t.Stages() {
			times[s.Name] = append(times[s.Name], s.Duration)
		}
	}
	stages := map[string]Spread{}
	for name, t := range times {
		stages[name] = SpreadOf(t)
	}
	return stages, nil
}
