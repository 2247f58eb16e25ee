package queue

import "github.com/resnet18cloud/resnet18cloud"

const (
	// Lanes is the number of lanes of each priority. Each costs a consumer at the storage, and memory for one job that
	// is fetched ahead.
	Lanes = 3
	// Share is the reciprocal of the share of deliveries that go to jobs of a later class while those of an earlier
	// one are always waiting: one in eight.
	Share = 8
)

// Class is a priority and a lane in it.
type Class struct {
	Priority resnet18cloud.Priority
	Lane     int
}

// Classes is the number of classes.
const Classes = 2 * Lanes

// ClassOf returns the class of a job. A priority that is not bulk is interactive, and a lane that does not exist is the
// nearest one.
func ClassOf(job resnet18cloud.Job) Class {
	c := Class{resnet18cloud.PriorityInteractive, min(max(job.Lane, 0), Lanes-1)}
	if job.Priority == resnet18cloud.PriorityBulk {
		c.Priority = job.Priority
	}
	return c
}

// Index returns the class's number: interactive classes come first, and in each priority the lowest lane.
func (c Class) Index() int {
	if c.Priority == resnet18cloud.PriorityBulk {
		return Lanes + c.Lane
	}
	return c.Lane
}

// ClassAt returns the class with the number i, from 0 to Classes-1.
func ClassAt(i int) Class {
	if i >= Lanes {
		return Class{resnet18cloud.PriorityBulk, i - Lanes}
	}
	return Class{resnet18cloud.PriorityInteractive, i}
}

// laneLimits are the numbers of jobs that a client may have waiting to get into each lane but the last.
var laneLimits = [Lanes - 1]int{2, 16}

// maxAhead is the number of turns from which a client is in the last lane, however few of its jobs wait.
const maxAhead = 64

// Lane returns the lane of a client's next job, given how many of its jobs of that priority wait, and how many turns ahead
// it is: how many would wait if clients were served in turn. The first lane is for clients with at most 1 of either, the
// second for those with up to 15 waiting, the last for the rest. A client that is far ahead is in the last lane too.
//
//	waiting   1, ahead  1   lane 0
//	waiting   2, ahead  2   lane 1
//	waiting  16, ahead 16   lane 2
//	waiting 100, ahead  0   lane 0: others were served instead
//	waiting   1, ahead 64   lane 2: it was served instead of others
//
// A client with few waiting jobs therefore passes one with many, and a client's flood or batch delays itself.
//
// See docs/decisions/0100-lanes-by-backlog.md.
func Lane(waiting, ahead int) int {
	switch {
	case ahead >= maxAhead:
		return Lanes - 1
	case waiting < laneLimits[0] || ahead < laneLimits[0]:
		return 0
	case waiting < laneLimits[1]:
		return 1
	}
	return Lanes - 1
}

// Turns decides which class is next if several have a job. The zero value is ready to use. It is not safe for
// concurrent use.
type Turns struct {
	priorities turn
	lanes      [2][Lanes - 1]turn // by priority: lane i against those after it
}

// turn counts the deliveries of an earlier class since the last one of a later class.
type turn int

func (t turn) later() bool { return t >= Share-1 }

func (t *turn) took(later bool) {
	if later {
		*t = 0
	} else {
		*t++
	}
}

// Order returns all classes, first the one whose turn it is. Call Took with the class of the job that was taken.
func (t *Turns) Order() [Classes]Class {
	var order [Classes]Class
	first, second := 0, 1
	if t.priorities.later() {
		first, second = second, first
	}
	t.fill(order[:Lanes], first)
	t.fill(order[Lanes:], second)
	return order
}

// fill writes the classes of a priority: each lane stands before those after it, or behind them if it is their turn.
func (t *Turns) fill(order []Class, priority int) {
	for lane := range Lanes {
		at := 0
		if lane < Lanes-1 && t.lanes[priority][lane].later() {
			at = len(order) - 1
		}
		class := ClassAt(priority*Lanes + lane)
		order[at] = class
		if at == 0 {
			order = order[1:]
		} else {
			order = order[:at]
		}
	}
}

// Took records that a job of the class was delivered.
func (t *Turns) Took(c Class) {
	priority := c.Index() / Lanes
	t.priorities.took(priority > 0)
	for lane := range min(c.Lane+1, Lanes-1) {
		t.lanes[priority][lane].took(c.Lane > lane)
	}
}
