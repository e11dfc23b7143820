package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/errs"
)

// A decoder walks the YAML tree. Its methods take the dotted path of the node for messages.
type decoder struct {
	file      string
	lookupEnv func(string) (string, bool)
}

// A field is one key of a mapping.
type field struct {
	read     func(n *yaml.Node, path string) error
	required bool
}

// root parses data into its one document.
func (d decoder) root(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, errs.Invalidf("the file is empty").At("%s:1", d.file).Hintf("`headgate init --force` writes a new one").Then("headgate help config")
	}
	if err == nil {
		var second yaml.Node
		if e := dec.Decode(&second); e == nil {
			return nil, d.errorf(&second, "the file has a second YAML document").Hintf("remove the line `---` and what follows it")
		} else if !errors.Is(e, io.EOF) {
			err = e
		}
	}
	if err != nil {
		return nil, d.syntaxError(err)
	}
	return doc.Content[0], nil
}

// syntaxError moves the line out of the YAML library's message.
func (d decoder) syntaxError(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits
		msg = strings.TrimPrefix(msg, m[0])
		if regexp.MustCompile(`^did not find expected (node content|'-' indicator|key|',' or)`).MatchString(msg) {
			line++ // the library counts from 0 in its parser's errors, from 1 in its scanner's
		}
	}
	return errs.Invalidf("not valid YAML: %s", msg).At("%s:%d", d.file, line).
		Hintf("look at indentation, quotes and brackets from this line on").Then("headgate help config")
}

// errorf returns an error that points at n.
func (d decoder) errorf(n *yaml.Node, format string, args ...any) *errs.Error {
	return errs.Invalidf(format, args...).At("%s:%d", d.file, n.Line).Then("headgate help config")
}

// notBuilt refuses a key that belongs to the file's format but does nothing yet.
func (d decoder) notBuilt(n *yaml.Node, path string) error {
	return d.errorf(n, "`%s` is not built yet", path).Hintf("remove it; this version of headgate would not act on it")
}

// mapping reads a mapping with exactly these keys; later names keys that are part of the format and not built yet.
func (d decoder) mapping(n *yaml.Node, path string, fields map[string]field, later ...string) error {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s must be a mapping of keys, it is %s", orFile(path), kind(n))
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		switch {
		case seen[name]:
			return d.errorf(key, "%s is there twice", join(path, name)).Hintf("keep one of them")
		case slices.Contains(later, name):
			return d.notBuilt(key, join(path, name))
		}
		seen[name] = true
		f, ok := fields[name]
		if !ok {
			return d.unknownKey(key, path, fields, later)
		}
		if err := f.read(value, join(path, name)); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(fields) {
		if fields[name].required && !seen[name] {
			return d.errorf(n, "%s is missing", join(path, name)).Hintf("add `%s:` here", name)
		}
	}
	return nil
}

func (d decoder) unknownKey(key *yaml.Node, path string, fields map[string]field, later []string) error {
	err := d.errorf(key, "unknown key %q", join(path, key.Value))
	known := sortedKeys(fields)
	if near := suggest.Nearest(key.Value, append(slices.Clone(known), later...)); near != "" {
		return err.Hintf("did you mean %s?", near)
	}
	return err.Hintf("there are: %s", strings.Join(known, ", "))
}

// named reads a mapping from free names to values, in the file's order.
func (d decoder) named(n *yaml.Node, path string, read func(name string, key, value *yaml.Node, path string) error) error {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s must be a mapping of names, it is %s", path, kind(n))
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			return d.errorf(key, "%s is there twice", join(path, key.Value)).Hintf("keep one of them")
		}
		seen[key.Value] = true
		if !namePattern().MatchString(key.Value) {
			return d.errorf(key, "%s: the name %q has other characters than letters, digits, - and _", path, key.Value).
				Hintf("it becomes a directory's name and a flag's value")
		}
		if err := read(key.Value, key, value, join(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

// list reads a sequence.
func (d decoder) list(n *yaml.Node, path string, read func(n *yaml.Node, path string) error) error {
	n = resolve(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, "%s must be a list, it is %s", path, kind(n)).Hintf("write [a, b], or one `- ` line each")
	}
	for i, item := range n.Content {
		if err := read(item, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

// text reads a scalar as a string that is not empty, with ${VAR} replaced.
func (d decoder) text(n *yaml.Node, path string) (string, error) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode {
		return "", d.errorf(n, "%s must be a single value, it is %s", path, kind(n))
	}
	if isNull(n) {
		return "", d.errorf(n, "%s has no value", path)
	}
	s, err := d.expand(n, path)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(s) == "" {
		return "", d.errorf(n, "%s is empty", path)
	}
	return s, nil
}

// textInto returns a field that stores a string.
func (d decoder) textInto(target *string) field {
	return field{read: func(n *yaml.Node, path string) (err error) {
		*target, err = d.text(n, path)
		return err
	}}
}

// expand replaces ${VAR} by the variable's value; $${ stands for a literal ${. It runs on values after parsing, so
// that what a variable holds can't change the file's structure.
func (d decoder) expand(n *yaml.Node, path string) (string, error) {
	var out strings.Builder
	rest := n.Value
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			out.WriteString(rest)
			return out.String(), nil
		}
		if i > 0 && rest[i-1] == '$' {
			out.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		out.WriteString(rest[:i])
		name, after, closed := strings.Cut(rest[i+2:], "}")
		if !closed {
			return "", d.errorf(n, "%s: ${ without }", path).Hintf("write $${ for a literal ${")
		}
		if !variablePattern().MatchString(name) {
			return "", d.errorf(n, "%s: ${%s} is not the name of a variable", path, name).
				Hintf("only ${NAME} is replaced; write $${ for a literal ${")
		}
		value, ok := d.lookupEnv(name)
		if !ok {
			return "", d.errorf(n, "%s: the environment variable %s is not set", path, name).
				Hintf("set %s, or write $${%s} if the text itself is meant", name, name)
		}
		out.WriteString(value)
		rest = after
	}
}

// resolve follows YAML aliases (*name).
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "empty"
	}
	return "a single value"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orFile(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func sortedKeys(fields map[string]field) []string {
	var out []string
	for name := range fields {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func namePattern() *regexp.Regexp     { return regexp.MustCompile(`^[a-zA-Z0-9_-]+$`) }
func variablePattern() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) }
