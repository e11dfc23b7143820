package config

import (
	"encoding/json"
	"math"

	"go.yaml.in/yaml/v3"
)

// An Auth is what an environment's sync backend wants to know about who asks: one payload for all stores, a command that
// is asked for each, or a token that is signed for each. The zero value is none.
type Auth struct {
	Payload json.RawMessage // with the variables' values in it: it holds secrets
	Command []string        // the program and its arguments; a path is absolute
	JWT     *JWT            // nil for none
	Line    int             // 0 for none
}

func (d decoder) auth(n *yaml.Node, path string, c *Config, a *Auth) error {
	a.Line = n.Line
	err := d.mapping(n, path, map[string]field{
		"payload": {read: func(n *yaml.Node, p string) (err error) {
			if isNull(resolve(n)) {
				return d.errorf(n, "%s has no value", p).Hintf("write what the app has as syncPayload: {authToken: \"${SYNC_TOKEN}\"}")
			}
			left := maxNodes
			a.Payload, err = d.json(n, p, &left)
			return err
		}},
		"command": {read: func(n *yaml.Node, p string) error { return d.command(n, p, c, &a.Command) }},
		"jwt":     {read: func(n *yaml.Node, p string) (err error) { a.JWT, err = d.jwt(n, p, c); return err }},
	})
	if err != nil {
		return err
	}
	given := 0
	for _, there := range []bool{a.Payload != nil, a.Command != nil, a.JWT != nil} {
		if there {
			given++
		}
	}
	if given != 1 {
		return d.errorf(n, "%s must have one of payload, command and jwt", path).
			Hintf("payload is the same for all stores; command is asked for each, and prints {\"payload\": …}; jwt signs a token for each")
	}
	return nil
}

// maxNodes bounds what aliases of aliases can blow a payload up to, and a payload that holds itself.
const maxNodes = 10_000

// json writes YAML as the JSON that it stands for, with ${VAR} replaced in its strings.
func (d decoder) json(n *yaml.Node, path string, left *int) (json.RawMessage, error) {
	if *left--; *left < 0 {
		return nil, d.errorf(n, "%s is too large", path).Hintf("does it hold an alias of itself?")
	}
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		return d.jsonObject(n, path, left)
	case yaml.SequenceNode:
		out := []json.RawMessage{}
		err := d.list(n, path, func(n *yaml.Node, path string) error {
			v, err := d.json(n, path, left)
			out = append(out, v)
			return err
		})
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
	return d.jsonScalar(n, path)
}

func (d decoder) jsonObject(n *yaml.Node, path string, left *int) (json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return nil, d.errorf(key, "%s: a key must be a word", path)
		}
		if _, twice := out[key.Value]; twice {
			return nil, d.errorf(key, "%s is there twice", join(path, key.Value)).Hintf("keep one of them")
		}
		v, err := d.json(value, join(path, key.Value), left)
		if err != nil {
			return nil, err
		}
		out[key.Value] = v
	}
	return json.Marshal(out)
}

func (d decoder) jsonScalar(n *yaml.Node, path string) (json.RawMessage, error) {
	var v any
	switch n.ShortTag() {
	case "!!null":
	case "!!bool", "!!int", "!!float":
		if err := n.Decode(&v); err != nil {
			return nil, d.errorf(n, "%s can't be read", path)
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return nil, d.errorf(n, "%s: JSON has no such number", path)
		}
	case "!!str", "!!timestamp":
		s, err := d.expand(n, path)
		if err != nil {
			return nil, err
		}
		v = s
	default:
		return nil, d.errorf(n, "%s: JSON has no %s", path, n.ShortTag())
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, d.errorf(n, "%s can't be written as JSON", path)
	}
	return out, nil
}
