package rollout

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Prometheus is a query to a Prometheus server, or to what speaks its HTTP API.
type Prometheus struct {
	Address string // http://… or https://…, without /api/v1/query
	Query   string // {env}, {rollout}, {event}, {weight} and {step} in it are replaced

	// Authorization names the environment variable with the value of the header of that name: "Bearer …". Empty for none.
	Authorization string
	Timeout       time.Duration
}

// prometheusTime is how long an answer may take where the file does not say.
const prometheusTime = 10 * time.Second

// variableName is what an environment variable may be called.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// webAddress is an http:// or https:// address without a name or password in it; nil for what is none.
func webAddress(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.User != nil {
		return nil
	}
	return u
}

// provider checks that exactly one thing is measured.
func (d decoder) provider(key *yaml.Node, p string, t *Template) error {
	n := 0
	for _, there := range []bool{len(t.Command) > 0, t.Signal != "", t.Prometheus != nil} {
		if there {
			n++
		}
	}
	switch {
	case n == 0:
		return d.errorf(key, "%s says nothing to measure", p).Hintf("write one of signal: unknown-event-rate, prometheus: {address: …, query: …}, and command: [node, scripts/errors.mjs]")
	case n > 1:
		return d.errorf(key, "%s says more than one thing to measure", p).Hintf("signal, prometheus and command exclude each other: write several analyses")
	case t.Signal != "" && t.For == 0:
		return d.errorf(key, "%s.for is missing", p).Hintf("add how far back the signal looks: `for: 10m`")
	case t.Signal != "" && (t.For < 10*time.Second || t.For > 48*time.Hour):
		return d.errorf(key, "%s.for is %s", p, t.For).Hintf("signals are counted in steps of 10s, and finely for 48h")
	case t.Signal == "" && t.For != 0:
		return d.errorf(key, "%s.for is for signal only", p)
	}
	return nil
}

func (d decoder) prometheus(n *yaml.Node, p string) (*Prometheus, error) {
	out := &Prometheus{Timeout: prometheusTime}
	address := d.value(func(s string) error {
		if u := webAddress(s); u == nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%q is not the address of a Prometheus", s)
		}
		out.Address = strings.TrimRight(s, "/")
		return nil
	}, "write http://prometheus:9090; what signs in goes to authorization")
	query := d.value(func(s string) error { out.Query = s; return nil }, "")
	address.required, query.required = true, true
	return out, d.mapping(n, p, map[string]field{
		"address": address, "query": query, "timeout": d.duration(&out.Timeout),
		"authorization": d.value(func(s string) error {
			out.Authorization = s
			if !variableName.MatchString(s) {
				return fmt.Errorf("it is not the name of an environment variable")
			}
			return nil
		}, "name the variable that has the header's value, PROMETHEUS_AUTHORIZATION: the file holds no secrets"),
	})
}
