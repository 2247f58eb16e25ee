package dispatch

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// wantRecord compares records without their marks, of which got must have n different ones.
func wantRecord(t *testing.T, got, want store.Record, n int) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Record{}, "Marks")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	different := map[string]bool{}
	for _, m := range got.Marks {
		different[m] = m != ""
	}
	if len(got.Marks) != n || len(different) != n {
		t.Errorf("marks %q, want %d that differ", got.Marks, n)
	}
}

var testJob = resnet18cloud.Job{ID: "id", Client: "192.0.2.1", Lane: 1, Image: resnet18cloud.Image{Name: "a.jpg", Bytes: []byte("x")}, Digest: [32]byte{0xAB},
	QueuedAt: noon, Deadline: noon.Add(time.Minute), Priority: resnet18cloud.PriorityBulk, Generation: 2}

var testRecord = store.Record{ID: "id", Filename: "a.jpg", Digest: "ab00000000000000000000000000000000000000000000000000000000000000",
	QueuedAt: noon, Deadline: noon.Add(time.Minute), Priority: resnet18cloud.PriorityBulk, Generation: 2, Status: resnet18cloud.StatusQueued,
	Client: "192.0.2.1", Lane: 1, Bytes: 1}

// endedRecord returns a record of testJob that has ended: it does not say where it came from any more.
func endedRecord() store.Record {
	r := testRecord
	r.Client, r.Lane, r.Bytes = "", 0, 0
	return r
}

func TestRecordOfWork(t *testing.T) {
	t.Parallel()
	r, want := newRecord(testJob), testRecord
	wantRecord(t, r, want, 1)

	for attempt := range 2 {
		r = started(r, noon.Add(time.Second))
		want.Status, want.StartedAt, want.Attempts = resnet18cloud.StatusProcessing, noon.Add(time.Second), attempt+1
		wantRecord(t, r, want, 1)
	}

	result := resnet18cloud.Result{Predictions: []string{"junco"}, Replica: "http://r"}
	end := completed(r, result, false, noon.Add(2*time.Second))
	result.Timing.Queue = time.Second
	want.Client, want.Lane, want.Bytes = "", 0, 0
	want.Status, want.CompletedAt, want.Replica, want.Result = resnet18cloud.StatusCompleted, noon.Add(2*time.Second), "http://r", &result
	wantRecord(t, end, want, 2)
	if !hasMark(end, markOf(r)) || hasMark(r, markOf(end)) {
		t.Errorf("marks %q after %q", end.Marks, r.Marks)
	}
}

func TestRecordFromCache(t *testing.T) {
	t.Parallel()
	result := resnet18cloud.Result{Predictions: []string{"junco"}, Replica: "http://r", Timing: resnet18cloud.Timing{Cache: 1}}
	want := endedRecord()
	want.Status, want.CompletedAt, want.Replica, want.Result, want.FromCache = resnet18cloud.StatusCompleted, noon, "http://r", &result, true
	wantRecord(t, completed(newRecord(testJob), result, true, noon), want, 2)
}

func TestRecordWithoutResult(t *testing.T) {
	t.Parallel()
	e := &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: "m", Hint: "h"}
	want := endedRecord()
	want.CompletedAt, want.Status = noon, resnet18cloud.StatusCancelled
	wantRecord(t, cancelled(newRecord(testJob), noon), want, 2)
	want.Status, want.Failure = resnet18cloud.StatusFailed, &store.Failure{Code: resnet18cloud.CodeDeadline, Message: "m", Hint: "h"}
	wantRecord(t, failed(newRecord(testJob), e, noon), want, 2)
}

// TestRecordRestarted checks that a restart keeps nothing of the earlier outcome but its marks, and that a rollback
// restores all of it.
func TestRecordRestarted(t *testing.T) {
	t.Parallel()
	known := failed(started(newRecord(testJob), noon), errLostJob(), noon.Add(time.Second))
	known.Revision = 7
	job := testJob
	job.Deadline, job.Generation, job.Priority = time.Time{}, 0, resnet18cloud.PriorityInteractive
	restart := restarted(known, newRecord(job), noon.Add(time.Hour))
	want := testRecord
	want.Generation, want.Revision, want.QueuedAt, want.Deadline, want.Priority = 3, 7, noon.Add(time.Hour), time.Time{}, resnet18cloud.PriorityInteractive
	wantRecord(t, restart, want, 3)
	if !hasMark(restart, markOf(known)) {
		t.Error("the mark of the earlier end is gone")
	}

	restart.Revision = 8
	want = known
	want.Generation, want.Revision = 3, 8
	back := rolledBack(restart, known)
	wantRecord(t, back, want, 4)
	if !hasMark(back, markOf(restart)) {
		t.Error("the mark of the restart is gone")
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	var r store.Record
	if markOf(r) != "" || hasMark(r, "") {
		t.Error("a record without marks has one")
	}
	var all []string
	for range maxMarks + 24 {
		before := r
		r = marked(r)
		all = append(all, markOf(r))
		if len(before.Marks) > 0 && hasMark(before, markOf(r)) {
			t.Fatal("marking a record changes another")
		}
	}
	if diff := cmp.Diff(all[24:], r.Marks); diff != "" {
		t.Errorf("the latest marks (-want +got):\n%s", diff)
	}
}

// TestRecordOfOwner checks that a record does not name its client twice.
func TestRecordOfOwner(t *testing.T) {
	t.Parallel()
	job := testJob
	job.Owner, job.Client = "k", "k"
	want := testRecord
	want.Owner, want.Client = "k", ""
	wantRecord(t, newRecord(job), want, 1)
}
