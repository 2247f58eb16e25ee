package dispatch

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/board"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

var nan = math.NaN()

// quietSamples is after how many samples without a refusal the queue no longer counts as full.
const quietSamples = 5

// observation is what events are derived from, at the time of a sample. The zero value is from before the start.
type observation struct {
	started   bool
	ready     bool // queue and results are open
	stopping  bool
	endpoints []forward.Endpoint // sorted by URL
	storage   string             // why storage rejects writes
	warning   string             // why results are not reliable
	refused   bool               // images were refused since the last sample
	quiet     int                // samples since the last refusal
	full      bool               // an event said that images are refused, and none that this ended
	waiting   int
}

// happening is an event in which the address of a replica is left open, because not every viewer may see it.
type happening struct {
	board.Event        // Text may begin with a %s for the replica
	url         string // the replica; empty if the event is about none
	detail      string // why, for operators only
}

// since returns what happened between two observations. Of what begins and ends in between, only setbacks of replicas are
// seen.
func (o observation) since(before observation, now time.Time) []happening {
	var list []happening
	add := func(kind, text, url, detail string) {
		list = append(list, happening{board.Event{At: now, Kind: kind, Text: text}, url, detail})
	}
	if o.started && !before.started {
		add("info", "dispatcher started", "", "")
	}
	if o.ready && !before.ready {
		add("good", "queue and results are open", "", "")
	}
	known := map[string]forward.Endpoint{}
	for _, e := range before.endpoints {
		known[e.URL] = e
	}
	for _, e := range o.endpoints {
		was, old := known[e.URL]
		delete(known, e.URL)
		switch {
		case !old && e.Healthy:
			add("good", "%s added, and healthy", e.URL, "")
		case !old:
			add("info", "%s added", e.URL, e.Problem)
		case e.Serial != was.Serial && e.Healthy && was.Healthy:
			add("bad", "%s was removed, and is back", e.URL, "")
		case e.Setbacks > was.Setbacks && e.Healthy && was.Healthy && e.Serial == was.Serial:
			add("bad", "%s was set aside, and is back", e.URL, "")
		case e.Healthy && !was.Healthy:
			add("good", "%s is healthy", e.URL, "")
		case !e.Healthy && was.Healthy:
			add("bad", "%s set aside", e.URL, e.Problem)
		case e.Healthy && (e.Model != was.Model || e.Precision != was.Precision) && was.Model != "":
			add("info", "%s serves "+e.Model+" in "+e.Precision+" now", e.URL, "")
		}
	}
	for _, e := range before.endpoints {
		if _, gone := known[e.URL]; gone {
			add("info", "%s removed", e.URL, "")
		}
	}
	switch {
	case o.storage != "" && before.storage == "":
		add("bad", "storage rejects writes", "", o.storage)
	case o.storage == "" && before.storage != "":
		add("good", "storage accepts writes again", "", "")
	}
	if o.warning != "" && before.warning != o.warning {
		add("bad", "results are not reliable", "", o.warning)
	}
	switch {
	case o.refused && !before.full:
		add("bad", fmt.Sprintf("images are refused; %d are waiting", o.waiting), "", "")
	case !o.refused && before.full && o.quiet >= quietSamples:
		add("good", "images are no longer refused", "", "")
	}
	if o.stopping && !before.stopping {
		add("bad", "dispatcher is stopping: it finishes accepted images", "", "")
	}
	return list
}

// texts returns the events for an audience: name gives replicas the names that it may see.
func texts(list []happening, name func(url string) string, details bool) []board.Event {
	events := make([]board.Event, len(list))
	for i, h := range list {
		events[i] = h.Event
		if h.url != "" {
			events[i].Text = strings.Replace(h.Text, "%s", name(h.url), 1) // the rest may be a replica's words
		}
		if details && h.detail != "" {
			events[i].Text += ": " + h.detail
		}
	}
	return events
}
