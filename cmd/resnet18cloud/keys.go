package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// accessFlags choose which clients a server admits.
type accessFlags struct {
	Keys string `help:"File with the keys of clients, or folder of such files; it is read again when it changes. Without it, or with -, every client may do everything. See 'keys new'." placeholder:"FILE" env:"RESNET18_KEYS"`
}

// guard reads the keys. It returns nil without any.
func (f accessFlags) guard(log *slog.Logger) (*access.Guard, error) {
	if f.Keys == "" || f.Keys == "-" {
		return nil, nil
	}
	guard, err := access.Open(f.Keys, log)
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	return guard, nil
}

// openToken reads the file of a flag with a token. It returns nil without a file.
func openToken(flag, path string, log *slog.Logger) (*access.TokenFile, error) {
	if path == "" {
		return nil, nil
	}
	token, err := access.OpenTokenFile(path, log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return token, nil
}

// runFollowing runs a server while its keys and its token, either of which may be nil, follow the changes of their
// files.
func runFollowing(ctx context.Context, guard *access.Guard, token *access.TokenFile, run func(context.Context) error) error {
	following, stop := context.WithCancel(context.WithoutCancel(ctx)) // also while the server drains
	var files errgroup.Group
	if guard != nil {
		files.Go(func() error { return guard.Run(following) })
	}
	if token != nil {
		files.Go(func() error { return token.Run(following) })
	}
	err := run(ctx)
	stop()
	_ = files.Wait() // neither returns an error
	return err
}

type keysCmd struct {
	New   keysNewCmd   `cmd:"" help:"Make a key for a client: print its token, and the line for the keys file."`
	Check keysCheckCmd `cmd:"" help:"Check a keys file and print who may do what."`
}

type keysNewCmd struct {
	Name      string  `arg:"" help:"Name of the client. Its results belong to the name, so that a key can be replaced."`
	Scopes    string  `help:"What the client may do: predict (send images, and read and cancel its own results), read (state and metrics) and admin (everything), separated by commas." placeholder:"SCOPE,..." default:"predict" env:"RESNET18_KEYS_SCOPES"`
	Rate      float64 `help:"Maximum rate of the client in images per second. 0 means no limit of its own." default:"0" env:"RESNET18_KEYS_RATE"`
	InFlight  int     `help:"Maximum number of the client's requests that have not ended. 0 means no limit of its own." default:"0" env:"RESNET18_KEYS_IN_FLIGHT"`
	TokenFile string  `help:"New file to write the token to, readable by this user only, instead of printing it." type:"path" placeholder:"FILE" env:"RESNET18_KEYS_TOKEN_FILE"`
}

// Help adds to kong's text what an option cannot say.
func (keysNewCmd) Help() string {
	return `The line for the keys file goes to stdout and the token to stderr. The token is not stored anywhere: the file has only its
hash. To replace a key, add a second line for the same name, give the client the new token, and remove the first line.

  resnet18cloud keys new shop >> keys.txt
  resnet18cloud keys new scaler --scopes read --token-file token >> keys.txt
  resnet18cloud up --keys keys.txt`
}

// Run prints the line to stdout and the token to stderr.
func (c keysNewCmd) Run(env *environment) error {
	line, token, err := c.make()
	if err != nil {
		return badUsage(err)
	}
	if c.TokenFile == "" {
		fmt.Fprintf(env.stderr, "token of %s, shown only now:\n%s\n", c.Name, token)
	} else if err := writeNew(c.TokenFile, token+"\n"); err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	_, err = fmt.Fprintln(env.stdout, line)
	return err
}

// make returns a line for the keys file, and the token.
func (c keysNewCmd) make() (line, token string, err error) {
	if err := access.CheckName(c.Name); err != nil {
		return "", "", err
	}
	scopes, err := access.ParseScopes(c.Scopes)
	if err != nil {
		return "", "", fmt.Errorf("--scopes: %w", err)
	}
	token = access.NewToken()
	line = access.Key{Client: access.Client{Name: c.Name, Scopes: scopes, Rate: c.Rate, InFlight: c.InFlight}, Hash: access.HashOf(token)}.String()
	if c.Rate < 0 || c.InFlight < 0 {
		return "", "", fmt.Errorf("--rate %v and --in-flight %d: want 0 or more", c.Rate, c.InFlight)
	}
	if _, err := access.Parse("this key", []byte(line)); err != nil { // limits that are too high
		return "", "", err
	}
	return line, token, nil
}

// writeNew writes a file that must not exist.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

type keysCheckCmd struct {
	File string `arg:"" help:"Keys file, or folder of such files." type:"path"`
}

// Help adds to kong's text what an option cannot say.
func (keysCheckCmd) Help() string {
	return `  resnet18cloud keys check keys.txt
  resnet18cloud keys check keys/`
}

// Run prints a table of clients.
func (c keysCheckCmd) Run(env *environment) error {
	guard, err := access.Open(c.File, env.log)
	if err != nil {
		return err
	}
	return listClients(env.stdout, guard.Keys())
}

// listClients prints one line per client, with the scopes of all of its keys.
func listClients(w io.Writer, keys access.Keys) error {
	type client struct {
		access.Client
		keys int
	}
	clients := map[string]client{}
	var names []string
	for _, k := range keys {
		c, known := clients[k.Name]
		if !known {
			names = append(names, k.Name)
		}
		scopes := c.Scopes | k.Scopes
		c.Client, c.keys = k.Client, c.keys+1
		c.Scopes = scopes
		clients[k.Name] = c
	}
	slices.SortFunc(names, strings.Compare)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "client\tkeys\tscopes\timages per second\tin flight")
	limit := func(n float64) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	for _, name := range names {
		c := clients[name]
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", name, c.keys, c.Scopes, limit(c.Rate), limit(float64(c.InFlight)))
	}
	return table.Flush()
}
