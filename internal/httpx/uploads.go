package httpx

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Defaults of [UploadLimits].
const (
	MaxImageBytes  = 10 << 20  // 10 MiB
	MaxUploadBytes = 256 << 20 // 256 MiB
	MinUploadRate  = 16 << 10  // 16 KiB/s
)

// longestUpload bounds an upload that is just fast enough, such as a batch.
const longestUpload = 10 * time.Minute

// UploadLimits bounds what uploads take. The zero value means the defaults.
type UploadLimits struct {
	// ImageBytes is the size of the largest image. Zero means [MaxImageBytes].
	ImageBytes int64
	// TotalBytes is the memory of all uploads together: those that arrive, and those that are not yet handed on. Zero
	// means [MaxUploadBytes].
	TotalBytes int64
	// Rate is the least number of bytes per second that a client sends. Zero means [MinUploadRate], -1 any.
	Rate int64
}

func (l UploadLimits) withDefaults() UploadLimits {
	l.ImageBytes = cmp.Or(l.ImageBytes, MaxImageBytes)
	l.TotalBytes = cmp.Or(l.TotalBytes, MaxUploadBytes)
	l.Rate = cmp.Or(l.Rate, MinUploadRate)
	if l.Rate == -1 {
		l.Rate = 0
	}
	return l
}

// Validate reports limits that contradict each other.
func (l UploadLimits) Validate() error {
	switch l := l.withDefaults(); {
	case l.ImageBytes < 1:
		return fmt.Errorf("image limit of %d bytes, want at least 1", l.ImageBytes)
	case l.TotalBytes < 3*l.ImageBytes: // a buffer that grows is held twice for a moment, and small ones have room left
		return fmt.Errorf("memory for uploads of %d bytes, want at least three times the image limit, %d", l.TotalBytes, 3*l.ImageBytes)
	case l.Rate < 0:
		return fmt.Errorf("upload rate of %d bytes per second, want -1 (any) or more", l.Rate)
	}
	return nil
}

// Uploads reads the images that clients send. Memory is taken as bytes arrive and is bounded over all uploads. A client
// that is slower than the least rate is refused with 408. When memory runs out, uploads slower than eight times that
// rate are refused with 503, the slowest first, and the others wait for a moment. All methods are safe for concurrent
// use.
type Uploads struct {
	limits UploadLimits
	budget *budget
}

// NewUploads makes a reader of uploads with valid limits.
func NewUploads(limits UploadLimits) *Uploads {
	limits = limits.withDefaults()
	return &Uploads{limits: limits, budget: newBudget(limits.TotalBytes, limits.Rate)}
}

// Held is the memory of all uploads now, in bytes.
func (u *Uploads) Held() int64 {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	return u.budget.held
}

// upload is one request body on its way in. It is an io.Reader of that body that keeps to the least rate.
type upload struct {
	request *http.Request
	conn    *conn  // may be nil
	yield   func() // ends the upload for lack of connections
	body    io.Reader
	control *http.ResponseController
	budget  *budget
	began   time.Time
	memory  *buffer // of the present image; nil before its first byte
	one     [1]byte // that byte, and each later one that does not fit

	// guarded by budget.mu
	held  int64 // bytes
	pace  pace
	since time.Time // when the present read began; zero: none is going on
	cut   error     // others need what it holds
}

// open begins to read the body of r.
func (u *Uploads) open(w http.ResponseWriter, r *http.Request) *upload {
	up := &upload{request: r, conn: connOf(r.Context()), body: r.Body, control: http.NewResponseController(w),
		budget: u.budget, began: time.Now(), pace: newPace()}
	up.yield = func() {
		up.budget.mu.Lock()
		defer up.budget.mu.Unlock()
		up.cutOff(errNoConnection())
	}
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	u.budget.reading[up] = struct{}{}
	return up
}

// Read implements io.Reader. Its errors about a slow client are [resnet18cloud.Error].
func (u *upload) Read(p []byte) (int, error) {
	patience, err := u.begin(time.Now())
	if err != nil {
		return 0, err
	}
	u.conn.enter(held{phase: uploading, patience: patience, yield: u.yield})
	n, err := u.body.Read(p)
	u.conn.enter(held{phase: serving})
	return n, u.end(time.Now(), int64(n), err)
}

// begin sets the time until which the client must send something, and returns its patience.
func (u *upload) begin(now time.Time) (time.Duration, error) {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	if u.cut != nil {
		return 0, u.cut
	}
	u.since = now
	deadline := u.began.Add(longestUpload)
	if u.budget.least > 0 {
		if patient := now.Add(u.pace.patience); patient.Before(deadline) {
			deadline = patient
		}
	}
	return u.pace.patience, u.setDeadline(deadline)
}

// end records what came of a read.
func (u *upload) end(now time.Time, n int64, err error) error {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	u.pace.add(n, now.Sub(u.since), u.budget.least)
	u.since = time.Time{}
	if errors.Is(err, io.EOF) {
		delete(u.budget.reading, u) // all has come
	}
	switch {
	case u.cut != nil && err != nil && !errors.Is(err, io.EOF):
		return u.cut
	case errors.Is(err, os.ErrDeadlineExceeded):
		return u.errSlow(now, err)
	}
	return err
}

// silence is how long the client has sent nothing. The caller holds budget.mu.
func (u *upload) silence(now time.Time) time.Duration {
	if u.since.IsZero() {
		return 0 // it is not the client that we wait for
	}
	return now.Sub(u.since)
}

// cutOff ends the upload for the given reason, unless it has arrived. The caller holds budget.mu.
func (u *upload) cutOff(reason error) {
	if _, reading := u.budget.reading[u]; !reading {
		return
	}
	u.cut = reason
	u.budget.announce()                // it may be waiting for memory itself
	_ = u.setDeadline(time.Unix(1, 0)) // a connection that is closed needs none
}

// setDeadline bounds the reads of the request. Responses without a connection, in tests, have no deadlines.
func (u *upload) setDeadline(t time.Time) error {
	if err := u.control.SetReadDeadline(t); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("limit the time of the upload: %w", err)
	}
	return nil
}

// bytes is what has arrived of the present image.
func (u *upload) bytes() []byte {
	if u.memory == nil {
		return nil
	}
	return u.memory.bytes
}

// fill reads once from r into the memory of the upload. It returns how many bytes of the image there are then; a byte
// beyond limit is counted and not kept.
func (u *upload) fill(r io.Reader, limit int64) (int64, error) {
	if u.memory != nil && len(u.bytes()) == cap(u.bytes()) && u.announcesMore(limit) {
		if err := u.grow(limit); err != nil {
			return int64(len(u.bytes())), err
		}
	}
	have := u.bytes()
	if len(have) < cap(have) {
		n, err := r.Read(have[len(have):cap(have)])
		u.memory.bytes = have[:len(have)+n]
		return int64(len(have) + n), err
	}
	// There is no memory yet, or what was announced has filled it. More is taken when there is something to put into it.
	n, err := r.Read(u.one[:])
	if n > 0 && int64(len(have)) < limit {
		if err := u.grow(limit); err != nil {
			return int64(len(have)), err
		}
		u.memory.bytes = append(u.memory.bytes, u.one[0])
	}
	return int64(len(have) + n), err
}

// announcesMore reports whether more than what has arrived of the image is to come, within limit.
func (u *upload) announcesMore(limit int64) bool {
	have := int64(len(u.bytes()))
	return have < u.request.ContentLength && have < limit
}

// grow makes room for more of the image.
func (u *upload) grow(limit int64) error {
	have := u.bytes()
	size := nextSize(int64(cap(have)), u.request.ContentLength, limit, u.budget.plenty())
	if err := u.budget.take(u.request.Context(), u, size); err != nil {
		return err
	}
	larger := newBuffer(int(size))
	larger.bytes = append(larger.bytes, have...)
	u.drop()
	u.memory = larger
	return nil
}

// drop gives the memory of the present image back.
func (u *upload) drop() {
	if u.memory == nil {
		return
	}
	size := int64(cap(u.memory.bytes))
	u.memory.free()
	u.memory = nil
	u.budget.give(u, size)
}

// arrived ends the reading. What the image holds stays counted until close.
func (u *upload) arrived() error {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	delete(u.budget.reading, u)
	if u.cut != nil {
		return u.cut
	}
	// From here on the server reads only to notice that the client left; a deadline would look like that.
	return u.setDeadline(time.Time{})
}

// close gives back all that the upload holds.
func (u *upload) close() {
	u.budget.mu.Lock()
	delete(u.budget.reading, u)
	u.budget.mu.Unlock()
	u.drop()
}

// errNoConnection refuses an upload whose connection another client needs.
func errNoConnection() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Too many connections",
		Hint: "send it again after retry_after seconds", RetryAfter: time.Second, Err: errCut}
}

// errSlow refuses a client that sends too slowly.
func (u *upload) errSlow(now time.Time, cause error) error {
	e := &resnet18cloud.Error{Code: resnet18cloud.CodeSlow,
		Message: fmt.Sprintf("Upload is slower than %.4g KiB/s", float64(u.budget.least)/(1<<10)),
		Hint:    "send it over a faster connection, or send a smaller image", Err: cause}
	if now.Sub(u.began) >= longestUpload {
		e.Message = fmt.Sprintf("Upload takes longer than %s", longestUpload)
	}
	return e
}
