package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/target"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Config configures a run. Target, Schedule and Images are required.
type Config struct {
	Target   target.Target
	Schedule schedule.Schedule
	// Images are paths of files. For each request one is drawn at random and opened.
	Images []string
	// Open returns the body to send for an image, and a function that releases it. Nil means images.Map: the bytes of
	// the file.
	Open func(path string) (body []byte, release func(), err error)
	// Seed seeds the choice of images and random schedules. Equal seeds give equal runs.
	Seed uint64
	// Workers limits the number of concurrent requests: the next one waits until one ends, and is late. Zero means no
	// limit: an open loop, which sends requests on time however slow the server is.
	Workers int
	// MaxOutstanding limits the number of concurrent requests in an open loop: further requests are not sent, but
	// counted as errors. This protects the tester's memory if a server stops answering. Zero means 10,000.
	MaxOutstanding int
	// Timeout is the maximum latency, counted from the intended time. Zero means a minute.
	Timeout time.Duration
	// Expect holds the expected labels. Files that are not in it are not checked. May be nil.
	Expect Expectation
	// Second is called at the start of each second of the schedule, with its number, from 1, and the number of images
	// to send in it. May be nil.
	Second func(second, images int)
	// Probe samples the state of the server during the run. The zero value does not.
	Probe Probe
	// Settings describe the run in its result, besides Schedule, Target and Workers.
	Settings []result.Setting
	// Begin is called when the run starts. May be nil.
	Begin func(result.Header)
	// Record is called for each request when it ends, from one goroutine. May be nil.
	Record func(result.Record)
	// Sample is called with each sample of Probe, from another goroutine. May be nil.
	Sample func(result.Sample)
}

// checkTimeout limits the check of the target before a run.
const checkTimeout = 10 * time.Second

// Run replays the schedule and returns a summary of the results. It returns when the schedule is over and all requests
// have ended. When ctx ends, it cancels the requests in flight, which are not counted, and returns the summary so far with ctx's error. The
// error is target.ErrUnreachable if no server answers before the run.
func Run(ctx context.Context, c Config) (*result.Summary, error) {
	switch {
	case len(c.Images) == 0:
		return nil, errors.New("load: no images")
	case c.Workers < 0 || c.MaxOutstanding < 0 || c.Timeout < 0:
		return nil, fmt.Errorf("load: workers %d, maximum outstanding %d and timeout %s must not be negative", c.Workers, c.MaxOutstanding, c.Timeout)
	}
	check, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := c.Target.Check(check); errors.Is(err, target.ErrNotAsync) {
		return nil, fmt.Errorf("load: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", target.ErrUnreachable, err)
	}
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.MaxOutstanding = cmp.Or(c.MaxOutstanding, 10_000)
	if c.Open == nil {
		c.Open = images.Map
	}
	r := &run{Config: c, start: time.Now(), summary: result.NewSummary()}
	header := result.Header{Started: r.start, Schedule: c.Schedule.Name, Target: c.Target.String(), Workers: c.Workers, Settings: c.Settings}
	r.summary.SetHeader(header)
	if c.Begin != nil {
		c.Begin(header)
	}
	records := make(chan result.Record, 1024)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for record := range records {
			r.summary.Add(record)
			if c.Record != nil {
				c.Record(record)
			}
		}
	}()
	stop := r.watch(ctx)
	r.pace(ctx, records)
	close(records)
	<-collected
	r.summary.Server = stop()
	r.summary.Elapsed = time.Since(r.start)
	return r.summary, ctx.Err()
}

type run struct {
	Config
	start   time.Time
	summary *result.Summary
}

func (r *run) clock() time.Duration { return time.Since(r.start) }

// watch samples the server's state until stop is called. stop returns the samples.
func (r *run) watch(ctx context.Context) (stop func() []result.Sample) {
	if r.Probe.Client == nil {
		return func() []result.Sample { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	var samples []result.Sample
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Probe.run(ctx, r.clock, func(s result.Sample) {
			samples = append(samples, s)
			if r.Sample != nil {
				r.Sample(s)
			}
		})
	}()
	return func() []result.Sample { cancel(); <-done; return samples }
}

// pace starts each request at its intended time and returns when all have ended.
func (r *run) pace(ctx context.Context, records chan<- result.Record) {
	var requests sync.WaitGroup
	defer requests.Wait()
	slots := make(chan struct{}, cmp.Or(r.Workers, r.MaxOutstanding))
	pick := rand.New(rand.NewPCG(r.Seed, 0x1))
	seconds := 0
	count, stop := counter(r.Schedule.Arrivals(r.Seed))
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	// sleep waits until a time of the run. It returns false if ctx ends first.
	sleep := func(until time.Duration) bool {
		timer.Reset(until - r.clock())
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	announce := func(until time.Duration) bool {
		for ; r.Second != nil && time.Duration(seconds)*time.Second <= until; seconds++ {
			if !sleep(time.Duration(seconds) * time.Second) {
				return false
			}
			r.Second(seconds+1, count(seconds))
		}
		return true
	}
	for intended := range r.Schedule.Arrivals(r.Seed) {
		file := r.Images[pick.IntN(len(r.Images))]
		if !announce(intended) || !sleep(intended) {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			if r.Workers == 0 {
				records <- r.notSent(file, intended)
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		requests.Go(func() {
			// What was in flight when the run was stopped has neither failed nor succeeded.
			if record := r.one(ctx, file, intended); record.Error == "" || ctx.Err() == nil {
				records <- record
			}
			<-slots
		})
	}
	// The schedule ends after the last arrival: without the remaining time, the rate of a short run would be too high.
	_ = announce(r.Schedule.Duration()-1) && sleep(r.Schedule.Duration())
}

// counter counts the arrivals of each second, in order, until stop is called. In random schedules they differ from the
// expected numbers.
func counter(arrivals iter.Seq[time.Duration]) (count func(second int) int, stop func()) {
	next, stop := iter.Pull(arrivals)
	at, more := next()
	return func(second int) (n int) {
		for ; more && at < time.Duration(second+1)*time.Second; at, more = next() {
			n++
		}
		return n
	}, stop
}

// notSent is the record of a request beyond MaxOutstanding.
func (r *run) notSent(file string, intended time.Duration) result.Record {
	now := r.clock()
	return result.Record{
		File: filepath.Base(file), Intended: intended, Sent: now, Done: now, Error: "not sent",
		Detail: fmt.Sprintf("%d requests are in flight without an answer (--max-outstanding)", r.MaxOutstanding),
	}
}

// one sends one image.
func (r *run) one(ctx context.Context, file string, intended time.Duration) result.Record {
	record := result.Record{File: filepath.Base(file), Intended: intended}
	ctx, cancel := context.WithDeadline(ctx, r.start.Add(intended+r.Timeout))
	defer cancel()
	body, release, err := r.Open(file)
	record.Sent = r.clock()
	if err == nil {
		var answer target.Answer
		release := sync.OnceFunc(release)
		answer, err = r.Target.Send(ctx, resnet18cloud.Image{Name: record.File, Bytes: body}, release)
		release()
		r.fill(&record, answer)
	}
	record.Done = r.clock()
	if err != nil {
		record.Error, record.Detail = errorKind(err), err.Error()
		return record
	}
	want, known := r.Expect.Label(file)
	record.Checked = known
	if known && record.Label != want {
		record.Wrong, record.Error = true, result.WrongLabel
		record.Detail = fmt.Sprintf("%s is %q, want %q", record.File, record.Label, want)
	}
	return record
}

// fill copies an answer into a record.
func (r *run) fill(record *result.Record, a target.Answer) {
	if !a.Accepted.IsZero() {
		record.Accepted = a.Accepted.Sub(r.start)
	}
	record.Queue, record.Inference, record.PollLag = a.Queue, a.Inference, a.PollLag
	record.FromCache, record.Label, record.Model = a.FromCache, a.Label, a.Model
}
