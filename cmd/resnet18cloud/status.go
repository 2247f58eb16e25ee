//go:build !only_replica

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/resnet18cloud/resnet18cloud/internal/sse"
)

type statusCmd struct {
	URL         string `help:"Base URL of the dispatcher, or its address." type:"url" placeholder:"URL" default:"http://127.0.0.1:8080" env:"RESNET18_STATUS_URL"`
	Server      string `arg:"" name:"server" optional:"" help:"The same as --url." type:"url" placeholder:"URL"`
	Once        bool   `help:"Print the figures of one second, and exit."`
	JSON        bool   `help:"Print one JSON object a second, on one line each."`
	callerFlags `envprefix:"RESNET18_STATUS_" set:"needs=scope read or, to see addresses and the autoscaler, admin"`
}

// AfterApply makes the argument the URL.
func (c *statusCmd) AfterApply() error {
	c.URL = cmp.Or(c.Server, c.URL)
	return nil
}

// Help adds to kong's text what an option cannot say.
func (statusCmd) Help() string {
	return `Shows the figures of the page /dashboard, once a second: a screen on a
terminal, one line a second elsewhere. Ctrl-C ends it.

  resnet18cloud status
  resnet18cloud status 127.0.0.1:8081
  resnet18cloud status --once https://photos.example.com --token-file ops.token
  resnet18cloud status --json | jq '.sample.total_p95'`
}

const (
	// maxStatusBytes limits an event. The longest one, the history of a minute, has less than a tenth of it.
	maxStatusBytes = 4 << 20
	// statusHistory is how many seconds to ask for.
	statusHistory = 60
	// statusRetry is the time between two attempts to connect again.
	statusRetry = time.Second
	// statusSilence is how long a server may send nothing before the connection counts as dead.
	statusSilence = 15 * time.Second
)

// Run shows the figures until the first signal.
func (c statusCmd) Run(ctx context.Context, env *environment) error {
	if _, err := server("--url", c.URL, "http://127.0.0.1:8080"); err != nil {
		return err
	}
	client, err := c.client(true)
	if err != nil {
		return err
	}
	out := c.output(env.stdout)
	defer out.close()
	for connected := false; ; {
		err := c.follow(ctx, client, func(b *statusBoard) error { connected = true; return out.show(b) })
		switch {
		case ctx.Err() != nil || errors.Is(err, errShown):
			return nil
		case c.Once || !connected:
			return err
		}
		out.note(fmt.Sprintf("%v; trying again", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(statusRetry):
		}
	}
}

// errShown ends the command after its only output.
var errShown = errors.New("shown")

// follow shows what one connection delivers.
func (c statusCmd) follow(ctx context.Context, client *http.Client, show func(*statusBoard) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(statusSilence, func() { cancel(fmt.Errorf("%s sends nothing", c.URL)) })
	defer silence.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/dashboard/stream?seconds=%d", strings.TrimRight(c.URL, "/"), statusHistory), http.NoBody)
	if err != nil {
		return err
	}
	if err := c.authorize(request.Header); err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no dispatcher answers at %s: %w (start one with 'resnet18cloud up', or give its URL)", c.URL, errors.Join(context.Cause(ctx), err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return statusError(c.URL, response)
	}
	var board statusBoard
	for events := sse.NewReader(response.Body, maxStatusBytes); ; {
		e, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s ended the connection", c.URL)
		case err != nil:
			return errors.Join(context.Cause(ctx), err)
		}
		silence.Reset(statusSilence)
		if err := board.receive(e); err != nil {
			return fmt.Errorf("%s: %w: is it a dispatcher of this version?", c.URL, err)
		}
		if e.Name != "frame" {
			continue
		}
		if err := show(&board); err != nil {
			return err
		}
	}
}

// statusError is the error of a response other than 200.
func statusError(url string, response *http.Response) error {
	return answerError(url, "read or admin", "has no dashboard: is it the address of a dispatcher, and of version 0.2 or later?", response)
}

// answerError returns the error that a server has answered with. scopes are those of which the key needs one, and missing says
// what a server without the endpoint lacks.
func answerError(url, scopes, missing string, response *http.Response) error {
	var e struct{ Error, Hint string }
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // what there is of it
	_ = json.Unmarshal(body, &e)                                 // other servers have other errors
	switch {
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s requires a key with scope %s: set --token-file (%s)", url, scopes, response.Status)
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %s", url, missing)
	case e.Error == "":
		return fmt.Errorf("%s answers %s", url, response.Status)
	case e.Hint == "":
		return fmt.Errorf("%s: %s", url, e.Error)
	}
	return fmt.Errorf("%s: %s (%s)", url, e.Error, e.Hint)
}

// statusBoard is what the server has said so far.
type statusBoard struct {
	Columns []string
	Rows    [][]*float64 // oldest first; nil is an unknown value
	State   statusState
	Events  []statusEvent
}

// statusState is the part of the state that is shown.
type statusState struct {
	Capacity int    `json:"queue_capacity"`
	Storage  string `json:"storage_problem"`
	Warning  string `json:"warning"`
	Stopping bool   `json:"stopping"`
	Replicas []struct {
		URL       string
		Healthy   bool
		Slots     int
		InFlight  int `json:"in_flight"`
		Model     string
		Precision string
		Problem   string
		Images    float64 `json:"images_per_second"`
		Busy      float64
		Latency   float64

		Quantization *struct {
			State, Precision string
			Compared, Equal  int
		}
	}
	Agree *struct {
		Precision       string
		Compared, Equal int
	} `json:"int8_agreement"`
	Scaling *struct {
		Problem string
		Summary *struct {
			Policy   string
			Replicas int
			Ready    int
			Starting int
			Problem  string
			Why      []string
			Changes  []string
			Later    string
		}
	}
	raw json.RawMessage
}

// statusEvent is something that happened.
type statusEvent struct {
	At   time.Time
	Kind string
	Text string
}

// receive takes in an event of the stream.
func (b *statusBoard) receive(e sse.Event) error {
	var m struct {
		Columns []string
		Rows    [][]*float64
		Row     []*float64
		State   json.RawMessage
		Events  []statusEvent
	}
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return fmt.Errorf("read event %q: %w", e.Name, err)
	}
	if e.Name == "history" {
		*b = statusBoard{Columns: m.Columns, Rows: m.Rows}
	}
	if m.Row != nil {
		b.Rows = append(b.Rows, m.Row)
	}
	for _, row := range b.Rows[max(0, len(b.Rows)-1):] {
		if len(row) != len(b.Columns) || len(row) == 0 || row[0] == nil {
			return fmt.Errorf("a sample has %d values, want %d", len(row), len(b.Columns))
		}
	}
	b.Rows = b.Rows[max(0, len(b.Rows)-statusHistory):]
	b.Events = append(b.Events, m.Events...)
	b.Events = b.Events[max(0, len(b.Events)-200):]
	b.State = statusState{}
	if len(m.State) == 0 {
		return nil
	}
	if err := json.Unmarshal(m.State, &b.State); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	b.State.raw = m.State
	return nil
}

// statusOutput prints the figures in one of the forms.
type statusOutput struct {
	w     io.Writer
	form  statusForm
	once  bool
	size  func() (width, height int)
	drawn bool
}

type statusForm int

const (
	statusLines  statusForm = iota // one line a second
	statusScreen                   // a screen that is drawn again
	statusJSON                     // one JSON object a second
)

func (c statusCmd) output(w io.Writer) *statusOutput {
	o := &statusOutput{w: w, once: c.Once, size: func() (int, int) { return 100, 1000 }}
	f, isFile := w.(*os.File)
	switch {
	case c.JSON:
		o.form = statusJSON
	case isFile && term.IsTerminal(int(f.Fd())) || c.Once:
		o.form = statusScreen
	}
	if isFile && !c.Once && o.form == statusScreen {
		o.size = func() (int, int) {
			width, height, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		}
	}
	return o
}

// The control sequences of a terminal (ECMA-48, and xterm's alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeScreen  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

func (o *statusOutput) show(b *statusBoard) error {
	var err error
	switch {
	case o.form == statusJSON:
		err = json.NewEncoder(o.w).Encode(b.object())
	case o.form == statusLines:
		_, err = fmt.Fprintln(o.w, b.line())
	case o.once:
		width, height := o.size()
		_, err = fmt.Fprintln(o.w, strings.Join(b.screen(width, height), "\n"))
	default:
		width, height := o.size()
		lines := b.screen(width, height-1)
		start := ""
		if !o.drawn {
			start, o.drawn = enterScreen, true
		}
		_, err = io.WriteString(o.w, start+homeScreen+strings.Join(lines, clearLine+"\n")+clearLine+"\n"+clearRest)
	}
	if err == nil && o.once {
		return errShown
	}
	return err
}

// note prints what happened to the connection.
func (o *statusOutput) note(text string) {
	switch {
	case o.form == statusJSON: // standard output is for programs
	case o.drawn:
		fmt.Fprint(o.w, homeScreen+printable(text)+clearLine)
	default:
		fmt.Fprintln(o.w, printable(text))
	}
}

// close restores the terminal.
func (o *statusOutput) close() {
	if o.drawn {
		fmt.Fprint(o.w, leaveScreen)
	}
}

// printable replaces what could control a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}
