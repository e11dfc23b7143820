package config

import (
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DefaultControl is the control database of an environment that names none, beside headgate.yaml.
const DefaultControl = ".headgate/control.db"

// DefaultControl is the control database of the environments that name none.
func (c *Config) DefaultControl() string { return "sqlite:" + c.abs(DefaultControl) }

// server reads the address of an environment's server.
func (d decoder) server(n *yaml.Node, path string, into *string) error {
	v, err := d.text(n, path)
	if err != nil {
		return err
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return d.errorf(n, "%s is not the address of a server", path).
			Hintf("write https://headgate.example.org; the token comes from HEADGATE_TOKEN")
	}
	*into = v
	return nil
}

// control reads where an environment's control database is.
func (d decoder) control(n *yaml.Node, path string, c *Config, into *string) error {
	v, err := d.text(n, path)
	if err != nil {
		return err
	}
	kind, target, _ := strings.Cut(v, ":")
	switch {
	case kind == "sqlite" && target != "" && !strings.HasPrefix(target, "//"):
		*into = "sqlite:" + c.abs(target)
		return nil
	case kind == "postgres" || kind == "postgresql":
		if _, err := url.Parse(v); err != nil || !strings.HasPrefix(target, "//") { // what is wrong quotes it, with its password
			return d.errorf(n, "%s is not the URL of a Postgres database", path).
				Hintf("write postgres://USER:${PASSWORD}@HOST:PORT/DATABASE, with odd characters in the password as %%XX")
		}
		*into = v
		return nil
	}
	return d.errorf(n, "%s is neither sqlite:PATH nor postgres://…", path).
		Hintf("write sqlite:%s for a file beside this one, or postgres://USER:${PASSWORD}@HOST/DATABASE for several machines", DefaultControl)
}
