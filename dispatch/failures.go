package dispatch

import (
	"context"
	"log/slog"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// failureLines is how many failed requests of a code have a line of their own in each second. The others share one: images
// that no replica can decode cost a client nothing, and a line each would fill the disk.
const failureLines = 10

// failures logs requests that were accepted and have failed.
type failures struct {
	log   *slog.Logger
	count *logs.Tally[resnet18cloud.Code, int]
}

func newFailures(log *slog.Logger) *failures {
	return &failures{log, logs.NewTally[resnet18cloud.Code, int]()}
}

// add logs or counts a failed request. cause is the error behind its Failure, nil if there is none.
func (f *failures) add(ctx context.Context, r store.Record, cause error) {
	code, n := r.Failure.Code, 0
	f.count.Add(code, func(before int) int {
		n = before + 1
		return n
	})
	if n <= failureLines {
		f.log.Log(ctx, failureLevel(code), "request failed", "request_id", r.ID, "code", string(code), "error", cause)
	}
}

// run writes the lines for those that have none of their own, until ctx ends.
func (f *failures) run(ctx context.Context) {
	f.count.Run(ctx, func(code resnet18cloud.Code, n int) {
		if n > failureLines {
			f.log.Log(context.Background(), failureLevel(code), "more requests failed", "requests", n-failureLines, "code", string(code))
		}
	})
}

// failureLevel is the level of a failure's line: only what the client cannot have caused is a warning.
func failureLevel(code resnet18cloud.Code) slog.Level {
	if code == resnet18cloud.CodeLost {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
