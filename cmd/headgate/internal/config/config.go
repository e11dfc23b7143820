// Package config reads headgate.yaml: strictly, with a line for every complaint, and with every path made absolute.
// Precedence is flag, then HEADGATE_ variable, then file, then default.
//
// It does not open what the file names: an entry module, a log or a release that does not exist is reported by
// whoever needs it, with the Where that this package gives.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// FileName is the name that Find looks for.
const FileName = "headgate.yaml"

// MaxSize is the size in bytes from which a file is refused: nobody wrote that by hand.
const MaxSize = 1 << 20

// A Config is a whole headgate.yaml. Slices keep the file's order; paths are absolute.
type Config struct {
	Path string // of the file
	Dir  string // of the file; relative paths in it start here
	App  string

	Schemas      []Schema
	Releases     string // directory of release snapshots, one directory per schema in it
	Migrations   string // directory of backfill migrations
	Environments []Environment
	Suppressions []Suppression
}

// A Schema is one store kind of the app: a module that exports a LiveStore schema.
type Schema struct {
	Name           string
	Entry          string // absolute path of the module
	EntryAsWritten string // as in the file, for messages and reports
	Export         string // "schema" by default
	Adapters       []Adapter
	Queries        string   // absolute path of a module whose exports are query definitions, or ""
	Gated          []string // events that the app emits only once their readers are there
	Line           int
}

// An Adapter is a LiveStore adapter that the app ships with this schema.
type Adapter string

// The adapters that headgate knows the behaviour of.
const (
	Web        Adapter = "web"
	Node       Adapter = "node"
	Expo       Adapter = "expo"
	Cloudflare Adapter = "cloudflare"
)

// Adapters lists them in the order that messages use.
func Adapters() []Adapter { return []Adapter{Web, Node, Expo, Cloudflare} }

// An Environment is a place where the app runs: production, staging, a developer's machine.
type Environment struct {
	Name string
	// Stores are those that the file itself lists, whatever their state. Where Inventory is there, they are listed elsewhere.
	Stores    []Store
	Inventory Inventory
	Log       LogURL // of stores that name none; zero for none
	Auth      Auth   // towards its sync backend
	// AdminVariable is the environment variable that holds the secret of its sync backend's admin route; empty for
	// [DefaultAdminVariable].
	AdminVariable string
	Pace          time.Duration // between two pushes to one store
	// Control is the control database: sqlite: and an absolute path, or a postgres:// URL, which may hold a password.
	Control string
	Server  string // the address of its `headgate serve`, through which commands work; empty for none
	Fleet   Fleet
	Clients []string // patterns of server-side clients: those that fit one are one client, whose last release counts
	Waves   []Wave   // in which order a run takes the stores
	Webhook Webhook  // is told what happens
	// Throttle says whether runs may go on now.
	Throttle Throttle
	// Approvals is how many others than who applies a plan must have approved it; 0 for none, and then no plan is needed.
	Approvals int
	Line      int
}

// DefaultPace leaves live clients room to push between ours.
const DefaultPace = 500 * time.Millisecond

// A Store is one event log of an environment.
type Store struct {
	ID     livestore.StoreID
	Schema string // name of a Schema
	Log    LogURL
	Region string // may be empty
	State  StoreState
	Idle   bool // nobody else writes to it: it needs no pace
	Line   int  // in headgate.yaml; of the inventory where that lists it
}

// A Fleet says which releases are out there, until a census says it better.
type Fleet struct {
	Horizon time.Duration // how long a client may be away and still count; 0 when the file does not say
	Alive   []Alive
}

// An Alive is a release that some clients run.
type Alive struct {
	Release string  // strict semantic version
	Share   float64 // of all clients, 0 to 1
	Line    int
}

// A Suppression accepts one finding for a while.
type Suppression struct {
	Code    string // "ST103"
	Path    string // what the finding is about, as it prints it
	Reason  string
	Owner   string
	Expires time.Time // midnight UTC of the day from which it no longer counts
	Line    int
}

// Where returns a place in the file for an error.
func (c *Config) Where(line int) string { return fmt.Sprintf("%s:%d", c.Path, line) }

// Schema returns the schema with this name. An empty name means the only schema, and is an error when there are
// several.
func (c *Config) Schema(name string) (Schema, error) {
	if name == "" {
		if len(c.Schemas) == 1 {
			return c.Schemas[0], nil
		}
		return Schema{}, errs.Invalidf("the app has several schemas: name one with --schema").At("%s", c.Path).
			Hintf("there are: %s", list(c.Schemas, func(s Schema) string { return s.Name }))
	}
	for _, s := range c.Schemas {
		if s.Name == name {
			return s, nil
		}
	}
	return Schema{}, unknown("schema", name, c.Path, names(c.Schemas, func(s Schema) string { return s.Name }))
}

// ErrWhichEnvironment is in the error of a command that does not say which of several environments it means.
var ErrWhichEnvironment = errors.New("name one with --env")

// Environment returns the environment with this name. An empty name means the only one, and is an error when there
// are several or none.
func (c *Config) Environment(name string) (Environment, error) {
	if name == "" && len(c.Environments) == 1 {
		return c.Environments[0], nil
	}
	all := names(c.Environments, func(e Environment) string { return e.Name })
	if len(all) == 0 {
		return Environment{}, errs.NotFoundf("there is no environment").At("%s", c.Path).
			Hintf("add one under environments:, see `headgate help config`").Then("headgate help config")
	}
	if name == "" {
		return Environment{}, errs.Invalidf("there are several environments").Because(ErrWhichEnvironment).At("%s", c.Path).
			Hintf("there are: %s", list(c.Environments, func(e Environment) string { return e.Name }))
	}
	for _, e := range c.Environments {
		if e.Name == name {
			return e, nil
		}
	}
	return Environment{}, unknown("environment", name, c.Path, all)
}

// PaceOf is the pause between two pushes to a store: none where nobody else writes.
func (e Environment) PaceOf(s Store) time.Duration {
	if s.Idle {
		return 0
	}
	return e.Pace
}

// Store returns the store with this id.
func (e Environment) Store(id livestore.StoreID) (Store, bool) {
	i := slices.IndexFunc(e.Stores, func(s Store) bool { return s.ID == id })
	if i < 0 {
		return Store{}, false
	}
	return e.Stores[i], true
}

// A Source says where to read the configuration from.
type Source struct {
	Path      string // the file, from --config; empty to look for it upwards of Dir
	Dir       string // working directory
	LookupEnv func(string) (string, bool)
}

// Load finds, reads and checks the configuration.
func Load(src Source) (*Config, error) {
	path := src.Path
	if path == "" {
		found, err := Find(src.Dir)
		if err != nil {
			return nil, err
		}
		path = found
	} else if !filepath.IsAbs(path) {
		path = filepath.Join(src.Dir, path)
	}
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(data, path, src.LookupEnv)
	if err != nil {
		return nil, err
	}
	for variable, dir := range map[string]*string{"HEADGATE_RELEASES": &c.Releases, "HEADGATE_MIGRATIONS": &c.Migrations} {
		if v, ok := src.LookupEnv(variable); ok && v != "" {
			*dir = v
			if !filepath.IsAbs(v) {
				*dir = filepath.Join(src.Dir, v) // a variable is set where the command is typed
			}
		}
	}
	return c, nil
}

// Find returns the nearest headgate.yaml in dir or above it.
func Find(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		path := filepath.Join(d, FileName)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", errs.New(errs.Internal, "can't look for the configuration").At("%s", path).Because(err).
				Hintf("make the directory readable, or name the file with --config")
		}
		if d == filepath.Dir(d) {
			return "", errs.NotFoundf("no %s in this directory or above it", FileName).At("%s", dir).
				Hintf("run `headgate init` in the app's directory, or name the file with --config").Then("headgate init")
		}
	}
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.NotFoundf("there is no such file").At("%s", path).
			Hintf("check --config and HEADGATE_CONFIG").Then("headgate init")
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the configuration").At("%s", path).Because(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, errs.Invalidf("can't read the configuration").At("%s", path).Because(err)
	}
	if len(data) > MaxSize {
		return nil, errs.Invalidf("the file is larger than 1 MB").At("%s", path).Hintf("is this a headgate.yaml?")
	}
	return data, nil
}
