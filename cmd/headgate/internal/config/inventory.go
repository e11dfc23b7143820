package config

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Inventory says where an environment's stores are listed, instead of in the file itself: exactly one of File, Query
// and Command is there. The zero value is none.
type Inventory struct {
	File    string   // absolute
	DSN     string   // postgres://…, which may hold a password; of Query
	Query   string   // one SELECT
	Command []string // the program and its arguments; a path is absolute
	Line    int      // 0 for none
}

// A StoreState says what headgate may do with a store.
type StoreState string

// The states of a store.
const (
	Active  StoreState = "active"
	Hold    StoreState = "hold"    // it exists, and is left alone
	Deleted StoreState = "deleted" // it must not be contacted: that would create it anew
)

// storeState reads the state of a store that the file lists.
func (d decoder) storeState(n *yaml.Node, path string, into *StoreState) error {
	v, err := d.text(n, path)
	if err != nil {
		return err
	}
	*into = StoreState(v)
	if !slices.Contains([]StoreState{Active, Hold, Deleted}, *into) {
		return d.errorf(n, "%s: unknown state %q", path, v).Hintf("a state is active, hold or deleted")
	}
	return nil
}

func (d decoder) boolean(n *yaml.Node, path string, into *bool) error {
	if n = resolve(n); n.ShortTag() != "!!bool" || n.Decode(into) != nil {
		return d.errorf(n, "%s is neither true nor false", path)
	}
	return nil
}

func (d decoder) inventory(n *yaml.Node, path string, c *Config, i *Inventory) error {
	i.Line = n.Line
	err := d.mapping(n, path, map[string]field{
		"file": {read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err != nil {
				return err
			}
			known := []string{".csv", ".json", ".jsonl", ".yaml", ".yml"}
			if !slices.Contains(known, strings.ToLower(filepath.Ext(v))) {
				return d.errorf(n, "%s: the file's name does not say its kind", p).Hintf("it ends with one of %s", strings.Join(known, ", "))
			}
			i.File = c.abs(v)
			return nil
		}},
		"sql": {read: func(n *yaml.Node, p string) error {
			return d.mapping(n, p, map[string]field{
				"dsn": d.required(field{read: func(n *yaml.Node, p string) (err error) {
					if i.DSN, err = d.text(n, p); err != nil {
						return err
					}
					u, err := url.Parse(i.DSN) // what is wrong with it quotes it, with its password
					if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
						return d.errorf(n, "%s is not the URL of a Postgres database", p).
							Hintf("write postgres://USER:${PASSWORD}@HOST:PORT/DATABASE, with odd characters in the password as %%XX")
					}
					return nil
				}}),
				"query": d.required(d.textInto(&i.Query)),
			})
		}},
		"command": {read: func(n *yaml.Node, p string) error { return d.command(n, p, c, &i.Command) }},
	})
	if err != nil {
		return err
	}
	given := 0
	for _, there := range []bool{i.File != "", i.Query != "", i.Command != nil} {
		if there {
			given++
		}
	}
	if given != 1 {
		return d.errorf(n, "%s must have one of file, sql and command", path).
			Hintf("file: stores.csv; sql: {dsn: \"postgres://…\", query: \"SELECT id FROM stores\"}; or command: [node, stores.mjs]")
	}
	return nil
}

// command reads a program and its arguments.
func (d decoder) command(n *yaml.Node, path string, c *Config, into *[]string) error {
	if err := d.texts(n, path, into); err != nil {
		return err
	}
	if len(*into) == 0 {
		return d.errorf(n, "%s is empty", path).Hintf("write the program and its arguments: [node, scripts/token.mjs]")
	}
	if program := &(*into)[0]; strings.ContainsAny(*program, `/\`) { // others are looked for in PATH
		*program = c.abs(*program)
	}
	return nil
}
