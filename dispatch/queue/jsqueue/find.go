package jsqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

// Jobs implements queue.Queue. It reads the subjects of the stream's messages.
func (q *Queue) Jobs(ctx context.Context) (map[string]struct{}, error) {
	stream, err := q.conn.JetStream().Stream(ctx, q.streamName())
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(q.cfg.Prefix+".jobs.*.*"))
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	ids := make(map[string]struct{}, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		ids[jobID(subject)] = struct{}{}
	}
	return ids, nil
}

// Find implements queue.Queue. It reads the whole message, including the image, so it should not be used for many
// jobs.
func (q *Queue) Find(ctx context.Context, id string) (resnet18cloud.Job, error) {
	if resnet18cloud.CheckID(id) != nil {
		return resnet18cloud.Job{}, queue.ErrNotFound
	}
	stream, err := q.conn.JetStream().Stream(ctx, q.streamName())
	if err != nil {
		return resnet18cloud.Job{}, fmt.Errorf("find job %s: %w", id, err)
	}
	for i := range q.lanes {
		class := q.lanes[i].class
		msg, err := stream.GetLastMsgForSubject(ctx, q.subject(class, id))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			continue
		case err != nil:
			return resnet18cloud.Job{}, fmt.Errorf("find job %s: %w", id, err)
		}
		return readJob(msg.Subject, msg.Header, class)
	}
	return resnet18cloud.Job{}, queue.ErrNotFound
}

// Remove implements queue.Queue. It reads the message to check its generation, so it should not be used for many jobs.
// The number of waiting jobs follows after a few checks of the stream.
func (q *Queue) Remove(ctx context.Context, id string, generation int) error {
	if resnet18cloud.CheckID(id) != nil {
		return nil //nolint:nilerr // no id of ours: no such job
	}
	stream, err := q.conn.JetStream().Stream(ctx, q.streamName())
	if err != nil {
		return fmt.Errorf("remove job %s: %w", id, err)
	}
	for i := range q.lanes {
		class := q.lanes[i].class
		msg, err := stream.GetLastMsgForSubject(ctx, q.subject(class, id))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil {
			// By sequence number, because a later generation may be published under the same subject meanwhile.
			if job, broken := readJob(msg.Subject, msg.Header, class); broken == nil && job.Generation == generation {
				err = stream.DeleteMsg(ctx, msg.Sequence)
				if err == nil {
					q.lanes[i].removed.add(queue.DedupID(job), time.Now())
				}
			}
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return fmt.Errorf("remove job %s: %w", id, err)
		}
	}
	return nil
}

// jobID returns the ID in a job's subject.
func jobID(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
