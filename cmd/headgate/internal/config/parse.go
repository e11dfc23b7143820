package config

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// Parse reads a headgate.yaml that stands at path, and checks everything that the file alone can tell.
func Parse(data []byte, path string, lookupEnv func(string) (string, bool)) (*Config, error) {
	d := decoder{file: path, lookupEnv: lookupEnv}
	root, err := d.root(data)
	if err != nil {
		return nil, err
	}
	c := &Config{Path: path, Dir: filepath.Dir(path)}
	releases, migrations := "headgate/releases", "headgate/migrations"
	err = d.mapping(root, "", map[string]field{
		"app":          d.required(d.textInto(&c.App)),
		"schemas":      d.required(field{read: func(n *yaml.Node, p string) error { return d.schemas(n, p, c) }}),
		"releases":     d.textInto(&releases),
		"migrations":   d.textInto(&migrations),
		"environments": {read: func(n *yaml.Node, p string) error { return d.environments(n, p, c) }},
		"suppressions": {read: func(n *yaml.Node, p string) error { return d.suppressions(n, p, c) }},
	}, "rollouts", "flags", "server", "control", "clients", "telemetry", "webhooks", "migrationsTable")
	if err != nil {
		return nil, err
	}
	c.Releases, c.Migrations = c.abs(releases), c.abs(migrations)
	return c, d.checkReferences(c)
}

// required marks a field that must be there.
func (d decoder) required(f field) field {
	f.required = true
	return f
}

// abs makes a path that is relative to the file absolute.
func (c *Config) abs(path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.Dir, path)
}

func (d decoder) schemas(n *yaml.Node, path string, c *Config) error {
	err := d.named(n, path, func(name string, key, value *yaml.Node, path string) error {
		s := Schema{Name: name, Export: "schema", Line: key.Line}
		var queries string
		err := d.mapping(value, path, map[string]field{
			"entry":    d.required(d.textInto(&s.EntryAsWritten)),
			"export":   d.textInto(&s.Export),
			"adapters": d.required(field{read: func(n *yaml.Node, p string) error { return d.adapters(n, p, &s) }}),
			"queries":  d.textInto(&queries),
			"gated":    {read: func(n *yaml.Node, p string) error { return d.texts(n, p, &s.Gated) }},
		})
		if err != nil {
			return err
		}
		s.Entry = c.abs(s.EntryAsWritten)
		if queries != "" {
			s.Queries = c.abs(queries)
		}
		c.Schemas = append(c.Schemas, s)
		return nil
	})
	if err == nil && len(c.Schemas) == 0 {
		return d.errorf(n, "schemas is empty").Hintf("name at least one: `main: {entry: src/livestore/schema.ts, adapters: [web]}`")
	}
	return err
}

func (d decoder) texts(n *yaml.Node, path string, into *[]string) error {
	return d.list(n, path, func(n *yaml.Node, path string) error {
		v, err := d.text(n, path)
		*into = append(*into, v)
		return err
	})
}

func (d decoder) adapters(n *yaml.Node, path string, s *Schema) error {
	var known []string
	for _, a := range Adapters() {
		known = append(known, string(a))
	}
	err := d.list(n, path, func(n *yaml.Node, path string) error {
		v, err := d.text(n, path)
		if err != nil {
			return err
		}
		v = strings.TrimPrefix(v, "@livestore/adapter-")
		if !slices.Contains(known, v) {
			err := d.errorf(n, "%s: unknown adapter %q", path, v).Hintf("there are: %s", strings.Join(known, ", "))
			if near := suggest.Nearest(v, known); near != "" {
				err.Hintf("did you mean %s?", near)
			}
			return err
		}
		if slices.Contains(s.Adapters, Adapter(v)) {
			return d.errorf(n, "%s: %s is there twice", path, v)
		}
		s.Adapters = append(s.Adapters, Adapter(v))
		return nil
	})
	if err == nil && len(s.Adapters) == 0 {
		return d.errorf(n, "%s is empty", path).Hintf("what an upgrade does depends on the adapter; there are: %s", strings.Join(known, ", "))
	}
	return err
}

func (d decoder) environments(n *yaml.Node, path string, c *Config) error {
	if isNull(resolve(n)) {
		return nil
	}
	return d.named(n, path, func(name string, key, value *yaml.Node, path string) error {
		e := Environment{Name: name, Pace: DefaultPace, Control: c.DefaultControl(), Line: key.Line}
		err := d.mapping(value, path, map[string]field{
			"stores":    {read: func(n *yaml.Node, p string) error { return d.stores(n, p, c, &e) }},
			"log":       {read: func(n *yaml.Node, p string) error { return d.sharedLog(n, p, c, &e.Log) }},
			"inventory": {read: func(n *yaml.Node, p string) error { return d.inventory(n, p, c, &e.Inventory) }},
			"auth":      {read: func(n *yaml.Node, p string) error { return d.auth(n, p, c, &e.Auth) }},
			"admin":     {read: func(n *yaml.Node, p string) error { return d.variable(n, p, DefaultAdminVariable, &e.AdminVariable) }},
			"pace":      {read: func(n *yaml.Node, p string) error { return d.pace(n, p, &e.Pace) }},
			"control":   {read: func(n *yaml.Node, p string) error { return d.control(n, p, c, &e.Control) }},
			"fleet":     {read: func(n *yaml.Node, p string) error { return d.fleet(n, p, &e.Fleet) }},
			"approvals": {read: func(n *yaml.Node, p string) error { return d.approvals(n, p, &e.Approvals) }},
			"waves":     {read: func(n *yaml.Node, p string) error { return d.waves(n, p, &e) }},
			"throttle":  {read: func(n *yaml.Node, p string) error { return d.throttle(n, p, c, &e.Throttle) }},
			"clients":   {read: func(n *yaml.Node, p string) error { return d.patterns(n, p, &e.Clients) }},
			"webhook":   {read: func(n *yaml.Node, p string) error { return d.webhook(n, p, c, &e.Webhook) }},
			"server":    {read: func(n *yaml.Node, p string) error { return d.server(n, p, &e.Server) }},
		}, "sync", "flags", "telemetry")
		if err == nil {
			err = d.shareLog(&e, path)
		}
		if err == nil && e.Inventory.Line > 0 && len(e.Stores) > 0 {
			err = d.errorf(value, "%s has both stores and inventory", path).Hintf("keep one of them: the inventory lists all stores, or this file does")
		}
		c.Environments = append(c.Environments, e)
		return err
	})
}

func (d decoder) stores(n *yaml.Node, path string, c *Config, e *Environment) error {
	return d.list(n, path, func(n *yaml.Node, path string) error {
		s := Store{State: Active, Line: resolve(n).Line}
		var id string
		err := d.mapping(n, path, map[string]field{
			"id":     d.required(d.textInto(&id)),
			"schema": d.textInto(&s.Schema),
			"log": {read: func(n *yaml.Node, p string) (err error) {
				s.Log, err = d.logURL(n, p, c)
				return err
			}},
			"region": d.textInto(&s.Region),
			"state":  {read: func(n *yaml.Node, p string) error { return d.storeState(n, p, &s.State) }},
			"idle":   {read: func(n *yaml.Node, p string) error { return d.boolean(n, p, &s.Idle) }},
		}, "match")
		if err != nil {
			return err
		}
		if !namePattern().MatchString(id) {
			return d.errorf(n, "%s.id: %q has other characters than letters, digits, - and _", path, id).
				Hintf("LiveStore does not accept such a storeId either")
		}
		s.ID = livestore.StoreID(id)
		if first, twice := e.Store(s.ID); twice {
			return d.errorf(n, "%s.id: %q is there twice", path, id).Hintf("the first is on line %d", first.Line)
		}
		e.Stores = append(e.Stores, s)
		return nil
	})
}

func (d decoder) approvals(n *yaml.Node, path string, approvals *int) error {
	v, err := d.text(n, path)
	if err != nil {
		return err
	}
	if *approvals, err = strconv.Atoi(v); err != nil || *approvals < 0 {
		return d.errorf(n, "%s: %q is not a number from 0 on", path, n.Value)
	}
	return nil
}

func (d decoder) pace(n *yaml.Node, path string, pace *time.Duration) error {
	v, err := d.text(n, path)
	if err != nil {
		return err
	}
	if *pace, err = ParseDuration(v); err != nil {
		return d.errorf(n, "%s: %q is not a duration", path, n.Value).Hintf("write a number and a unit: 500ms, 2s; 0 for no pause")
	}
	return nil
}

func (d decoder) fleet(n *yaml.Node, path string, f *Fleet) error {
	if isNull(resolve(n)) {
		return nil
	}
	return d.mapping(n, path, map[string]field{
		"horizon": {read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err != nil {
				return err
			}
			f.Horizon, err = ParseDuration(v)
			if err != nil || f.Horizon == 0 {
				return d.errorf(n, "%s: %q is not a duration", p, n.Value).Hintf("write a number and a unit: 90d, 12h, 30m, 2w")
			}
			return nil
		}},
		"alive": {read: func(n *yaml.Node, p string) error { return d.alive(n, p, f) }},
	})
}

func (d decoder) alive(n *yaml.Node, path string, f *Fleet) error {
	total := 0.0
	return d.list(n, path, func(n *yaml.Node, path string) error {
		a := Alive{Line: resolve(n).Line}
		err := d.mapping(n, path, map[string]field{
			"release": d.required(field{read: func(n *yaml.Node, p string) (err error) {
				if a.Release, err = d.text(n, p); err != nil {
					return err
				}
				if !IsVersion(a.Release) {
					return d.errorf(n, "%s: %q is not a semantic version", p, n.Value).Hintf("write three numbers: 1.2.0, or 1.2.0-beta.1")
				}
				return nil
			}}),
			"share": {read: func(n *yaml.Node, p string) (err error) {
				v, err := d.text(n, p)
				if err != nil {
					return err
				}
				if a.Share, err = ParseShare(v); err != nil {
					return d.errorf(n, "%s: %q is not a share", p, n.Value).Hintf("write a percentage between 0%% and 100%%: 12%%, 0.5%%")
				}
				return nil
			}},
		})
		if err != nil {
			return err
		}
		for _, b := range f.Alive {
			if b.Release == a.Release {
				return d.errorf(n, "%s: release %s is there twice", path, a.Release).Hintf("the first is on line %d", b.Line)
			}
		}
		total += a.Share
		if total > 1.0000001 {
			return d.errorf(n, "%s: the shares add up to more than 100%%", path)
		}
		f.Alive = append(f.Alive, a)
		return nil
	})
}

func (d decoder) suppressions(n *yaml.Node, path string, c *Config) error {
	return d.list(n, path, func(n *yaml.Node, path string) error {
		s := Suppression{Line: resolve(n).Line}
		err := d.mapping(n, path, map[string]field{
			"code": d.required(field{read: func(n *yaml.Node, p string) (err error) {
				if s.Code, err = d.text(n, p); err != nil {
					return err
				}
				if !codePattern().MatchString(s.Code) {
					return d.errorf(n, "%s: %q is not a finding's code", p, n.Value).Hintf("codes look like ST103")
				}
				return nil
			}}),
			"path":   d.required(d.textInto(&s.Path)),
			"reason": d.required(d.textInto(&s.Reason)),
			"owner":  d.required(d.textInto(&s.Owner)),
			"expires": d.required(field{read: func(n *yaml.Node, p string) error {
				v, err := d.text(n, p)
				if err != nil {
					return err
				}
				if s.Expires, err = time.Parse(time.DateOnly, v); err != nil {
					return d.errorf(n, "%s: %q is not a date", p, n.Value).Hintf("write year, month and day: 2027-03-31")
				}
				return nil
			}}),
		})
		if err != nil {
			return err
		}
		for _, other := range c.Suppressions {
			if other.Code == s.Code && other.Path == s.Path {
				return d.errorf(n, "%s: %s for %s is there twice", path, s.Code, s.Path).Hintf("the first is on line %d", other.Line)
			}
		}
		c.Suppressions = append(c.Suppressions, s)
		return nil
	})
}

// checkReferences checks what one part of the file says about another. A store without a schema gets the only one.
func (d decoder) checkReferences(c *Config) error {
	for i := range c.Environments {
		e := &c.Environments[i]
		for j := range e.Stores {
			s := &e.Stores[j]
			found, err := c.Schema(s.Schema)
			if e := errs.As(err); e != nil {
				if s.Schema == "" {
					e.Msg = "store " + string(s.ID) + " must say its schema, the app has several"
				}
				return e.At("%s:%d", d.file, s.Line)
			}
			s.Schema = found.Name
		}
	}
	return nil
}

func unknown(what, name, where string, known []string) *errs.Error {
	err := errs.NotFoundf("there is no %s %q", what, name).At("%s", where).Hintf("there are: %s", strings.Join(known, ", "))
	if near := suggest.Nearest(name, known); near != "" {
		err.Hintf("did you mean %s?", near)
	}
	return err
}

func names[T any](items []T, name func(T) string) []string {
	var out []string
	for _, item := range items {
		out = append(out, name(item))
	}
	return out
}

func list[T any](items []T, name func(T) string) string {
	return strings.Join(names(items, name), ", ")
}

// versionPattern is semver.org's own expression.
func versionPattern() *regexp.Regexp {
	return regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$`)
}

func codePattern() *regexp.Regexp { return regexp.MustCompile(`^[A-Z]{2}\d{3}$`) }
