package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// contestant is a process that times itself. It is told where crops are, 224x224 pixels each, red, green and blue, one crop after
// the other. It prints {"ready":"its name and version"} on a line. Then, for each line with a number n on its stdin, it classifies
// the first crop n times and prints {"seconds":[...]}, and for a line "labels" it classifies every crop and prints
// {"labels":[...]}, their best classes.
type contestant struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

// entrant is the command of a contestant. What is different about it than the version is added to its name.
type entrant struct {
	command  []string
	addendum string
}

func (e entrant) start() (*contestant, error) {
	c := &contestant{cmd: exec.Command(e.command[0], e.command[1:]...)}
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 1<<20)
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	var hello struct {
		Ready string `json:"ready"`
	}
	if err := c.read(&hello); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", strings.Join(e.command, " "), err), c.close())
	}
	c.name = hello.Ready + e.addendum
	return c, nil
}

// turn classifies the first crop.
func (c *contestant) turn(passes int) ([]float64, error) {
	var answer struct {
		Seconds []float64 `json:"seconds"`
	}
	if err := c.ask(passes, &answer); err != nil {
		return nil, err
	}
	if len(answer.Seconds) != passes {
		return nil, fmt.Errorf("%s: asked for %d passes, got %d", c.name, passes, len(answer.Seconds))
	}
	return answer.Seconds, nil
}

// labels classifies all crops, n of them.
func (c *contestant) labels(n int) ([]int, error) {
	var answer struct {
		Labels []int `json:"labels"`
	}
	if err := c.ask("labels", &answer); err != nil {
		return nil, err
	}
	if len(answer.Labels) != n {
		return nil, fmt.Errorf("%s: gave it %d crops, got %d labels", c.name, n, len(answer.Labels))
	}
	return answer.Labels, nil
}

// ask writes a line and reads one.
func (c *contestant) ask(line, answer any) error {
	_, err := fmt.Fprintln(c.in, line)
	if err == nil {
		err = c.read(answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

func (c *contestant) read(v any) error {
	if !c.out.Scan() {
		return errors.Join(c.out.Err(), io.ErrUnexpectedEOF)
	}
	return json.Unmarshal(c.out.Bytes(), v)
}

// close ends the process: its input ends, so it leaves.
func (c *contestant) close() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}
