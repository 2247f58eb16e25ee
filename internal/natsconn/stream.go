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

// DefaultPrefix is the default prefix of stream and subject names.
const DefaultPrefix = "resnet18"

// CheckPrefix returns an error if a prefix is invalid. Upper case is not allowed, because stream names use the prefix
// in upper case, and two installations must not share a stream by accident.
func CheckPrefix(prefix string) error {
	bad := strings.IndexFunc(prefix, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if prefix == "" || len(prefix) > 32 || bad >= 0 {
		return fmt.Errorf("NATS prefix %q: want 1 to 32 lower-case letters, digits, - and _", prefix)
	}
	return nil
}

// StreamPolicy controls changes to an existing stream.
type StreamPolicy struct {
	// Exclusive means that no other process uses the stream, so its settings may be changed.
	Exclusive bool
	// UseExisting means that streams are neither created nor changed.
	UseExisting bool
	// Settings names the user's options for the limits, for error messages.
	Settings Settings
}

// Settings are option names, such as --queue-bytes.
type Settings struct {
	Replicas, Bytes, Messages, Age string
	// OwnMessages is how many messages a stream holds in addition to the number that the option Messages sets.
	OwnMessages int64
}

// EnsureStream returns the stream described by want. It creates a missing stream, and raises lower limits of an
// existing one. It never lowers a higher limit, which another process has set: then it returns an error marked with
// [ErrPermanent] that names both settings.
func EnsureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, policy StreamPolicy) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && policy.UseExisting:
		return nil, fmt.Errorf("stream %s does not exist, and --nats-use-existing forbids creating it: waiting for it", want.Name)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		// If two processes create it at the same time, one of them finds it.
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

// StreamBytes returns the size of what a stream stores.
func StreamBytes(ctx context.Context, js jetstream.JetStream, name string) (int64, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", name, err)
	}
	return int64(min(stream.CachedInfo().State.Bytes, 1<<62)), nil
}

// mergeStream decides how to change an existing stream. Settings that are not ours, such as its placement, are kept.
func mergeStream(have, want jetstream.StreamConfig, policy StreamPolicy) (merged jetstream.StreamConfig, changed bool, err error) {
	foreign := func(what string) error {
		return fmt.Errorf("%w: stream %s exists with a different %s: use another prefix for this installation", ErrPermanent, want.Name, what)
	}
	switch {
	case have.Retention != want.Retention:
		return have, false, foreign("retention")
	case policy.UseExisting && have.AllowDirect:
		return have, false, fmt.Errorf("%w: stream %s allows direct reads, which may miss recent writes: disable allow_direct", ErrPermanent, want.Name)
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

// covers reports whether have contains all subjects in want.
func covers(have, want []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(have, s) })
}

// unlimited normalizes 0 and -1, which both mean no limit in JetStream.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

// refuseLower returns an error if a limit of the existing stream is higher than ours.
func refuseLower(have, want jetstream.StreamConfig, s Settings) error {
	lower := func(have, want int64) bool { // no limit is higher than any limit
		return want > 0 && (have <= 0 || want < have)
	}
	var problems []string
	add := func(what string, have, want any, option string) {
		problems = append(problems, fmt.Sprintf("it has %s %v, but %s asks for %v", what, have, option, want))
	}
	if want.Replicas < have.Replicas {
		add("replicas", have.Replicas, want.Replicas, s.Replicas)
	}
	if lower(have.MaxBytes, want.MaxBytes) {
		add("max_bytes", have.MaxBytes, want.MaxBytes, s.Bytes)
	}
	if lower(have.MaxMsgs, want.MaxMsgs) {
		what := "max_msgs"
		if s.OwnMessages > 0 && have.MaxMsgs > 0 {
			what = fmt.Sprintf("room for %d jobs, which is max_msgs", have.MaxMsgs-s.OwnMessages)
		}
		add(what, have.MaxMsgs, want.MaxMsgs-s.OwnMessages, s.Messages)
	}
	if lower(int64(have.MaxAge), int64(want.MaxAge)) {
		add("max_age", have.MaxAge.Round(time.Millisecond), want.MaxAge.Round(time.Millisecond), s.Age)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: stream %s has higher limits, and this process would lower them for all users of the stream: %s: "+
			"use the same values, or lower the stream's first (nats stream edit %s)", ErrPermanent, want.Name, strings.Join(problems, "; "), want.Name)
	}
	return nil
}
