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
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Config says what to send where. Target, Schedule and Images are needed.
type Config struct {
	Target   Target
	Schedule schedule.Schedule
	// Images are paths of files, opened when they are sent; which one is drawn at random.
	Images []string
	// Open gives what is sent for an image, and a function that is called when it is not needed any more. Nil
	// means Map: the bytes of the file.
	Open func(path string) (body []byte, release func(), err error)
	// Seed decides which images are drawn and, for random schedules, when. Equal seeds give equal runs.
	Seed uint64
	// Workers bounds how many requests are under way at once; the next waits for one to end, and is late.
	// Zero means no bound: an open loop, in which requests go out whatever the server does.
	Workers int
	// MaxOutstanding bounds the requests under way in an open loop: beyond it, requests are not sent but counted
	// as errors at once, which saves the tester's memory when a server does not answer any more. Zero means
	// 10,000.
	MaxOutstanding int
	// Timeout is how long a request may take from its intended time. Zero means a minute.
	Timeout time.Duration
	// Expect holds the right labels; files that are not in it are not checked. May be nil.
	Expect Expectation
	// Second is called as each second of the schedule begins, with its number from 1 and the images it sends.
	// May be nil.
	Second func(second, images int)
	// Probe looks at the server meanwhile. Its zero value does not.
	Probe Probe
	// Begin is called when the run begins. May be nil.
	Begin func(Header)
	// Record is called for each request as it ends, from one goroutine. May be nil.
	Record func(Record)
	// Sample is called with each look of Probe, from a goroutine of its own. May be nil.
	Sample func(Sample)
}

// ErrAbsent is in the error of Run when nothing answers at the target before the run begins.
var ErrAbsent = errors.New("no server there")

// Run replays the schedule and adds up what became of it. It lasts until the schedule is over and all requests
// have ended. When ctx ends, it sends no more, gives up on what is under way, and returns the summary of what
// was measured until then with ctx's error.
func Run(ctx context.Context, c Config) (*Summary, error) {
	switch {
	case len(c.Images) == 0:
		return nil, errors.New("load: no images")
	case c.Workers < 0 || c.MaxOutstanding < 0 || c.Timeout < 0:
		return nil, fmt.Errorf("load: workers %d, most outstanding %d and timeout %s must not be negative", c.Workers, c.MaxOutstanding, c.Timeout)
	}
	check, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.Target.Check(check); errors.Is(err, ErrNotAsync) {
		return nil, fmt.Errorf("load: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.MaxOutstanding = cmp.Or(c.MaxOutstanding, 10_000)
	if c.Open == nil {
		c.Open = Map
	}
	r := &run{Config: c, start: time.Now(), summary: NewSummary()}
	header := Header{r.start, c.Schedule.Name, c.Target.String(), c.Workers}
	r.summary.describe(header)
	if c.Begin != nil {
		c.Begin(header)
	}
	records := make(chan Record, 1024)
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
	summary *Summary
}

func (r *run) clock() time.Duration { return time.Since(r.start) }

// watch has the probe look at the server until stop is called, which returns what it saw.
func (r *run) watch(ctx context.Context) (stop func() []Sample) {
	if r.Probe.Client == nil {
		return func() []Sample { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	var samples []Sample
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Probe.run(ctx, r.clock, func(s Sample) {
			samples = append(samples, s)
			if r.Sample != nil {
				r.Sample(s)
			}
		})
	}()
	return func() []Sample { cancel(); <-done; return samples }
}

// pace starts each request at its time and returns when all have ended.
func (r *run) pace(ctx context.Context, records chan<- Record) {
	var requests sync.WaitGroup
	defer requests.Wait()
	slots := make(chan struct{}, cmp.Or(r.Workers, r.MaxOutstanding))
	pick := rand.New(rand.NewPCG(r.Seed, 0x1))
	seconds := 0
	count, stop := counter(r.Schedule.Arrivals(r.Seed))
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	// sleep returns at a time of the run, or false when ctx ends first.
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
			records <- r.one(ctx, file, intended)
			<-slots
		})
	}
	// The last arrival is not the end: without the rest the rate of a short run would come out too high.
	_ = announce(r.Schedule.Duration()-1) && sleep(r.Schedule.Duration())
}

// counter counts the arrivals of one second after the other, from the first on, until stop is called: of random
// schedules these are not the ones to expect.
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

// notSent is the record of a request for which there was no room.
func (r *run) notSent(file string, intended time.Duration) Record {
	now := r.clock()
	return Record{
		File: filepath.Base(file), Intended: intended, Sent: now, Done: now, Error: "not sent",
		Detail: fmt.Sprintf("%d requests are under way without an answer (--max-outstanding)", r.MaxOutstanding),
	}
}

// one sends one image.
func (r *run) one(ctx context.Context, file string, intended time.Duration) Record {
	record := Record{File: filepath.Base(file), Intended: intended}
	ctx, cancel := context.WithDeadline(ctx, r.start.Add(intended+r.Timeout))
	defer cancel()
	body, release, err := r.Open(file)
	record.Sent = r.clock()
	if err == nil {
		err = r.Target.Send(ctx, resnet18cloud.Image{Name: record.File, Bytes: body}, r.clock, &record)
		release()
	}
	record.Done = r.clock()
	if err != nil {
		record.Error, record.Detail = kindOf(err), err.Error()
		return record
	}
	want, known := r.Expect[record.File]
	record.Checked = known
	if known && record.Label != want {
		record.Wrong, record.Error = true, wrongLabel
		record.Detail = fmt.Sprintf("%s is %q, want %q", record.File, record.Label, want)
	}
	return record
}
