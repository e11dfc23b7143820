package config

import (
	"net/url"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Throttle is a probe that says whether the environment can bear a migration now. The zero Throttle is none.
type Throttle struct {
	// URL is asked over HTTP, Command is run; one of them.
	URL     string
	Command []string
	Every   time.Duration // between two probes
	Timeout time.Duration // of one
	Ignore  bool          // a probe that fails holds nothing
	Line    int           // 0 for none
}

const (
	defaultProbeEvery   = 10 * time.Second
	defaultProbeTimeout = 5 * time.Second
)

func (d decoder) throttle(n *yaml.Node, path string, c *Config, t *Throttle) error {
	*t = Throttle{Every: defaultProbeEvery, Timeout: defaultProbeTimeout, Line: resolve(n).Line}
	duration := func(into *time.Duration) field {
		return field{read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err != nil {
				return err
			}
			if *into, err = ParseDuration(v); err != nil || *into == 0 {
				return d.errorf(n, "%s: %q is not a duration", p, n.Value).Hintf("write a number and a unit: 500ms, 10s, 1m")
			}
			return nil
		}}
	}
	err := d.mapping(n, path, map[string]field{
		"url": {read: func(n *yaml.Node, p string) (err error) {
			if t.URL, err = d.text(n, p); err != nil {
				return err
			}
			if u, err := url.Parse(t.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return d.errorf(n, "%s is not an http:// or https:// URL", p) // it may hold a token
			}
			return nil
		}},
		"command": {read: func(n *yaml.Node, p string) error { return d.command(n, p, c, &t.Command) }},
		"every":   duration(&t.Every),
		"timeout": duration(&t.Timeout),
		"on_error": {read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err == nil && v != "hold" && v != "ignore" {
				err = d.errorf(n, "%s: %q is neither hold nor ignore", p, v)
			}
			t.Ignore = v == "ignore"
			return err
		}},
	})
	if err == nil && (t.URL == "") == (len(t.Command) == 0) {
		err = d.errorf(n, "%s must have one of url and command", path).Hintf("url: https://status.internal/ready, or command: [./may-run.sh]")
	}
	return err
}
