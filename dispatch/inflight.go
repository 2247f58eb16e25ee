package dispatch

import (
	"context"
	"sync"

	"github.com/resnet18cloud/resnet18cloud"
)

// inFlight is the set of jobs that this dispatcher has taken from the queue.
type inFlight struct {
	mu    sync.Mutex
	jobs  map[*takenJob]struct{} // guarded by mu
	large int                    // guarded by mu: jobs with large images
	bytes int64                  // guarded by mu: of the jobs' images
	freed chan struct{}          // receives a value when a job has left
	done  sync.WaitGroup         // the loop that takes jobs, and each job
}

// takenJob is a job that this dispatcher has taken. Two may have the same ID: a job that was delivered again, or one
// from before a restart of the request.
type takenJob struct {
	id         string
	generation int
	bytes      int64
	stop       context.CancelCauseFunc
}

func newInFlight() *inFlight {
	f := &inFlight{jobs: map[*takenJob]struct{}{}, freed: make(chan struct{}, 1)}
	f.done.Add(1) // for the loop, until it has started its last job
	return f
}

func (f *inFlight) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs)
}

// load returns the number of jobs and the bytes of their images.
func (f *inFlight) load() (jobs int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs), f.bytes
}

// add adds a job. stop is called with errCancelled if the client cancels the request.
func (f *inFlight) add(job resnet18cloud.Job, stop context.CancelCauseFunc) *takenJob {
	t := &takenJob{job.ID, job.Generation, int64(len(job.Image.Bytes)), stop}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs[t] = struct{}{}
	f.bytes += t.bytes
	return t
}

func (f *inFlight) remove(t *takenJob) {
	f.mu.Lock()
	delete(f.jobs, t)
	f.bytes -= t.bytes
	f.mu.Unlock()
	select {
	case f.freed <- struct{}{}:
	default:
	}
}

// cancel stops the processing of one generation of a request.
func (f *inFlight) cancel(id string, generation int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t := range f.jobs {
		if t.id == id && t.generation == generation {
			t.stop(errCancelled)
		}
	}
}

// ids returns the IDs of all jobs.
func (f *inFlight) ids() map[string]struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := make(map[string]struct{}, len(f.jobs))
	for t := range f.jobs {
		ids[t.id] = struct{}{}
	}
	return ids
}
