package natsconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DefaultPrefix is what streams and subjects are named after unless a user says otherwise.
const DefaultPrefix = "resnet18"

// CheckPrefix explains what is wrong with a prefix. Upper case is not allowed, because stream names are the
// prefix in upper case, and two installations must not meet in one.
func CheckPrefix(prefix string) error {
	bad := strings.IndexFunc(prefix, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if prefix == "" || len(prefix) > 32 || bad >= 0 {
		return fmt.Errorf("NATS prefix %q: want 1 to 32 lower-case letters, digits, - and _", prefix)
	}
	return nil
}

// StreamPolicy says what may be done to a stream that exists.
type StreamPolicy struct {
	// Exclusive says that nobody else uses the stream, so its settings simply become ours.
	Exclusive bool
	// UseExisting keeps us from making and changing streams: somebody else does.
	UseExisting bool
	// Settings name the user's options behind the limits, for errors.
	Settings Settings
}

// Settings are names of options, such as --queue-bytes.
type Settings struct {
	Replicas, Bytes, Messages, Age string
	// OwnMessages are those that a stream must hold beyond the number that the option says.
	OwnMessages int64
}

// EnsureStream returns the stream that want describes. It makes the stream if it is missing, and raises the
// limits of one that has lower ones. A stream with higher limits, which another process has set, is never
// lowered: that is an error marked with [ErrPermanent] that names both settings.
func EnsureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, policy StreamPolicy) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && policy.UseExisting:
		return nil, fmt.Errorf("stream %s does not exist, and --nats-use-existing forbids creating it: waiting until somebody else does", want.Name)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		// Of two that make it at the same time one finds it there.
		if stream, err = js.CreateStream(ctx, want); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	merged, changed, err := mergeStream(stream.CachedInfo().Config, want, policy)
	if err != nil {
		return nil, err
	}
	if changed {
		if stream, err = js.UpdateStream(ctx, merged); err != nil {
			return nil, fmt.Errorf("change stream %s: %w", want.Name, err)
		}
	}
	return stream, nil
}

// mergeStream decides what becomes of an existing stream. What is not ours to set, such as its placement,
// stays.
func mergeStream(have, want jetstream.StreamConfig, policy StreamPolicy) (merged jetstream.StreamConfig, changed bool, err error) {
	foreign := func(what string) error {
		return fmt.Errorf("%w: stream %s exists with another %s than ours: give this installation a prefix of its own", ErrPermanent, want.Name, what)
	}
	switch {
	case have.Retention != want.Retention:
		return have, false, foreign("retention")
	case policy.UseExisting && have.AllowDirect:
		return have, false, fmt.Errorf("%w: stream %s allows direct reads, which may miss what was just written: turn allow_direct off", ErrPermanent, want.Name)
	case policy.UseExisting && !covers(have.Subjects, want.Subjects):
		return have, false, foreign("list of subjects")
	case policy.UseExisting:
		return have, false, nil
	}
	merged = have
	if !policy.Exclusive {
		if err := refuseLower(have, want, policy.Settings); err != nil {
			return have, false, err
		}
	}
	merged.Subjects, merged.Discard, merged.AllowDirect = want.Subjects, want.Discard, want.AllowDirect
	merged.Replicas, merged.MaxBytes, merged.MaxMsgs, merged.MaxAge = want.Replicas, want.MaxBytes, want.MaxMsgs, want.MaxAge
	merged.MaxMsgsPerSubject, merged.Duplicates = want.MaxMsgsPerSubject, have.Duplicates
	if want.Duplicates > 0 {
		merged.Duplicates = want.Duplicates
	}
	if merged.MaxAge > 0 {
		merged.Duplicates = min(merged.Duplicates, merged.MaxAge)
	}
	changed = !covers(have.Subjects, want.Subjects) || have.Discard != merged.Discard || have.AllowDirect != merged.AllowDirect ||
		have.Replicas != merged.Replicas || have.MaxBytes != merged.MaxBytes || unlimited(have.MaxMsgs) != unlimited(merged.MaxMsgs) ||
		have.MaxAge != merged.MaxAge || unlimited(have.MaxMsgsPerSubject) != unlimited(merged.MaxMsgsPerSubject) || have.Duplicates != merged.Duplicates
	return merged, changed, nil
}

// covers reports whether all subjects are among those that a stream has.
func covers(have, want []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(have, s) })
}

// unlimited makes one of the two ways, 0 and -1, in which JetStream says that there is no limit.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

// refuseLower is an error when a limit of the existing stream is higher than the one we would set.
func refuseLower(have, want jetstream.StreamConfig, s Settings) error {
	lower := func(have, want int64) bool { // no limit is higher than any
		return want > 0 && (have <= 0 || want < have)
	}
	var problems []string
	say := func(what string, have, want any, option string) {
		problems = append(problems, fmt.Sprintf("it has %s %v, but %s asks for %v", what, have, option, want))
	}
	if want.Replicas < have.Replicas {
		say("replicas", have.Replicas, want.Replicas, s.Replicas)
	}
	if lower(have.MaxBytes, want.MaxBytes) {
		say("max_bytes", have.MaxBytes, want.MaxBytes, s.Bytes)
	}
	if lower(have.MaxMsgs, want.MaxMsgs) {
		what := "max_msgs"
		if s.OwnMessages > 0 && have.MaxMsgs > 0 {
			what = fmt.Sprintf("room for %d jobs, which is max_msgs", have.MaxMsgs-s.OwnMessages)
		}
		say(what, have.MaxMsgs, want.MaxMsgs-s.OwnMessages, s.Messages)
	}
	if lower(int64(have.MaxAge), int64(want.MaxAge)) {
		say("max_age", have.MaxAge.Round(time.Millisecond), want.MaxAge.Round(time.Millisecond), s.Age)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: stream %s exists with higher limits, which this process would lower for everybody who uses it: %s: "+
			"start with the same values, or lower the stream's first (nats stream edit %s)", ErrPermanent, want.Name, strings.Join(problems, "; "), want.Name)
	}
	return nil
}
