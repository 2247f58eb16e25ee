//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type doctorCmd struct {
	Addr        string `help:"TCP address that 'up' or 'dispatcher' is to listen on." type:"listen" default:"127.0.0.1:8080" placeholder:"ADDR" env:"RESNET18_DISPATCHER_ADDR"`
	ReplicaPort int    `help:"First port of replicas on 127.0.0.1." default:"5000" env:"RESNET18_REPLICA_PORT"`
	Model       string `help:"Weight file. Default: the file that 'model pull' fetched." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	DataDir     string `help:"Folder for queue and results. Default: resnet18cloud/queue in the user's cache folder." type:"path" placeholder:"DIR" env:"RESNET18_DATA_DIR"`
	NATS        string `name:"nats" help:"URLs of the external NATS servers to reach, separated by commas. Default: the built-in server, which needs none." type:"nats" placeholder:"URL" env:"RESNET18_NATS"`
	Mirror      string `help:"Folder or URL with a models.json, instead of torchvision's site." type:"url" placeholder:"DIR|URL" env:"MODEL_MIRROR"`
	Offline     bool   `help:"Do not try the network."`
	JSON        bool   `help:"Print JSON."`
}

// Help adds to kong's text what an option cannot say.
func (doctorCmd) Help() string {
	return `Each line is ok, a warning or a problem, and says what to do. The exit status is 1 if there is a problem. It takes ten seconds
at most, and changes nothing.

  resnet18cloud doctor
  resnet18cloud doctor --addr :8081 --model mine.safetensors
  resnet18cloud doctor --json | jq '.[] | select(.state != "ok")'`
}

// finding is one line of doctor.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warning or problem
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

const (
	healthy = "ok"
	warning = "warning"
	problem = "problem"
)

// doctorTimeout bounds all of doctor's attempts to connect to one thing.
const doctorTimeout = 4 * time.Second

// Run prints the findings.
func (c doctorCmd) Run(ctx context.Context, env *environment) error {
	if err := badUsage(checkPort("--replica-port", c.ReplicaPort)); err != nil {
		return err
	}
	c.DataDir = cmp.Or(c.DataDir, defaultDataDir())
	cpu, err := engine.DescribeCPU()
	findings := []finding{judgeCPU(cpu, err), judgeCPUs(cpu.Quota, runtime.NumCPU()), judgeMemory(memoryLimit()),
		c.weights(), portFinding("port", c.Addr, "choose another: up --addr :8081"),
		portFinding("replica port", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.ReplicaPort)), "none needed: up takes the next free port"),
		judgeDisk(c.DataDir), judgeDescriptors(descriptors())}
	if findings[5].State == problem {
		findings[5].State = warning
	}
	findings = append(findings, c.nats(ctx), c.network(ctx))
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(env.stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(findings)
	} else {
		err = nil
		for _, f := range findings {
			fmt.Fprintf(env.stdout, "%-8s %-12s  %s\n", f.State, f.Check, f.Detail)
			if f.Advice != "" {
				fmt.Fprintf(env.stdout, "%23s-> %s\n", "", f.Advice)
			}
		}
	}
	for _, f := range findings {
		if f.State == problem && err == nil {
			err = errReported
		}
	}
	return err
}

// judgeCPU says what the instruction sets of the CPU mean for precision.
func judgeCPU(cpu engine.CPU, err error) finding {
	if err != nil {
		return finding{"cpu", problem, err.Error(), "unset RESNET18_CPU, or set it to a level that this CPU has"}
	}
	f := finding{Check: "cpu", State: healthy, Detail: fmt.Sprintf("%s; kernels %s, in bf16 %s, in int8 %s", strings.Join(cpu.Levels, ", "), cpu.FP32, cmp.Or(cpu.BF16, "none"), cpu.Int8)}
	if cpu.FP32 == "generic" {
		f.State, f.Advice = warning, "plain Go kernels are some 20 times slower; use a CPU with AVX2 or NEON, and a build without -tags purego"
		return f
	}
	f.Advice = fmt.Sprintf("--precision auto takes %s: %s", cpu.Auto.Precision, cpu.Auto.Why)
	return f
}

// judgeCPUs compares the CPUs that this process may use with those of the machine.
func judgeCPUs(quota, machine int) finding {
	f := finding{Check: "cpus", State: healthy, Detail: fmt.Sprintf("%d of %d usable", quota, machine)}
	if quota < machine {
		f.Advice = "a quota (cgroup or GOMAXPROCS) limits this process; raise it for more images per second"
	}
	return f
}

// judgeMemory says whether a memory limit, 0 if there is none, has room for up with one replica.
func judgeMemory(limit int64) finding {
	const fp32, int8 = 512 << 20, 256 << 20
	text := "no limit of this process"
	if limit > 0 {
		text = fmt.Sprintf("limit %d MiB", limit>>20)
	}
	switch {
	case limit > 0 && limit < int8:
		return finding{"memory", problem, text, "give it 512 MiB or more for a dispatcher with a replica"}
	case limit > 0 && limit < fp32:
		return finding{"memory", warning, text, "use weights made by 'model quantize', or give it 512 MiB or more"}
	}
	return finding{Check: "memory", State: healthy, Detail: text}
}

// memoryLimit is the limit of the cgroup of this process or of GOMEMLIMIT, in bytes, and 0 without one.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				limit = min(limit, n)
			}
		}
	}
	if limit >= 1<<60 {
		return 0
	}
	return limit
}

// weights checks the weight file as 'model verify' and 'up' do.
func (c doctorCmd) weights() finding {
	path, err := model.Find(c.Model)
	if errors.Is(err, model.ErrNone) {
		return finding{"weights", warning, "none: up would run on random weights", "resnet18cloud model pull, or up --model FILE"}
	}
	if err == nil {
		var r model.Report
		if r, err = model.Verify(path, model.Options{}); err == nil {
			return finding{Check: "weights", State: healthy, Detail: fmt.Sprintf("%s, %s", r.Identity, path)}
		}
	}
	return finding{"weights", problem, err.Error(), "resnet18cloud model verify FILE says more; 'model pull --again' fetches good ones"}
}

// portFinding tries to listen on an address.
func portFinding(check, addr, advice string) finding {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return finding{check, problem, err.Error(), advice}
	}
	_ = l.Close()
	return finding{Check: check, State: healthy, Detail: addr + " is free"}
}

// judgeDisk tries to write in the nearest folder of dir that exists, and looks at the free space there.
func judgeDisk(dir string) finding {
	at := dir
	for {
		if info, err := os.Stat(at); err == nil {
			if !info.IsDir() {
				return finding{"disk", problem, at + " is not a folder", "set --data-dir to a folder"}
			}
			break
		}
		if parent := filepath.Dir(at); parent != at {
			at = parent
			continue
		}
		break
	}
	f, err := os.CreateTemp(at, ".resnet18cloud-doctor-*")
	if err != nil {
		return finding{"disk", problem, err.Error(), "set --data-dir to a folder that this user can write to"}
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	free, known := freeBytes(at)
	if !known {
		return finding{Check: "disk", State: healthy, Detail: dir + " can be written"}
	}
	return judgeFree(dir, free)
}

// judgeFree says whether free bytes are enough for a queue and results of the default sizes.
func judgeFree(dir string, free uint64) finding {
	text := fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), dir)
	switch {
	case free < 64<<20:
		return finding{"disk", problem, text, "free some space, or set --data-dir to a folder on another disk"}
	case free < 2<<30:
		return finding{"disk", warning, text, "the queue will hold less than 1 GiB of images; free 2 GiB, or set --queue-bytes"}
	}
	return finding{Check: "disk", State: healthy, Detail: text}
}

// judgeDescriptors says whether the limit of open files, 0 if it is not known, is enough for many clients.
func judgeDescriptors(limit uint64) finding {
	switch {
	case limit == 0:
		return finding{Check: "descriptors", State: healthy, Detail: "no limit known"}
	case limit < 4096:
		return finding{"descriptors", warning, fmt.Sprintf("%d open files at most", limit), "for more than some hundred clients: ulimit -n 65536"}
	}
	return finding{Check: "descriptors", State: healthy, Detail: fmt.Sprintf("%d open files at most", limit)}
}

// nats connects to the first external server that answers.
func (c doctorCmd) nats(ctx context.Context) finding {
	if c.NATS == "" {
		return finding{Check: "nats", State: healthy, Detail: "the built-in server is used"}
	}
	if c.Offline {
		return finding{Check: "nats", State: healthy, Detail: "not tried (--offline)"}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	var failures []string
	for server := range strings.SplitSeq(c.NATS, ",") {
		u, err := url.Parse(server)
		if err == nil {
			var conn net.Conn
			if conn, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4222"))); err == nil {
				_ = conn.Close()
				return finding{Check: "nats", State: healthy, Detail: u.Host + " accepts connections"}
			}
		}
		failures = append(failures, err.Error())
	}
	return finding{"nats", problem, strings.Join(failures, "; "), "start NATS with JetStream (nats-server -js), or correct --nats"}
}

// torchvisionHost is where 'model pull' fetches from without a mirror.
const torchvisionHost = "https://download.pytorch.org/"

// network tries to reach what 'model pull' fetches from. Nothing else needs it, so a failure is a warning.
func (c doctorCmd) network(ctx context.Context) finding {
	const advice = "'model pull' will not work; use MODEL_MIRROR=DIR, HTTPS_PROXY, or --model FILE"
	from := cmp.Or(c.Mirror, torchvisionHost)
	if !strings.Contains(from, "://") {
		if _, err := os.Stat(filepath.Join(from, "models.json")); err != nil {
			return finding{"mirror", problem, err.Error(), "set MODEL_MIRROR to a folder or URL with a models.json"}
		}
		return finding{Check: "mirror", State: healthy, Detail: from}
	}
	if c.Offline {
		return finding{Check: "network", State: healthy, Detail: "not tried (--offline)"}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, from, nil)
	if err != nil {
		return finding{"network", problem, err.Error(), "set MODEL_MIRROR to a folder or URL with a models.json"}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return finding{"network", warning, err.Error(), advice}
	}
	_ = resp.Body.Close()
	return finding{Check: "network", State: healthy, Detail: req.URL.Host + " answers"}
}
