package config

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A JWT says how a payload {Field: token} is signed for each store.
type JWT struct {
	Key     string // the key itself, a secret; "" for KeyFile
	KeyFile string // absolute path
	Alg     string // HS256, RS256, ES256 or EdDSA
	// Claims is a JSON object; {store} in its strings stands for the store's id. It has neither iat nor exp.
	Claims json.RawMessage
	TTL    time.Duration
	Field  string
}

// The defaults of a JWT, and the least that a token may live.
const (
	DefaultTTL   = 5 * time.Minute
	DefaultField = "authToken"
	minTTL       = 10 * time.Second
)

func (d decoder) jwt(n *yaml.Node, path string, c *Config) (*JWT, error) {
	j := &JWT{TTL: DefaultTTL, Field: DefaultField, Claims: json.RawMessage(`{}`)}
	err := d.mapping(n, path, map[string]field{
		"key": d.textInto(&j.Key),
		"keyFile": {read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err == nil {
				j.KeyFile = c.abs(v)
			}
			return err
		}},
		"alg": d.required(field{read: func(n *yaml.Node, p string) (err error) {
			if j.Alg, err = d.text(n, p); err != nil {
				return err
			}
			if known := []string{"HS256", "RS256", "ES256", "EdDSA"}; !slices.Contains(known, j.Alg) {
				return d.errorf(n, "%s: unknown algorithm %q", p, j.Alg).Hintf("there are: %s", strings.Join(known, ", "))
			}
			return nil
		}}),
		"claims": {read: func(n *yaml.Node, p string) error { return d.claims(n, p, j) }},
		"ttl": {read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err != nil {
				return err
			}
			if j.TTL, err = ParseDuration(v); err != nil || j.TTL < minTTL {
				return d.errorf(n, "%s: %q is not a duration of at least %s", p, n.Value, minTTL).Hintf("write a number and a unit: 5m, 90s, 1h")
			}
			return nil
		}},
		"field": d.textInto(&j.Field),
	})
	if err != nil {
		return nil, err
	}
	if (j.Key == "") == (j.KeyFile == "") {
		return nil, d.errorf(n, "%s must have either key or keyFile", path).
			Hintf(`write key: "${JWT_KEY}" for a variable's value, or keyFile: and the path of a file that is not in the repository`)
	}
	return j, nil
}

// claims reads the template of the claims.
func (d decoder) claims(n *yaml.Node, path string, j *JWT) error {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s must be a mapping of claims, it is %s", path, kind(n)).Hintf(`write {sub: headgate, store: "{store}"}`)
	}
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Value == "iat" || key.Value == "exp" {
			return d.errorf(key, "%s is added by headgate", join(path, key.Value)).Hintf("remove it; ttl: says how long a token is valid")
		}
	}
	left := maxNodes
	var err error
	if j.Claims, err = d.json(n, path, &left); err != nil {
		return err
	}
	return d.placeholders(n, path)
}

// placeholders refuses those that are not {store}: a token would be signed with them as they stand.
func (d decoder) placeholders(n *yaml.Node, path string) error {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			if err := d.placeholders(n.Content[i+1], join(path, n.Content[i].Value)); err != nil {
				return err
			}
		}
		return nil
	case yaml.SequenceNode:
		return d.list(n, path, d.placeholders)
	}
	// What ${NAME} stands for is not looked at.
	for _, found := range regexp.MustCompile(`\$?\{[A-Za-z_]+\}`).FindAllString(n.Value, -1) {
		if found != "{store}" && !strings.HasPrefix(found, "$") {
			return d.errorf(n, "%s: unknown placeholder %s", path, found).Hintf("{store} stands for the store's id; there is no other")
		}
	}
	return nil
}
